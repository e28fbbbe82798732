"""Field resolvers in APPSYNC_JS: the requests they make and what they show."""

from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from headwater.appsync_js import compile_module
from streams.items import key
from tests.resolvers.api import Api
from tests.strawberry_api.callers import SERVICE, person
from tests.strawberry_api.moto_aws import REGION
from tests.strawberry_api.table_source import run_request
from tests.template.template_file import ROOT

NOW_MS = 1_732_489_762_123
SHOWING = {
    "Query.getDevice": {"deviceId": "d", "tenantId": "acme", "registeredAt": NOW_MS},
    "Query.getDeviceState": {
        "deviceId": "d",
        "tenantId": "acme",
        "ts": NOW_MS,
        "seq": 1,
        "version": 1,
        "sampleCount": 1,
        "spans": {},
    },
    "Query.getCommand": {"deviceId": "d", "tenantId": "acme", "commandId": "c", "sentAt": NOW_MS, "timeoutAt": NOW_MS},
}
LISTS_OF_ONE_DEVICE = ["Query.listAlerts", "Query.listCommands", "Query.listTelemetry"]
LISTS_OF_A_TENANT = ["Query.listDevices", "Query.listAlertRules", "Query.listOpenAlerts"]
WITH_A_SOURCE = [
    path.stem
    for path in sorted((ROOT / "resolvers").glob("*.js"))
    if ".publish" not in path.stem and not path.stem.startswith("Subscription")
]
RANGE = {"from": "2024-11-24T00:00:00Z", "to": "2024-11-24T23:00:00Z"}


@pytest.mark.parametrize("name", SHOWING)
def test_an_item_is_there_for_its_own_tenant_alone(run: Any, name: str) -> None:
    callers = {
        "own": person("acme").identity,
        "foreign": person("other", "admin").identity,
        "demo": None,
        "service": SERVICE.identity,
    }

    shown = {
        caller: run(name, "response", identity=identity, result=SHOWING[name]).result is not None
        for caller, identity in callers.items()
    }

    assert shown == {"own": True, "foreign": False, "demo": False, "service": True}


@pytest.mark.parametrize("name", SHOWING)
def test_an_item_that_is_not_there_is_null(run: Any, name: str) -> None:
    assert run(name, "response", result=None).result is None


@pytest.mark.parametrize("name", LISTS_OF_ONE_DEVICE)
def test_a_device_list_is_filtered_by_the_callers_tenant(run: Any, name: str) -> None:
    arguments = {"deviceId": "d", **RANGE}

    person_request = run(name, "request", identity=person("acme").identity, arguments=arguments).result
    service_request = run(name, "request", identity=SERVICE.identity, arguments=arguments).result

    assert list(person_request["filter"]["expressionValues"].values()) == [{"S": "acme"}]
    assert "filter" not in service_request or service_request["filter"] is None
    assert person_request["scanIndexForward"] is False


class Lists:
    """List resolvers on a table that holds a device's items of each kind, one for each of `owners`, the newest last."""

    def __init__(self, api: Api, run: Any, owners: Sequence[str], device_id: str = "d") -> None:
        self._run = run
        self._table_name = api.table_name
        for place, owner in enumerate(owners):
            ts = NOW_MS - 3_600_000 + place
            common = {"deviceId": {"S": device_id}, "tenantId": {"S": owner}}
            times = {name: {"N": str(ts)} for name in ("ts", "seq", "openedAt", "sentAt", "timeoutAt")}
            for partition, sort in (
                (f"DEV#{device_id}#2024-11-24", f"TS#{ts:013d}#{place:016d}"),
                (f"DEV#{device_id}", f"ALERT#{ts}-{place}-rule"),
                (f"DEV#{device_id}", f"COMMAND#{ts:013d}-ab"),
            ):
                item = {**key(partition, sort), **common, **times, "readings": {"M": {}}}
                api.table.call("PutItem", {"TableName": api.table_name, "Item": item})

    def page(self, name: str, device_id: str, tenant_id: str, **given: Any) -> dict[str, Any]:
        call = {"identity": person(tenant_id).identity, "arguments": {"deviceId": device_id, **RANGE, **given}}
        asked = self._run(name, "request", **call)
        found = run_request(boto3.client("dynamodb", region_name=REGION), self._table_name, asked.result)
        answer = self._run(name, "response", **call, stash=asked.stash, result=found).result
        return {"items": len(answer["items"]), "nextToken": answer["nextToken"]}

    def pages(self, name: str, device_id: str, tenant_id: str, **given: Any) -> list[dict[str, Any]]:
        found = [self.page(name, device_id, tenant_id, **given)]
        while found[-1]["nextToken"] is not None:
            found.append(self.page(name, device_id, tenant_id, **given, nextToken=found[-1]["nextToken"]))
        return found


