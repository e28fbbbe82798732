"""What subscribers are told about a batch of table changes."""

from typing import Any

import pytest

from iot.commands import NewCommand, command_put
from streams.alerting import AlertOpened, AlertRule, opening_put
from streams.coalesce import publishes
from streams.record import Telemetry
from streams.state import state_update


def change(new: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    images: dict[str, Any] = {"Keys": {"PK": new["PK"], "SK": new["SK"]}, "NewImage": new, "SequenceNumber": "1"}
    if old is not None:
        images["OldImage"] = old
    return {"eventName": "INSERT" if old is None else "MODIFY", "dynamodb": images}


def state(version: int, *records: Telemetry) -> dict[str, Any]:
    """The state item after ingestion took `records` as one batch."""
    values = state_update("table", "acme", records, {})["ExpressionAttributeValues"]
    return {
        "PK": {"S": f"DEV#{records[0].device_id}"},
        "SK": {"S": "STATE"},
        "deviceId": {"S": records[0].device_id},
        "tenantId": {"S": "acme"},
        "version": {"N": str(version)},
        **{
            name: values[f":{short}"]
            for name, short in (
                ("ts", "ts"),
                ("seq", "seq"),
                ("readings", "readings"),
                ("sampleCount", "count"),
                ("spans", "spans"),
            )
        },
    }


def telemetry(seq: int, device_id: str = "dev-1", **readings: Any) -> Telemetry:
    return Telemetry(device_id, 1_732_489_762_000 + seq, seq, readings)


def test_a_state_becomes_one_publish_with_everything_a_client_merges_by() -> None:
    (publish,) = publishes([change(state(3, telemetry(5, temperature=21.5, status="ok")))])

    assert publish.mutation == "publishDeviceState"
    assert publish.positions == (0,)
    assert publish.input == {
        "deviceId": "dev-1",
        "tenantId": "acme",
        "siteId": None,
        "version": 3,
        "eventId": "dev-1#1732489762005#5",
        "time": "2024-11-24T23:09:22.005Z",
        "seq": 5,
        "readings": {"temperature": 21.5, "status": "ok"},
        "sampleCount": 1,
        "spans": {"temperature": {"min": 21.5, "max": 21.5, "count": 1}},
    }


def test_states_of_a_device_coalesce_to_the_newest_with_the_spans_of_all() -> None:
    changes = [
        change(state(1, telemetry(1, t=50))),
        change(state(1, telemetry(1, device_id="dev-2", t=1))),
        change(state(2, telemetry(2, t=90, h=4), telemetry(3, t=10))),
        change(state(3, telemetry(4, t=40))),
    ]

    first, second = publishes(changes)

    assert (first.device_id, second.device_id) == ("dev-2", "dev-1")
    assert second.positions == (0, 2, 3)
    assert (second.input["version"], second.input["readings"]) == (3, {"t": 40})
    assert second.input["sampleCount"] == 4
    assert second.input["spans"] == {
        "t": {"min": 10, "max": 90, "count": 4},
        "h": {"min": 4, "max": 4, "count": 1},
    }


def test_a_change_that_raises_no_version_tells_nobody() -> None:
    item = state(3, telemetry(1, t=1))

    assert publishes([change({**item, "siteId": {"S": "north"}}, item)]) == []


def test_a_registration_without_telemetry_tells_nobody() -> None:
    item = {
        "PK": {"S": "DEV#dev-1"},
        "SK": {"S": "STATE"},
        "deviceId": {"S": "dev-1"},
        "tenantId": {"S": "acme"},
        "version": {"N": "0"},
    }

    assert publishes([change(item)]) == []


def test_an_item_without_a_tenant_tells_nobody() -> None:
    item = {"PK": {"S": "DEV#x"}, "SK": {"S": "PRESENCE"}, "deviceId": {"S": "x"}, "version": {"N": "1"}}

    assert publishes([change(item)]) == []


def test_a_removed_device_is_told_after_its_last_state() -> None:
    item = state(3, telemetry(1, t=1))
    tombstone = {name: item[name] for name in ("PK", "SK", "deviceId", "tenantId")} | {
        "version": {"N": "4"},
        "removedAt": {"N": "1732489762000"},
    }

    last, removal = publishes([change(item), change(tombstone, item)])

    assert last.mutation == "publishDeviceState"
    assert removal.mutation == "publishDeviceRemoval"
    assert removal.input["removedAt"] == "2024-11-24T23:09:22.000Z"


@pytest.mark.parametrize("sort", ["META", "RULE#1", "TS#1"])
def test_other_items_tell_nobody(sort: str) -> None:
    item = {"PK": {"S": "x"}, "SK": {"S": sort}, "deviceId": {"S": "x"}, "tenantId": {"S": "acme"}}

    assert publishes([change(item)]) == []


OWNER = {"PK": {"S": "DEV#dev-1"}, "deviceId": {"S": "dev-1"}, "tenantId": {"S": "acme"}, "version": {"N": "2"}}
LATER = {"N": "1732489762007"}
LATER_TEXT = "2024-11-24T23:09:22.007Z"


def test_alerts_commands_and_presence_are_told_change_by_change() -> None:
    rule = AlertRule("hot", "too hot", "temperature", "ABOVE", 80, "CRITICAL")
    opened = AlertOpened("a-1", rule, "dev-1", 1_732_489_762_000, 81.5)
    alert = opening_put("table", opened, "acme", site_id="north", retention_s=60)["Item"]
    command = NewCommand("dev-1", "c-1", "acme", "reboot", {"in": 5}, 1_732_489_762_000, 1_732_489_792_000)
    sent = command_put("table", command, retention_s=60)["Item"]
    presence = OWNER | {"SK": {"S": "PRESENCE"}, "isConnected": {"BOOL": False}, "since": LATER}

    told = publishes(
        [
            change(alert),
            change(sent),
            change(presence),
            change(sent | {"version": {"N": "2"}, "status": {"S": "FAILED"}, "closedAt": LATER}, sent),
            change(alert | {"version": {"N": "2"}, "status": {"S": "RESOLVED"}, "resolvedAt": LATER}, alert),
            change(alert, alert),
        ]
    )

    assert [publish.mutation for publish in told] == [
        "publishAlert",
        "publishCommand",
        "publishPresence",
        "publishCommand",
        "publishAlert",
    ]
    raised, asked, gone, closed, resolved = (publish.input for publish in told)
    assert (raised["status"], raised["value"], raised["siteId"], raised["resolvedAt"]) == ("OPEN", 81.5, "north", None)
    assert (asked["parameters"], asked["reply"], "siteId" in asked) == ({"in": 5}, None, False)
    assert (gone["isConnected"], gone["since"], gone["disconnectReason"]) == (False, LATER_TEXT, None)
    assert (closed["status"], closed["closedAt"]) == ("FAILED", LATER_TEXT)
    assert (resolved["status"], resolved["resolvedAt"]) == ("RESOLVED", LATER_TEXT)
