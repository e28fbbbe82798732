"""Lambda resolvers on moto's table: registration, removal, commands, and fields read for a page."""

import json
from typing import Any

import pytest

from iot.commands import command_close
from resolvers import device_fields, register_device, views
from resolvers.caller import BadRequest, UnauthorizedException, caller_tenant, may_see, required_tenant
from resolvers.live_device import NotFound
from resolvers.register_device import DeviceExists
from resolvers.remove_device import remove
from resolvers.update_device import update
from streams import items
from streams.aws.calls import AwsError
from streams.items import presence_key, state_key
from tests.resolvers.api import ADMIN, NOW_MS, Api, Rest
from tests.strawberry_api.backend import LAMBDA_CONTEXT
from tests.strawberry_api.callers import SERVICE, person
from tests.template.template_file import ROOT


@pytest.mark.parametrize(
    ("identity", "named", "tenant"),
    [(None, "x", "demo"), (ADMIN, "x", "acme"), (SERVICE.identity, "x", "x"), (SERVICE.identity, None, None)],
)
def test_a_tenant_comes_from_what_was_verified(identity: Any, named: str | None, tenant: str | None) -> None:
    assert caller_tenant(identity, named) == tenant


def test_an_access_token_without_the_claim_is_refused() -> None:
    with pytest.raises(UnauthorizedException):
        caller_tenant(person(None).identity)


def test_a_service_sees_every_tenant_and_a_person_its_own() -> None:
    assert may_see(SERVICE.identity, "acme")
    assert may_see(ADMIN, "acme")
    assert not may_see(ADMIN, "other")
    with pytest.raises(BadRequest, match="tenantId is required"):
        required_tenant(SERVICE.identity, None)


def test_a_device_is_registered_into_the_callers_tenant_whatever_it_names(api: Api) -> None:
    answer = api.register(tenantId="other", siteId="north", model="M1")

    assert answer["device"]["tenantId"] == "acme"
    assert api.item(state_key("dev-1"))["tenantId"] == "acme"
    assert answer["certificatePem"] is None


def test_an_id_is_taken_once_for_all_tenants(api: Api) -> None:
    api.register()

    for identity in (ADMIN, person("other", "admin").identity):
        with pytest.raises(DeviceExists, match="device 'dev-1' is already registered"):
            api.register(identity)


@pytest.mark.parametrize(
    "given",
    [
        {"deviceId": "a#b"},
        {"siteId": "a/b"},
        {"name": ""},
        {"model": "x" * 257},
        {"certificateSigningRequest": ""},
        {"certificateSigningRequest": "x" * 9000},
    ],
)
def test_a_registration_says_what_is_wrong(api: Api, given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="expected 1 to"):
        api.register(**given)


def test_a_signing_request_is_answered_with_its_certificate(api: Api) -> None:
    asked = []

    def issue(device_id: str, request: str) -> dict[str, str]:
        asked.append((device_id, request))
        return {"certificatePem": "PEM", "certificateId": "id", "endpoint": "host"}

    answer = api.register(issue=issue, certificateSigningRequest="CSR")

    assert asked == [("dev-1", "CSR")]
    assert (answer["certificatePem"], answer["certificateId"], answer["endpoint"]) == ("PEM", "id", "host")


def test_a_device_whose_certificate_fails_is_not_registered(api: Api) -> None:
    def issue(device_id: str, request: str) -> dict[str, str]:
        raise ConnectionError("no IoT Core")

    with pytest.raises(ConnectionError):
        api.register(issue=issue, certificateSigningRequest="CSR")

    assert api.item(state_key("dev-1")) == {}
    assert api.register()["device"]["deviceId"] == "dev-1"


def test_presence_from_before_is_adopted(api: Api) -> None:
    presence = {"version": {"N": "4"}, "deviceId": {"S": "dev-1"}, "isConnected": {"BOOL": True}, "ttl": {"N": "9"}}
    api.table.call("PutItem", {"TableName": api.table_name, "Item": {**presence_key("dev-1"), **presence}})

    api.register(siteId="north")

    adopted = api.item(presence_key("dev-1"))
    assert (adopted["tenantId"], adopted["siteId"], adopted["version"], "ttl" in adopted) == ("acme", "north", 5, False)