@pytest.mark.parametrize("name", LISTS_OF_ONE_DEVICE)
def test_a_foreign_device_is_listed_as_one_that_is_not_there(run: Any, api: Api, name: str) -> None:
    lists = Lists(api, run, ["acme"] * 4)

    # Two days: telemetry goes on to the day before, whether there is anything or not.
    for given in ({}, {"from": "2024-11-22T00:00:00Z"}):
        for limit in (1, 2, 3, 4, 5, 100):
            foreign, unknown = (lists.pages(name, device_id, "beta", limit=limit, **given) for device_id in ("d", "x"))
            assert foreign == unknown


@pytest.mark.parametrize("name", ["Query.listAlerts", "Query.listCommands"])
def test_a_page_that_is_not_full_is_the_last_one_for_a_new_owner_too(run: Any, api: Api, name: str) -> None:
    before = Lists(api, run, ["acme"] * 4 + ["beta"] * 3)

    for limit in (1, 2, 3, 4, 5, 100):
        pages = before.pages(name, "d", "beta", limit=limit)
        assert sum(page["items"] for page in pages) == 3
        # A full page has a token whatever lies behind it, one that is not full never has.
        assert all((page["nextToken"] is not None) == (page["items"] == limit) for page in pages)


@pytest.mark.parametrize("name", ["Query.listTelemetry"])
def test_a_new_owner_lists_its_own_and_learns_nothing_of_what_was_before(run: Any, api: Api, name: str) -> None:
    Lists(api, run, ["acme"] * 4 + ["beta"] * 3)
    lists = Lists(api, run, ["beta"] * 3, device_id="always-betas")

    for limit in (1, 2, 3, 4, 5, 100):
        bought, own = (
            [(page["items"], page["nextToken"] is None) for page in lists.pages(name, device_id, "beta", limit=limit)]
            for device_id in ("d", "always-betas")
        )
        assert sum(items for items, _ in bought) == 3
        assert bought == own


@pytest.mark.parametrize("name", LISTS_OF_ONE_DEVICE)
def test_an_owner_lists_everything_page_by_page(run: Any, api: Api, name: str) -> None:
    lists = Lists(api, run, ["acme"] * 5)

    assert sum(page["items"] for page in lists.pages(name, "d", "acme", limit=2)) == 5


@pytest.mark.parametrize("name", ["Query.getCommand", "Query.listCommands"])
def test_json_that_is_kept_as_text_is_shown_as_a_value(run: Any, name: str) -> None:
    stored = {"tenantId": "acme", "parameters": {"a": 1}, "replyJson": '{"":[1e200]}'}
    result = stored if name == "Query.getCommand" else {"items": [stored], "nextToken": None, "scannedCount": 1}

    shown = run(name, "response", identity=person("acme").identity, result=result).result

    command = shown if name == "Query.getCommand" else shown["items"][0]
    assert (command["parameters"], command["reply"]) == ({"a": 1}, {"": [1e200]})


@pytest.mark.parametrize("token", ["x", "e30=", "1.2", "20051.17324.x y", "-1.5.", "99999999.1.", "20051.5."])
def test_a_token_that_is_none_is_a_bad_request(run: Any, token: str) -> None:
    outcome = run("Query.listTelemetry", "request", arguments={"deviceId": "d", **RANGE, "nextToken": token})

    assert outcome.error is not None
    assert outcome.error.error_type == "BadRequest"


def test_a_range_after_the_last_date_that_keys_have_is_a_query_without_result(run: Any) -> None:
    arguments = {"deviceId": "d", "from": "2286-11-20T00:00:00Z", "to": "2287-01-01T00:00:00Z"}

    values = run("Query.listTelemetry", "request", arguments=arguments).result["query"]["expressionValues"].values()

    assert sorted(value["S"] for value in values if value["S"].startswith("TS#"))[1] == "TS#9999999999999#~"


