"""Every field of the API by every role of a foreign tenant: it learns nothing and changes nothing.

Operations are made from schema.graphql with every argument a field has, so that a new field is tried without a new
test; what they name exists in tenant `acme`.
"""

import json
from typing import Any

import boto3
import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type

from iot.alarms import DeviceAlarm, alarm_put
from iot.commands import NewCommand, command_put
from resolvers.partner_token import token_key, tokens_partition
from streams.history import history_item
from streams.items import change_put, registration
from streams.minutes import aggregate_puts
from streams.record import Telemetry
from streams.state import state_update
from tests.operations.test_access import root_fields, sample
from tests.strawberry_api.backend import Backend
from tests.strawberry_api.callers import API_KEY, Caller, may_call, partner, person
from tests.strawberry_api.moto_aws import REGION, BotoService

OWNER = "acme"
STRANGERS = {
    "apiKey": API_KEY,
    "partner": partner("other"),
    "viewer": person("other", "viewer"),
    "operator": person("other", "operator"),
    "admin": person("other", "admin"),
}
AT_MS = 1_732_489_762_000  # within the minute and day that the samples ask for
FIELDS = [
    path
    for path in root_fields()
    if not path.startswith("Subscription") and not path.partition(".")[2].startswith("publish")
]
# Its answer is a secret or a certificate of the caller's own making: there is nothing of the owner's to be found.
MAKES_ITS_OWN = {"Mutation.createPartnerToken", "Mutation.putAlertRule"}


def selection(kind: Any, depth: int = 4) -> str:
    named = get_named_type(kind)
    if not isinstance(named, GraphQLObjectType):
        return ""
    inner = [
        f"{name}{selection(field.type, depth - 1)}"
        for name, field in named.fields.items()
        if depth or not isinstance(get_named_type(field.type), GraphQLObjectType)
    ]
    return f" {{ {' '.join(inner)} }}"


def operation(path: str) -> tuple[str, dict[str, Any]]:
    root, _, name = path.partition(".")
    field = root_fields()[path]
    variables = {argument: value_of(argument, spec.type) for argument, spec in field.args.items()}
    given = {argument: value for argument, value in variables.items() if value is not None}
    declared = ", ".join(f"${argument}: {field.args[argument].type}" for argument in given)
    passed = ", ".join(f"{argument}: ${argument}" for argument in given)
    return f"{root.lower()} M({declared}) {{ {name}({passed}){selection(field.type)} }}", given


def value_of(name: str, kind: Any) -> Any:
    if name in ("nextToken", "limit"):
        return None
    if name == "tenantId":
        return OWNER
    if name == "from":
        return "2024-11-24T23:00:00Z"
    if name == "to":
        return "2024-11-24T23:59:00Z"
    if name == "since":
        return "1000000000000"
    named = get_named_type(kind)
    if not isinstance(named, GraphQLInputObjectType):
        return sample(kind)
    members = {member: value_of(member, field.type) for member, field in named.fields.items()}
    # moto signs anything, and the device would be new to it.
    return {member: value for member, value in members.items() if member != "certificateSigningRequest"}


