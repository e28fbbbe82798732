"""Items as versions before wrote them, read by today's code: what is stored stays readable while it is kept."""

from typing import Any

from streams.alerting import AlertRule, alert_rule, decide
from streams.history import history_item, packed_item, single_readings
from streams.items import plain_item
from streams.record import parse_telemetry
from streams.state import newer_than, stored_state

TS = 1_732_489_762_000
# Written before rules had hysteresis and duration, and states what waits for it.
OLD_RULE = {
    "PK": {"S": "TENANT#acme"},
    "SK": {"S": "RULE#r1"},
    "ruleId": {"S": "r1"},
    "tenantId": {"S": "acme"},
    "name": {"S": "hot"},
    "reading": {"S": "temperature"},
    "comparison": {"S": "ABOVE"},
    "threshold": {"N": "80"},
    "severity": {"S": "CRITICAL"},
    "schemaVersion": {"N": "1"},
}
OLD_STATE = {
    "PK": {"S": "DEV#d"},
    "SK": {"S": "STATE"},
    "tenantId": {"S": "acme"},
    "version": {"N": "4"},
    "ts": {"N": str(TS)},
    "seq": {"N": "7"},
    "schemaVersion": {"N": "1"},
}
OLD_HISTORY = {
    "PK": {"S": "DEV#d#2024-11-24"},
    "SK": {"S": f"TS#{TS:013d}#{7:016d}"},
    "deviceId": {"S": "d"},
    "tenantId": {"S": "acme"},
    "ts": {"N": str(TS)},
    "seq": {"N": "7"},
    "readings": {"M": {"temperature": {"N": "21.5"}, "status": {"S": "ok"}}},
    "ttl": {"N": "1732576162"},
    "schemaVersion": {"N": "1"},
}


def telemetry(seq: int, temperature: float) -> Any:
    payload = f'{{"ts": {TS + seq}, "seq": {seq}, "temperature": {temperature}}}'.encode()
    return parse_telemetry("d", payload, TS + 60_000)


def test_a_rule_without_hysteresis_and_duration_decides_as_it_did() -> None:
    rule = alert_rule(OLD_RULE)

    assert rule == AlertRule("r1", "hot", "temperature", "ABOVE", 80.0, "CRITICAL", hysteresis=0.0, duration_s=0)
    assert len(decide([rule], [telemetry(8, 81)], {}, site_id=None).changes) == 1


def test_a_state_without_alerts_that_wait_goes_on_counting() -> None:
    stored = stored_state(OLD_STATE)

    assert (stored.order, stored.alerting, stored.pending) == ((TS, 7), {}, {})
    assert [record.seq for record in newer_than(stored, [telemetry(8, 20)])] == [8]


def test_history_of_both_versions_is_one_series_in_which_nothing_comes_twice() -> None:
    single, pack = telemetry(8, 22.0), [telemetry(seq, 20.0 + seq) for seq in (8, 9, 10)]

    found = single_readings([OLD_HISTORY, history_item(single, "acme", 86_400), packed_item(pack, "acme", 86_400)])

    assert [plain_item(one)["seq"] for one in found] == [7, 8, 9, 10]
    assert plain_item(found[0])["readings"] == {"temperature": 21.5, "status": "ok"}
    assert {one["tenantId"]["S"] for one in found} == {"acme"}


def test_the_first_version_is_still_what_history_without_packs_is_written_in() -> None:
    # A rollback of the deployment before finds what it can read.
    written = history_item(telemetry(8, 22.0), "acme", 86_400)

    assert set(written) == set(OLD_HISTORY)
    assert written["schemaVersion"] == {"N": "1"}
    assert packed_item([telemetry(8, 22.0)], "acme", 86_400) == written
