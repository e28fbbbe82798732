"""Resolver functions as AppSync calls them: event, identity, calls and answer together."""

import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from resolvers import (
    authorize_partner,
    device_fields,
    erase_tenant,
    list_aggregates,
    partner_tokens,
    register_device,
    remove_device,
    send_command,
    update_device,
)
from streams.items import iso_time, plain_item
from tests.resolvers.test_certificates import signing_request
from tests.strawberry_api.callers import API_KEY, Caller, person
from tests.strawberry_api.moto_aws import REGION
from tests.strawberry_api.moto_http import CONTEXT, MotoEndpoint, deployed

ADMIN = person("acme", "admin")
STRANGER = person("other", "admin")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoEndpoint]:
    with deployed(monkeypatch) as made:
        yield made


def event(type_name: str, field: str, caller: Caller, arguments: Any = None, source: Any = None) -> dict[str, Any]:
    return {
        "arguments": arguments or {},
        "identity": caller.identity,
        "source": source,
        "request": {"headers": {}, "domainName": None},
        "prev": None,
        "info": {"parentTypeName": type_name, "fieldName": field, "variables": {}, "selectionSetList": []},
        "stash": {},
    }


def mutate(module: Any, field: str, caller: Caller = ADMIN, **arguments: Any) -> Any:
    return module.handler(event("Mutation", field, caller, arguments), CONTEXT)


def register(caller: Caller = ADMIN, **given: Any) -> Any:
    return mutate(register_device, "registerDevice", caller, input={"deviceId": "dev-1", **given})


def test_a_device_is_registered_changed_and_removed(endpoint: MotoEndpoint) -> None:
    registered = register(siteId="north", name="Pump")
    changed = mutate(update_device, "updateDevice", input={"deviceId": "dev-1", "siteId": None, "name": "Pump 2"})
    removed = mutate(remove_device, "removeDevice", deviceId="dev-1", eraseData=True)
    again = mutate(remove_device, "removeDevice", deviceId="dev-1")

    assert registered["device"]["siteId"] == "north"
    assert (changed["name"], changed["siteId"]) == ("Pump 2", None)
    assert (removed["deviceId"], removed["tenantId"], removed["version"]) == ("dev-1", "acme", 1)
    assert again["errorType"] == "NotFound"
    (message,) = endpoint.messages(os.environ["ERASURE_QUEUE_URL"])
    assert (message["tenantId"], message["deviceId"]) == ("acme", "dev-1")


def test_a_device_with_a_request_for_a_certificate_gets_one(endpoint: MotoEndpoint) -> None:
    iot = boto3.client("iot", region_name=REGION)
    iot.create_policy(policyName="device", policyDocument="{}")

    registered = register(certificateSigningRequest=signing_request())

    assert registered["certificatePem"].startswith("-----BEGIN CERTIFICATE")
    assert [each["certificateId"] for each in iot.list_certificates()["certificates"]] == [registered["certificateId"]]
    assert mutate(remove_device, "removeDevice", deviceId="dev-1")["version"] == 1
    assert iot.list_certificates()["certificates"] == []


def test_a_command_is_armed_published_and_its_item_written(endpoint: MotoEndpoint) -> None:
    register()

    sent = mutate(send_command, "sendCommand", input={"deviceId": "dev-1", "name": "reboot", "parameters": '{"in": 5}'})

    assert sent["status"] == "SENT"
    schedule, publish = (path for path, _ in endpoint.posted)
    assert schedule == f"/schedules/command-{sent['commandId']}"
    assert publish.startswith("/topics/devices%2Fdev-1%2Fcommands%2F")
    assert endpoint.item("DEV#dev-1", f"COMMAND#{sent['commandId']}")["status"] == {"S": "SENT"}


def test_a_command_that_cannot_be_armed_or_published_is_closed(endpoint: MotoEndpoint) -> None:
    register()
    endpoint.answers = [(200, {}), (403, {"message": "no"})]

    answer = mutate(send_command, "sendCommand", input={"deviceId": "dev-1", "name": "reboot"})

    assert answer["status"] == "FAILED"
    assert endpoint.item("DEV#dev-1", f"COMMAND#{answer['commandId']}")["status"] == {"S": "FAILED"}


@pytest.mark.parametrize(
    ("module", "field", "arguments"),
    [
        (register_device, "registerDevice", {"input": {"deviceId": "a b"}}),
        (update_device, "updateDevice", {"input": {"deviceId": "dev-1", "name": ""}}),
        (send_command, "sendCommand", {"input": {"deviceId": "dev-1", "name": ""}}),
        (partner_tokens, "createPartnerToken", {"input": {"name": ""}}),
        (erase_tenant, "eraseTenant", {"tenantId": "acme", "confirm": "acne"}),
    ],
)
def test_what_is_wrong_with_an_argument_is_said_and_nothing_is_written(
    endpoint: MotoEndpoint, module: Any, field: str, arguments: Any
) -> None:
    with pytest.raises(Exception, match=r"expected|confirm"):
        mutate(module, field, ADMIN, **arguments)

    assert endpoint.clients["dynamodb"].scan(TableName="headwater")["Items"] == []