def test_a_removed_device_leaves_a_tombstone_and_can_come_back_with_a_higher_version(api: Api) -> None:
    api.register()

    removal = api.remove()

    assert removal["version"] == 1
    tombstone = api.item(state_key("dev-1"))
    assert (tombstone["removedAt"], tombstone["version"]) == (NOW_MS, 1)
    assert api.remove() == {"errorType": "NotFound", "errorMessage": "there is no device 'dev-1'"}
    api.register(person("other", "admin").identity)
    again = api.item(state_key("dev-1"))
    assert (again["tenantId"], again["version"], "removedAt" in again) == ("other", 1, False)


def test_another_tenants_device_is_not_there_to_be_removed(api: Api) -> None:
    api.register()

    assert api.remove(person("other", "admin").identity)["errorType"] == "NotFound"
    assert "removedAt" not in api.item(state_key("dev-1"))


def test_a_removal_goes_on_when_telemetry_comes_between(api: Api) -> None:
    api.register()
    service = api.table
    interruptions = iter([True, False])

    class Busy:
        def call(self, operation: str, request: Any) -> dict[str, Any]:
            if operation == "TransactWriteItems" and next(interruptions):
                bump = {"TableName": api.table_name, "Key": state_key("dev-1"), "UpdateExpression": "ADD #v :one"}
                service.call(
                    "UpdateItem",
                    {
                        **bump,
                        "ExpressionAttributeNames": {"#v": "version"},
                        "ExpressionAttributeValues": {":one": {"N": "1"}},
                    },
                )
            return service.call(operation, request)

    removal = remove(
        "dev-1",
        ADMIN,
        table=Busy(),
        table_name=api.table_name,
        now_ms=NOW_MS,
        retention_s=60,
        revoke_certificates=api.revoke,
        delete_shadows=lambda device_id: 0,
    )

    assert removal["version"] == 2


def test_a_device_that_never_rests_is_a_conflict(api: Api) -> None:
    api.register()
    service = api.table

    class NeverResting:
        def call(self, operation: str, request: Any) -> dict[str, Any]:
            if operation == "TransactWriteItems":
                raise AwsError("TransactionCanceledException", "no", status=400, document={})
            return service.call(operation, request)

    answer = remove(
        "dev-1",
        ADMIN,
        table=NeverResting(),
        table_name=api.table_name,
        now_ms=NOW_MS,
        retention_s=60,
        revoke_certificates=api.revoke,
        delete_shadows=lambda device_id: 0,
    )

    assert answer["errorType"] == "Conflict"


def test_a_command_is_stored_scheduled_and_published_in_this_order(api: Api) -> None:
    api.register()

    answer = api.send(parameters={"delay": 5}, timeoutSeconds=60)

    assert (answer["status"], answer["commandId"]) == ("SENT", "1732489762123-ab")
    assert answer["timeoutAt"] == "2024-11-24T23:10:22.123Z"
    assert [path for path, _, _ in api.scheduler.posted] == ["/schedules/command-1732489762123-ab"]
    assert [(path, query) for path, _, query in api.iot_data.posted] == [
        ("/topics/devices%2Fdev-1%2Fcommands%2F1732489762123-ab", "qos=1")
    ]


DEEP = json.loads("[" * 40 + "]" * 40)


@pytest.mark.parametrize("parameters", [{"a": 1e200}, int("1" * 42), DEEP, {"": 1}, "", None])
def test_parameters_of_any_json_are_sent_and_answered(api: Api, parameters: Any) -> None:
    api.register()

    answer = api.send(parameters=parameters, requestId="r-1")
    again = api.send(parameters=parameters, requestId="r-1")

    assert (answer["parameters"], again["parameters"]) == (parameters, parameters)
    assert [json.loads(body)["parameters"] for _, body, _ in api.iot_data.posted] == [parameters, parameters]


@pytest.mark.parametrize("parameters", [float("inf"), "\ud800", json.loads("[" * 101 + "]" * 101)])
def test_parameters_that_cannot_be_kept_are_a_bad_request(api: Api, parameters: Any) -> None:
    api.register()

    with pytest.raises(BadRequest, match="name or parameters: "):
        api.send(parameters=parameters)