@pytest.mark.parametrize("name", LISTS_OF_A_TENANT)
def test_a_tenant_list_reads_the_callers_partition_whatever_it_names(run: Any, name: str) -> None:
    request = run(name, "request", identity=person("acme").identity, arguments={"tenantId": "other"}).result

    partitions = [value["S"] for value in request["query"]["expressionValues"].values()]
    assert any(partition.startswith("TENANT#acme") for partition in partitions)
    assert not any("other" in partition for partition in partitions)


@pytest.mark.parametrize("name", LISTS_OF_A_TENANT)
def test_a_service_has_to_name_the_tenant(run: Any, name: str) -> None:
    outcome = run(name, "request", identity=SERVICE.identity)

    assert outcome.error is not None
    assert outcome.error.error_type == "BadRequest"


@pytest.mark.parametrize("name", [*LISTS_OF_ONE_DEVICE, *LISTS_OF_A_TENANT])
@pytest.mark.parametrize("limit", [0, -1, 501])
def test_every_list_has_a_limit(run: Any, name: str, limit: int) -> None:
    outcome = run(name, "request", arguments={"deviceId": "d", **RANGE, "limit": limit})

    assert outcome.error is not None
    assert f"limit is {limit}, expected 1 to" in outcome.error.message


@pytest.mark.parametrize("name", WITH_A_SOURCE)
def test_a_data_source_error_is_raised(run: Any, name: str) -> None:
    outcome = run(name, "response", error={"message": "slow down", "type": "DynamoDB:Throttling"}, result=None)

    assert outcome.error is not None
    assert (outcome.error.message, outcome.error.error_type) == ("slow down", "DynamoDB:Throttling")


def test_telemetry_of_a_day_is_one_query(run: Any) -> None:
    outcome = run("Query.listTelemetry", "request", arguments={"deviceId": "d", **RANGE, "limit": 10})

    values = sorted(value["S"] for value in outcome.result["query"]["expressionValues"].values())
    # To ten seconds beyond the end: an item lies at the key of its newest reading.
    assert values == ["DEV#d#2024-11-24", "TS#1732406400000#", "TS#1732489210000#~"]
    assert outcome.result["limit"] == 25


def test_telemetry_pages_walk_the_days_backwards_to_the_first(run: Any) -> None:
    arguments: dict[str, Any] = {"deviceId": "d", "from": "2024-11-22T12:00:00Z", "to": "2024-11-24T12:00:00Z"}
    partitions = []

    while True:
        asked = run("Query.listTelemetry", "request", arguments=arguments)
        partitions += [
            value["S"] for value in asked.result["query"]["expressionValues"].values() if "#2024" in value["S"]
        ]
        page = run(
            "Query.listTelemetry",
            "response",
            arguments=arguments,
            stash=asked.stash,
            result={"items": [], "nextToken": None},
        ).result
        if page["nextToken"] is None:
            break
        arguments = {**arguments, "nextToken": page["nextToken"]}

    assert partitions == [f"DEV#d#2024-11-{day}" for day in (24, 23, 22)]


def test_a_page_within_a_day_goes_on_in_that_day(run: Any) -> None:
    arguments = {"deviceId": "d", "from": RANGE["from"], "to": "2024-11-24T23:30:00Z"}
    asked = run("Query.listTelemetry", "request", arguments=arguments)
    item = {"deviceId": "d", "ts": NOW_MS, "seq": 2, "readings": {"t": 1}, "tenantId": "demo"}

    page = run(
        "Query.listTelemetry",
        "response",
        arguments=arguments,
        stash=asked.stash,
        result={"items": [item], "nextToken": "opaque"},
    ).result

    again = run("Query.listTelemetry", "request", arguments={**arguments, "nextToken": page["nextToken"]})
    assert again.result["nextToken"] == "opaque"
    assert page["items"] == [
        {
            "deviceId": "d",
            "eventId": f"d#{NOW_MS}#2",
            "time": "2024-11-24T23:09:22.123Z",
            "seq": 2,
            "readings": {"t": 1},
        }
    ]


def test_without_an_end_history_goes_to_now(run: Any) -> None:
    outcome = run("Query.listTelemetry", "request", arguments={"deviceId": "d", "from": "2024-11-24T00:00:00Z"})

    assert "TS#1732489772123#~" in [value["S"] for value in outcome.result["query"]["expressionValues"].values()]


