"""A fleet with every kind of trouble: what was sent is stored once, the newest wins, the rest is a dead letter."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.fleet.devices import Broker, Fleet
from bench.fleet.profiles import PROFILES, schedule
from tests.support.product import ROOT, Product, eventually, now_ms

SECONDS, RATE, SEED = 6.0, 4.0, 5
HISTORY = """query($id: ID!, $from: AWSDateTime!, $to: AWSDateTime!, $token: String) {
  listTelemetry(deviceId: $id, from: $from, to: $to, nextToken: $token, limit: 500) { items { eventId } nextToken } }"""
STATE = "query($id: ID!) { getDeviceState(deviceId: $id) { eventId } }"


def history(product: Product, device_id: str) -> list[str]:
    # Some clocks are ahead: up to now would leave their telemetry out.
    since, until = ((datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 1))
    found: list[str] = []
    token: str | None = None
    while True:
        variables = {"id": device_id, "from": since, "to": until, "token": token}
        page = product.data(HISTORY, variables)["listTelemetry"]
        found += [item["eventId"] for item in page["items"]]
        token = page["nextToken"]
        if token is None:
            return found


def dead_letters(product: Product, device_ids: set[str]) -> list[dict[str, Any]]:
    return [letter for letter in product.messages("IngestDeadLetters") if letter["deviceId"] in device_ids]


def test_a_troubled_fleet_ends_as_a_quiet_one_would(product: Product) -> None:
    # Two of each profile: of the skewed ones this seed makes one that is too far ahead, and one that is behind.
    schedules = {
        f"trouble-{number:02d}": schedule("mixed", device=number, rate_per_s=RATE, seconds=SECONDS, seed=SEED)
        for number in range(2 * len(PROFILES))
    }
    start_ms = now_ms()

    broker = Broker(product.ready["mqttHost"], product.ready["mqttPort"])
    counts = Fleet(broker, schedules).run(start_ms=start_ms)

    assert counts.unacknowledged == 0
    assert counts.drops >= 2
    accepted: dict[str, set[tuple[int, int]]] = {}
    ahead = 0
    for device_id, actions in schedules.items():
        sent = [action for action in actions if action.kind == "publish"]
        ahead += sum(action.is_ahead for action in sent)
        taken = [action.payload(start_ms) for action in sent if not action.is_ahead]
        accepted[device_id] = {(payload["ts"], payload["seq"]) for payload in taken}
    assert ahead > 0
    for device_id, orders in accepted.items():
        wanted = sorted((f"{device_id}#{ts}#{seq}" for ts, seq in orders), key=lambda one: int(one.split("#")[2]))
        found = eventually(lambda device_id=device_id, wanted=wanted: sorted(
            history(product, device_id), key=lambda one: int(one.split("#")[2])) == wanted)  # fmt: skip
        assert found, (device_id, history(product, device_id), wanted)
        state = product.data(STATE, {"id": device_id})["getDeviceState"]
        newest = max(orders, default=None)
        assert state == (newest and {"eventId": f"{device_id}#{newest[0]}#{newest[1]}"})
    letters = eventually(lambda: len(found := dead_letters(product, set(schedules))) >= ahead and found)
    assert [letter["reason"] for letter in letters] == ["ClockAhead"] * ahead


def test_the_command_runs_a_fleet_and_says_what_became_of_it(product: Product) -> None:
    command = [sys.executable, "-m", "bench.fleet", "--port", str(product.ready["mqttPort"]), "--prefix", "told"]

    done = subprocess.run(
        [*command, "--devices", "3", "--rate", "5", "--seconds", "2"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    refused = subprocess.run([*command, "--rate", "0"], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["published"], summary["acknowledged"], summary["distinct"]) == (30, 30, 30)
    assert refused.returncode == 2
    assert "above 0" in refused.stderr


def test_messages_wait_for_a_broker_that_is_not_there(product: Product) -> None:
    nowhere = Broker("127.0.0.1", 9)
    actions = schedule("steady", device=0, rate_per_s=10, seconds=0.3, seed=0)

    counts = Fleet(nowhere, {"lonely-1": actions}).run(start_ms=now_ms(), patience_s=0.2)

    assert counts.unacknowledged == len(actions) == 3
    assert counts.refused_connections >= 1