def fill(backend: Backend) -> BotoService:
    """Put one of everything into the owner's tenant, all by the id `x` that samples name."""
    table = BotoService(boto3.client("dynamodb", region_name=REGION))
    name = backend.table
    table.call("TransactWriteItems", registration(name, "x", OWNER, now_ms=AT_MS, retention_s=10**9, site_id="x"))
    telemetry = Telemetry("x", AT_MS, 1, {"temperature": 20.5})
    history = history_item(telemetry, OWNER, 10**9)
    table.call("PutItem", {"TableName": name, "Item": history})
    table.call("UpdateItem", state_update(name, OWNER, [telemetry], {}))
    for put in aggregate_puts(name, "x", [history], retention_s=10**9):
        table.call("PutItem", put)
    alarm = DeviceAlarm("x", AT_MS, 1, "acme's alarm", "WARNING", None, None)
    put = alarm_put(name, alarm, OWNER, site_id="x", retention_s=10**9)
    table.call("PutItem", put)
    named_x = {**put["Item"], "SK": {"S": "ALERT#x"}, "alertId": {"S": "x"}}
    table.call("PutItem", {"TableName": name, "Item": named_x})
    command = NewCommand("x", "x", OWNER, "acme's command", None, AT_MS, AT_MS + 1000)
    table.call("PutItem", command_put(name, command, retention_s=10**9))
    rule = {"ruleId": "x", "name": "acme's rule", "reading": "t", "comparison": "ABOVE", "severity": "INFO"}
    item = {
        "PK": {"S": f"TENANT#{OWNER}"},
        "SK": {"S": "RULE#x"},
        "tenantId": {"S": OWNER},
        "threshold": {"N": "1"},
        "updatedAt": {"N": str(AT_MS)},
        **{member: {"S": value} for member, value in rule.items()},
    }
    table.call("PutItem", {"TableName": name, "Item": item})
    token = {
        **token_key("x"),
        "tokenId": {"S": "x"},
        "tenantId": {"S": OWNER},
        "name": {"S": "acme's token"},
        "secretDigest": {"S": "00"},
        "createdAt": {"N": str(AT_MS)},
        "expiresAt": {"N": str(AT_MS)},
        "GSI1PK": {"S": tokens_partition(OWNER)},
        "GSI1SK": {"S": "x"},
    }
    table.call("PutItem", {"TableName": name, "Item": token})
    report = {
        "PK": {"S": f"TENANT#{OWNER}"},
        "SK": {"S": "ERASURE"},
        "tenantId": {"S": OWNER},
        "status": {"S": "DONE"},
        "startedAt": {"N": str(AT_MS)},
        "finishedAt": {"N": str(AT_MS)},
        "passes": {"N": "2"},
        "erased": {"M": {}},
    }
    table.call("PutItem", {"TableName": name, "Item": report})
    boto3.client("iot", region_name=REGION).create_thing(thingName="x")
    shadow = json.dumps({"state": {"desired": {"wanted": "acme's"}}})
    boto3.client("iot-data", region_name=REGION).update_thing_shadow(thingName="x", payload=shadow)
    change = change_put(name, OWNER, "x", "UPDATED", now_ms=AT_MS, retention_s=10**9)["Put"]
    table.call("PutItem", {"TableName": name, "Item": change["Item"]})
    return table


def owned(table: BotoService, name: str) -> list[str]:
    items = table.call("Scan", {"TableName": name})["Items"]
    rows = sorted(json.dumps(item, sort_keys=True) for item in items if item.get("tenantId") == {"S": OWNER})
    shadow = boto3.client("iot-data", region_name=REGION).get_thing_shadow(thingName="x")["payload"].read()
    return [*rows, shadow.decode()]


async def test_no_field_shows_or_changes_anything_of_a_foreign_tenant(backend: Backend) -> None:
    table = fill(backend)
    before = owned(table, backend.table)

    tried = 0
    for path in FIELDS:
        query, variables = operation(path)
        root, _, name = path.partition(".")
        for caller in [caller for caller in STRANGERS.values() if may_call(caller, root, name)]:
            answer = await backend.execute(query, variables, caller)

            shown = json.dumps(answer.get("data"))
            assert OWNER not in shown, (path, caller.directive, answer)
            assert "20.5" not in shown, (path, caller.directive, answer)
            tried += 1

    assert owned(table, backend.table) == before
    assert tried > len(FIELDS)


@pytest.mark.parametrize("path", [path for path in FIELDS if path not in MAKES_ITS_OWN | {"Mutation.registerDevice"}])
async def test_the_owner_does_find_what_the_matrix_asks_for(path: str, backend: Backend) -> None:
    fill(backend)
    query, variables = operation(path)
    owner: Caller = person(OWNER, "admin")
    stranger = person("other", "admin")

    # Otherwise the matrix would ask for things that are not there.
    assert await backend.execute(query, variables, owner) != await backend.execute(query, variables, stranger)