def test_an_id_that_no_key_can_hold_is_of_no_device(api: Api) -> None:
    with pytest.raises(NotFound):
        api.send(deviceId="x" * 3000)
    with pytest.raises(Exception, match="there is no device 'xxx"):
        change(api, deviceId="x" * 3000, name="n")
    with pytest.raises(BadRequest, match="of Unicode text"):
        change(api, name="\ud800")


@pytest.mark.parametrize("broken", ["scheduler", "iot_data"])
def test_a_command_that_could_not_be_sent_has_failed(api: Api, broken: str) -> None:
    api.register()
    setattr(api, broken, Rest(refuses=True))

    answer = api.send()

    assert (answer["status"], answer["reply"]) == ("FAILED", {"error": "not sent: ForbiddenException: no"})


@pytest.mark.parametrize(
    "given",
    [{"timeoutSeconds": 0}, {"timeoutSeconds": 86_401}, {"name": ""}, {"parameters": {"text": "x" * 200_000}}],
)
def test_a_command_says_what_is_wrong(api: Api, given: dict[str, Any]) -> None:
    api.register()

    with pytest.raises(BadRequest, match="expected"):
        api.send(**given)


def test_a_command_goes_to_the_tenants_own_living_devices_alone(api: Api) -> None:
    with pytest.raises(NotFound):
        api.send()
    api.register()
    with pytest.raises(NotFound):
        api.send(person("other", "operator").identity)
    api.remove()
    with pytest.raises(NotFound):
        api.send()


def test_a_page_of_devices_reads_its_states_with_one_call(api: Api) -> None:
    for device_id in ("a", "b"):
        api.register(deviceId=device_id)
    sources = [{"deviceId": device_id, "tenantId": "acme"} for device_id in ("b", "missing", "a", "b")]
    api.table.calls.clear()

    answers = device_fields.read_all(
        sources, state_key, lambda item: {"id": item["deviceId"]["S"]}, table=api.table, name=api.table_name
    )

    assert answers == [{"data": {"id": "b"}}, {"data": None}, {"data": {"id": "a"}}, {"data": {"id": "b"}}]
    assert [operation for operation, _ in api.table.calls] == ["BatchGetItem"]


def test_an_item_that_changed_its_tenant_meanwhile_is_not_shown(api: Api) -> None:
    api.register()

    answers = device_fields.read_all(
        [{"deviceId": "dev-1", "tenantId": "other"}],
        state_key,
        views.device_state,
        table=api.table,
        name=api.table_name,
    )

    assert answers == [{"data": None}]


def test_keys_the_table_leaves_unread_are_read_again_and_then_an_error() -> None:
    class Busy:
        def __init__(self) -> None:
            self.asked = 0

        def call(self, operation: str, request: Any) -> dict[str, Any]:
            self.asked += 1
            return {"Responses": {}, "UnprocessedKeys": request["RequestItems"]}

    table = Busy()

    with pytest.raises(RuntimeError, match="left 1 of 1 items unread"):
        device_fields.read_all(
            [{"deviceId": "a", "tenantId": "t"}], state_key, views.device_state, table=table, name="table"
        )
    assert table.asked == 5


def recorded(name: str) -> Any:
    return json.loads((ROOT / "tests" / "events" / name).read_text(encoding="utf-8"))


def test_a_recorded_batch_event_of_an_unknown_field_is_refused() -> None:
    contexts = recorded("appSyncBatchEvent.json")

    with pytest.raises(Exception, match=contexts[0]["info"]["fieldName"]):
        device_fields.handler(contexts, LAMBDA_CONTEXT)


def test_the_recorded_direct_event_is_refused_by_a_function_for_another_field() -> None:
    event = recorded("appSyncDirectResolver.json")

    with pytest.raises(ValueError, match=event["info"]["fieldName"]):
        register_device.handler(event, LAMBDA_CONTEXT)


def change(api: Api, identity: Any = ADMIN, **given: Any) -> dict[str, Any]:
    return update(
        {"deviceId": "dev-1", **given},
        identity,
        table=api.table,
        table_name=api.table_name,
        now_ms=NOW_MS + 1,
        retention_s=60,
    )