def test_state_presence_and_device_of_a_page_are_read_together(endpoint: MotoEndpoint, monkeypatch: Any) -> None:
    register(name="Pump")
    source = {"deviceId": "dev-1", "tenantId": "acme"}
    state = {"ts": 1000, "seq": 1, "eventId": "e", "version": 1, "sampleCount": 1}
    names = {f"#{name}": name for name in state}
    endpoint.clients["dynamodb"].update_item(
        TableName="headwater",
        Key={"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in state) + ", readings = :m, spans = :m",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={
            ":m": {"M": {}},
            **{
                f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)}
                for name, value in state.items()
            },
        },
    )
    presence = {"version": {"N": "1"}, "isConnected": {"BOOL": True}, "since": {"N": "1000"}}
    owner = {"deviceId": {"S": "dev-1"}, "tenantId": {"S": "acme"}}
    key = {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "PRESENCE"}}
    endpoint.clients["dynamodb"].put_item(TableName="headwater", Item={**key, **owner, **presence})

    for demand in ("false", "true"):
        monkeypatch.setenv("DEMAND_AWARE", demand)
        found = {
            (kind, field): device_fields.handler([event(kind, field, ADMIN, source=source)] * 2, CONTEXT)
            for kind, field in (("Device", "state"), ("Device", "presence"), ("DeviceChange", "device"))
        }

        assert all(len(answers) == 2 for answers in found.values())
        assert found["Device", "state"][0]["data"]["seq"] == 1
        assert found["Device", "presence"][1]["data"]["isConnected"] is True
        assert found["DeviceChange", "device"][0]["data"]["name"] == "Pump"


def test_aggregates_are_listed_for_their_tenant(endpoint: MotoEndpoint) -> None:
    arguments = {"deviceId": "dev-1", "from": iso_time(0), "to": iso_time(60_000)}

    answer = list_aggregates.handler(event("Query", "listAggregates", API_KEY, arguments), CONTEXT)

    assert answer == {"items": [], "nextToken": None}


def test_a_partner_token_lets_in_until_it_is_revoked(endpoint: MotoEndpoint) -> None:
    created = mutate(partner_tokens, "createPartnerToken", input={"name": "dashboard"})
    asked = {"authorizationToken": created["token"], "requestContext": {"requestId": "r"}}

    before = authorize_partner.handler(asked, CONTEXT)
    foreign = mutate(partner_tokens, "revokePartnerToken", STRANGER, tokenId=created["partnerToken"]["tokenId"])
    revoked = mutate(partner_tokens, "revokePartnerToken", tokenId=created["partnerToken"]["tokenId"])
    after = authorize_partner.handler(asked, CONTEXT)

    assert before["resolverContext"] == {"tenantId": "acme", "tokenId": created["partnerToken"]["tokenId"]}
    assert foreign["errorType"] == "NotFound"
    assert revoked["revokedAt"] is not None
    assert after == {"isAuthorized": False}
    assert authorize_partner.handler({"authorizationToken": "garbage"}, CONTEXT) == {"isAuthorized": False}


def test_a_tenant_is_erased_message_by_message(endpoint: MotoEndpoint) -> None:
    register()
    mutate(register_device, "registerDevice", STRANGER, input={"deviceId": "dev-2"})

    begun = mutate(erase_tenant, "eraseTenant", tenantId="acme", confirm="acme")
    while messages := endpoint.messages(os.environ["ERASURE_QUEUE_URL"]):
        for message in messages:
            erase_tenant.on_message({"Records": [{"body": json.dumps(message)}]}, CONTEXT)

    assert begun["status"] == "RUNNING"
    assert plain_item(endpoint.item("TENANT#acme", "ERASURE"))["status"] == "DONE"
    assert endpoint.item("DEV#dev-1", "META") == {}
    assert endpoint.item("DEV#dev-2", "META") != {}
    # Before the tombstone and behind it; the data plane here says each time that there was one.
    assert [path for method, path in endpoint.sent if method == "DELETE"] == ["/things/dev-1/shadow"] * 2
    assert plain_item(endpoint.item("TENANT#acme", "ERASURE"))["erased"]["shadows"] == 2


def test_the_data_of_a_removed_device_is_erased(endpoint: MotoEndpoint) -> None:
    register()
    removed = mutate(remove_device, "removeDevice", deviceId="dev-1", eraseData=True)
    alert = {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "ALERT#0000000000001-1-hot"}, "tenantId": {"S": "acme"}}
    endpoint.clients["dynamodb"].put_item(TableName="headwater", Item=alert)
    (message,) = endpoint.messages(os.environ["ERASURE_QUEUE_URL"])

    erase_tenant.on_message({"Records": [{"body": json.dumps(message)}]}, CONTEXT)

    assert removed["version"] == 1
    assert endpoint.item("DEV#dev-1", "ALERT#0000000000001-1-hot") == {}