def test_a_rule_without_an_id_gets_one(run: Any) -> None:
    rule = {"name": "n", "reading": "t", "comparison": "ABOVE", "threshold": 1, "severity": "INFO", "siteId": None}

    request = run(
        "Mutation.putAlertRule", "request", identity=person("acme").identity, arguments={"input": rule}
    ).result

    assert request["key"]["PK"] == {"S": "TENANT#acme"}
    assert len(request["key"]["SK"]["S"]) == len("RULE#") + 26
    assert "siteId" not in request["attributeValues"]


@pytest.mark.parametrize("seconds", [-1, 86_401])
def test_a_duration_out_of_bounds_is_refused(run: Any, seconds: int) -> None:
    rule = {"name": "n", "reading": "t", "comparison": "ABOVE", "threshold": 1, "severity": "INFO"}

    outcome = run(
        "Mutation.putAlertRule",
        "request",
        identity=person("acme", "admin").identity,
        arguments={"input": {**rule, "durationSeconds": seconds}},
    )

    assert outcome.error.message == f"durationSeconds is {seconds}, expected 0 to 86400"


def test_a_hysteresis_below_zero_is_refused(run: Any) -> None:
    rule = {"name": "n", "reading": "t", "comparison": "ABOVE", "threshold": 1, "severity": "INFO", "hysteresis": -1}

    outcome = run("Mutation.putAlertRule", "request", arguments={"input": rule})

    assert outcome.error is not None
    assert outcome.error.message == "hysteresis is -1, expected at least 0"


def test_a_publish_mutation_hands_its_input_on(run: Any) -> None:
    given = {"deviceId": "d", "readings": {"t": 1}}

    request = run("Mutation.publishDeviceState", "request", arguments={"input": given}).result

    assert run("Mutation.publishDeviceState", "response", result=request["payload"]).result == given


RULE = {"name": "n", "reading": "t", "comparison": "ABOVE", "threshold": 1, "severity": "INFO"}


@pytest.mark.parametrize("name", ["Mutation.putAlertRule", "Mutation.acknowledgeAlert"])
def test_half_a_surrogate_pair_is_no_text(name: str) -> None:
    # This evaluator is handed UTF-8, which cannot hold one; the service's may get it from an escape in a variable.
    code = (ROOT / "resolvers" / f"{name}.js").read_text(encoding="utf-8")
    texts = (
        r"['', 'a', '\uD83D\uDE00', 'a\uD83D\uDE00\uD83D\uDE00b', '\uFFFF\uE000', "
        r"'\uD800', '\uDC00', 'a\uDFFF', '\uDBFF\uDBFF\uDC00', '\uD83D\uDE00\uDC00', '\uDC00\uD800', '\uD800a']"
    )
    module = compile_module(
        "import { util } from '@aws-appsync/utils';\n"
        f"export function request(ctx) {{ return {{ payload: {texts}.map((text) => isText(text)) }}; }}\n"
        "export function response(ctx) { return null; }\n" + code[code.index("function isText") :],
        name,
    )

    asked = module.call("request", {"arguments": {}}, now_ms=NOW_MS, entropy=bytes(32))

    assert asked.result["payload"] == [True] * 5 + [False] * 7
    assert "holds half a surrogate pair" in code


@pytest.mark.parametrize("text", ["x", "\U0001f600\U0001f600", "é\uffff\ue000", "名"])
def test_whole_characters_of_any_kind_are_taken(run: Any, text: str) -> None:
    arguments = {"deviceId": "d", "alertId": "a", "note": text}

    rule = run("Mutation.putAlertRule", "request", arguments={"input": {**RULE, "name": text}})
    note = run("Mutation.acknowledgeAlert", "request", identity=person("acme").identity, arguments=arguments)

    assert rule.result["attributeValues"]["name"] == {"S": text}
    assert note.error is None


@pytest.mark.parametrize("name", ["deviceId", "siteId"])
@pytest.mark.parametrize("value", ["a b", "#", "x" * 129])
def test_a_rule_for_an_id_that_nothing_can_have_is_refused(run: Any, name: str, value: str) -> None:
    outcome = run("Mutation.putAlertRule", "request", arguments={"input": {**RULE, name: value}})

    assert outcome.error is not None
    assert outcome.error.error_type == "BadRequest"
    assert outcome.error.message.startswith(f"{name} is ")