def test_an_update_changes_what_it_names_everywhere_it_stands(api: Api) -> None:
    api.register(siteId="north", name="Pump", model="M1")

    answer = change(api, siteId="south", model=None)

    assert (answer["siteId"], answer["name"], answer["model"]) == ("south", "Pump", None)
    device = api.item(items.device_key("dev-1"))
    assert (device["siteId"], device["name"], device["GSI1SK"]) == ("south", "Pump", "SITE#south#DEV#dev-1")
    assert "model" not in device
    assert api.item(state_key("dev-1"))["siteId"] == "south"
    assert api.item(items.key("TENANT#acme", f"CHANGE#{NOW_MS + 1}#dev-1"))["kind"] == "UPDATED"


def test_presence_moves_with_its_device_and_says_so(api: Api) -> None:
    api.register(siteId="north")
    presence = {"version": {"N": "4"}, "tenantId": {"S": "acme"}, "siteId": {"S": "north"}}
    api.table.call("PutItem", {"TableName": api.table_name, "Item": {**presence_key("dev-1"), **presence}})

    change(api, siteId="south")
    moved = api.item(presence_key("dev-1"))
    change(api, siteId=None)

    assert (moved["siteId"], moved["version"]) == ("south", 5)
    assert "siteId" not in api.item(presence_key("dev-1"))


@pytest.mark.parametrize("given", [{}, {"siteId": "a/b"}, {"name": ""}, {"model": "x" * 257}])
def test_an_update_says_what_is_wrong(api: Api, given: dict[str, Any]) -> None:
    api.register()

    with pytest.raises(BadRequest, match=r"expected 1 to|nothing to change"):
        change(api, **given)


def test_an_update_finds_the_tenants_own_devices_alone(api: Api) -> None:
    with pytest.raises(Exception, match="there is no device 'dev-1'"):
        change(api, name="x")
    api.register()
    with pytest.raises(Exception, match="there is no device 'dev-1'"):
        change(api, person("other", "admin").identity, name="x")


@pytest.mark.parametrize("failing", ["revoke_certificates", "delete_shadows"])
def test_access_ends_before_the_device_and_a_failure_leaves_it_to_be_removed_again(api: Api, failing: str) -> None:
    api.register()

    def broken(device_id: str) -> int:
        raise OSError("IoT Core is away")

    ends: dict[str, Any] = {"revoke_certificates": lambda device_id: 0, "delete_shadows": lambda device_id: 0}
    with pytest.raises(OSError, match="away"):
        remove(
            "dev-1",
            ADMIN,
            table=api.table,
            table_name=api.table_name,
            now_ms=NOW_MS,
            retention_s=60,
            **{**ends, failing: broken},
        )
    assert api.remove(person("other", "admin").identity)["errorType"] == "NotFound"
    assert api.revoked == []

    assert api.remove()["deviceId"] == "dev-1"
    assert api.revoked == ["dev-1"]


def test_a_request_that_is_sent_again_makes_one_command(api: Api) -> None:
    api.register()

    first = api.send(requestId="r-1", parameters={"a": 1})
    second = api.send(requestId="r-1", parameters={"a": 1})

    assert second == first
    topic = f"/topics/devices%2Fdev-1%2Fcommands%2F{first['commandId']}"
    assert [path for path, _, _ in api.iot_data.posted] == [topic, topic]


def test_a_request_that_was_answered_is_not_handed_over_again(api: Api) -> None:
    api.register()
    first = api.send(requestId="r-1")
    close = command_close(api.table_name, "dev-1", first["commandId"], "SUCCEEDED", now_ms=NOW_MS + 1)
    api.table.call("UpdateItem", close)

    again = api.send(requestId="r-1")

    assert (again["commandId"], again["status"]) == (first["commandId"], "SUCCEEDED")
    assert len(api.iot_data.posted) == 1


def test_a_schedule_that_is_armed_already_is_no_failure(api: Api) -> None:
    class Armed(Rest):
        def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
            raise AwsError("ConflictException", "exists", status=409, document={})

    api.register()
    api.scheduler = Armed()

    assert api.send(requestId="r-1")["status"] == "SENT"
    assert len(api.iot_data.posted) == 1


def test_a_request_id_that_cannot_be_part_of_a_key_is_refused(api: Api) -> None:
    api.register()

    with pytest.raises(BadRequest, match="requestId is 'a#b', expected 1 to 128"):
        api.send(requestId="a#b")
