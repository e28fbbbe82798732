"""Mutation.registerDevice on moto's table: what is taken back when it fails, and what a former tenant leaves."""

from typing import Any

import pytest

from resolvers.caller import BadRequest
from resolvers.register_device import take_back
from streams import items
from streams.aws.calls import AwsError
from streams.items import presence_key, state_key
from streams.record import Telemetry
from streams.state import state_update
from tests.resolvers.api import NOW_MS, Api
from tests.strawberry_api.callers import person


def refuse(device_id: str, request: str) -> dict[str, str]:
    raise BadRequest("certificateSigningRequest is refused by IoT Core")


def report(api: Api, seq: int = 1) -> None:
    """Move the device's state on by one telemetry message, with an alert rule in alert and one waiting."""
    telemetry = Telemetry("dev-1", NOW_MS + seq, seq, {"temperature": 21.5})
    api.table.call("UpdateItem", state_update(api.table_name, "acme", [telemetry], {"hot": "alert-1"}, {"wet": NOW_MS}))


def test_a_refused_signing_request_leaves_the_tombstone_and_its_version(api: Api) -> None:
    api.register()
    report(api)
    before = api.remove()["version"]

    with pytest.raises(BadRequest):
        api.register(issue=refuse, certificateSigningRequest="garbage")

    tombstone = api.item(state_key("dev-1"))
    assert tombstone["version"] > before
    assert "removedAt" in tombstone
    assert api.item(items.device_key("dev-1")) == {}
    api.register()
    assert api.item(state_key("dev-1"))["version"] == tombstone["version"]


def test_a_registration_taken_back_reads_as_a_removal_in_the_change_log(api: Api) -> None:
    with pytest.raises(BadRequest):
        api.register(issue=refuse, certificateSigningRequest="garbage")

    assert api.item(items.key("TENANT#acme", f"CHANGE#{NOW_MS}#dev-1"))["kind"] == "REMOVED"


def test_telemetry_between_registration_and_its_end_keeps_the_version(api: Api) -> None:
    def interrupted(device_id: str, request: str) -> dict[str, str]:
        report(api)
        raise ConnectionError("no IoT Core")

    with pytest.raises(ConnectionError):
        api.register(issue=interrupted, certificateSigningRequest="CSR")

    assert api.item(state_key("dev-1"))["version"] == 2
    assert "removedAt" in api.item(state_key("dev-1"))


def test_telemetry_while_a_registration_is_taken_back_is_no_obstacle(api: Api) -> None:
    api.register()
    interruptions = iter([report])

    class Busy:
        def call(self, operation: str, request: Any) -> dict[str, Any]:
            if operation == "TransactWriteItems":
                next(interruptions, lambda api: None)(api)
            return api.table.call(operation, request)

    take_back(Busy(), api.table_name, "dev-1", "acme", registered_at=NOW_MS, retention_s=60)

    assert api.item(items.device_key("dev-1")) == {}
    assert api.item(state_key("dev-1"))["version"] == 2


def test_a_registration_somebody_made_anew_is_not_taken_back(api: Api) -> None:
    def overtaken(device_id: str, request: str) -> dict[str, str]:
        api.remove()
        api.register(person("other", "admin").identity)
        raise ConnectionError("no IoT Core")

    with pytest.raises(ConnectionError):
        api.register(issue=overtaken, certificateSigningRequest="CSR")

    assert api.item(items.device_key("dev-1"))["tenantId"] == "other"
    assert "removedAt" not in api.item(state_key("dev-1"))


def test_an_id_that_no_thing_can_have_gets_no_certificate(api: Api) -> None:
    with pytest.raises(BadRequest, match=r"deviceId is 'pump\.1', expected .* no dot"):
        api.register(deviceId="pump.1", issue=refuse, certificateSigningRequest="CSR")

    assert api.register(deviceId="pump.1")["device"]["deviceId"] == "pump.1"


def test_a_device_brings_nothing_of_its_former_tenant(api: Api) -> None:
    api.register(siteId="acme-secret-site", name="Acme's", model="M1")
    report(api)
    api.remove()
    # A tombstone an older release left, with everything still in it.
    leftovers = {":site": {"S": "acme-secret-site"}, ":map": {"M": {"hot": {"S": "alert-1"}}}}
    api.table.call(
        "UpdateItem",
        {
            "TableName": api.table_name,
            "Key": state_key("dev-1"),
            "UpdateExpression": "SET siteId = :site, spans = :map, alerting = :map, pending = :map, readings = :map",
            "ExpressionAttributeValues": leftovers,
        },
    )
    stale: items.Item = {"version": {"N": "4"}, "tenantId": {"S": "acme"}, "siteId": {"S": "acme-secret-site"}}
    stale["isConnected"] = {"BOOL": False}
    api.table.call("PutItem", {"TableName": api.table_name, "Item": {**presence_key("dev-1"), **stale}})

    api.register(person("beta", "admin").identity)

    state = api.item(state_key("dev-1"))
    assert set(state) == {"PK", "SK", "deviceId", "tenantId", "version", "schemaVersion"}
    assert state["version"] == 2
    device = api.item(items.device_key("dev-1"))
    assert {"siteId", "name", "model"}.isdisjoint(device)
    presence = api.item(presence_key("dev-1"))
    assert (presence["tenantId"], presence["version"], "siteId" in presence) == ("beta", 5, False)


def test_telemetry_read_under_a_former_owner_does_not_move_the_new_owners_state(api: Api) -> None:
    api.register()
    late = state_update(api.table_name, "former", [Telemetry("dev-1", NOW_MS, 1, {"temperature": 99})], {})

    with pytest.raises(AwsError, match="ConditionalCheckFailed"):
        api.table.call("UpdateItem", late)
