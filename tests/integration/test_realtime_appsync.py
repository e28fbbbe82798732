"""AppSync's real-time protocol over sockets: handshakes, subscriptions, delivery, limits and clean-up."""

import asyncio
import base64
import itertools
import json
from typing import Any

import pytest
import websockets
from gql import Client as GqlClient
from gql import gql
from gql.transport.appsync_auth import AppSyncApiKeyAuthentication
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport
from gql.transport.exceptions import TransportQueryError, TransportServerError
from websockets.asyncio.client import connect

from headwater.auth.authorizer import SignatureRefused
from headwater.errors import RequestError
from headwater.realtime.connection import RealtimeLimits
from headwater.server.appsync.api_log import ApiLog, LogSettings
from headwater.server.appsync.log import SubscriptionLog
from headwater.server.http.websocket import WebSocketLimits
from tests.integration.raw_http import on_both_loops
from tests.integration.realtime_api import Api, Setup, connected_client, running

ON_DEVICE = "subscription S($d: ID) { onTelemetry(deviceId: $d) { deviceId temperature } }"
ON_ALL = "subscription { onTelemetry { deviceId } }"
UNAUTHORIZED = {
    "type": "connection_error",
    "payload": {
        "errors": [
            {
                "errorType": "UnauthorizedException",
                "message": "You are not authorized to make this call.",
                "errorCode": 401,
            }
        ]
    },
}


def any_of(field: str, *values: Any) -> dict[str, Any]:
    return {"filterGroup": [{"filters": [{"fieldName": field, "operator": "in", "value": list(values)}]}]}


def event(device: str, **fields: Any) -> dict[str, Any]:
    return {"deviceId": device, "temperature": 21.5, **fields}


async def settled(api: Api, **expected: int) -> None:
    """Wait until the gauges are as expected."""
    async with asyncio.timeout(10):
        while any(api.realtime.metrics().get(name) != value for name, value in expected.items()):
            await asyncio.sleep(0.005)


@on_both_loops
async def test_a_subscriber_gets_its_own_selection_of_its_own_device() -> None:
    async with running() as api, connected_client(api) as client:
        assert await client.start("a", ON_DEVICE, {"d": "d1"}) == {"id": "a", "type": "start_ack"}

        assert api.publish("publishTelemetry", event("d2")) == 0
        assert api.publish("publishTelemetry", event("d1", humidity=1)) == 1
        received = await client.receive()

    assert received == {
        "id": "a",
        "type": "data",
        "payload": {"data": {"onTelemetry": {"deviceId": "d1", "temperature": 21.5}}},
    }


@on_both_loops
async def test_the_answered_subprotocol_is_graphql_ws_alone() -> None:
    async with running() as api, connected_client(api) as client:
        assert client.websocket.subprotocol == "graphql-ws"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/realtime"])
async def test_credentials_in_the_query_and_in_headers_are_accepted_on_both_paths(path: str) -> None:
    async with running() as api:
        encoded = base64.b64encode(json.dumps(api.header()).encode()).decode()
        for query, headers in ((f"?header={encoded}&payload=e30=", {}), ("", {"x-api-key": "da2-test"})):
            url = f"ws://{api.host}{path}{query}"
            protocols: Any = ["graphql-ws"]
            async with connect(url, subprotocols=protocols, additional_headers=headers) as websocket:
                await websocket.send('{"type":"connection_init"}')
                assert json.loads(await websocket.recv())["type"] == "connection_ack"


@on_both_loops
async def test_bad_credentials_at_connect_are_told_and_the_connection_closed() -> None:
    async with running() as api, connected_client(api, header=api.header("wrong"), does_init=False) as client:
        assert await client.receive() == UNAUTHORIZED
        with pytest.raises(websockets.ConnectionClosed):
            await client.receive()

        assert api.realtime.metrics()["ConnectClientError"] == 1


async def test_missing_credentials_and_missing_protocol_are_told() -> None:
    async with running() as api:
        for protocols, message, answered in (
            (["graphql-ws"], "Required headers are missing.", "graphql-ws"),
            (None, "NoProtocolError", None),
        ):
            offered: Any = protocols
            async with connect(f"ws://{api.host}/graphql/realtime", subprotocols=offered) as websocket:
                frame = json.loads(await websocket.recv())
                assert websocket.subprotocol == answered
                assert frame["type"] == "connection_error"
                assert frame["payload"]["errors"] == [{"message": message, "errorCode": 400}]
                with pytest.raises(websockets.ConnectionClosed):
                    await websocket.recv()


@on_both_loops
async def test_each_start_brings_its_own_credentials() -> None:
    async with running() as api, connected_client(api) as client:
        refused = await client.start("a", ON_ALL, header=api.header("wrong"))
        accepted = await client.start("b", ON_ALL)

        assert refused["id"] == "a"
        assert refused["payload"]["errors"] == [
            {"errorType": "UnauthorizedException", "message": "Valid authorization header not provided."}
        ]
        assert accepted == {"id": "b", "type": "start_ack"}
        assert [kind for kind, _, _ in api.engine.attempts] == ["connect", "start", "start"]
        assert api.engine.attempts[0][1:] == ("{}", ("127.0.0.1",))
        assert json.loads(api.engine.attempts[1][1])["query"] == ON_ALL


@on_both_loops
async def test_custom_headers_reach_the_resolver_without_authorization() -> None:
    async with running() as api, connected_client(api, query="?X-Tenant=t1&Authorization=no") as client:
        header = {**api.header(), "Authorization": "secret", "x-amz-user-agent": "aws-amplify/6"}
        await client.start("a", ON_ALL, header=header)

        (seen,) = api.engine.seen_headers
        assert seen == {**api.header(), "x-tenant": "t1", "x-amz-user-agent": "aws-amplify/6"}


@on_both_loops
async def test_refusals_of_the_engine_and_of_the_resolver_are_error_frames() -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.setups["onAlert"] = RequestError("not for you", "Forbidden", error_info={"why": 1})

        undefined = await client.start("a", "subscription { onNothing { id } }")
        forbidden = await client.start("b", "subscription { onAlert { id } }")
        mutation = await client.start("c", "mutation { publishTelemetry { id } }")

    assert undefined["id"] == "a"
    assert "FieldUndefined" in undefined["payload"]["errors"][0]["message"]
    assert forbidden["payload"]["errors"] == [
        {"errorType": "Forbidden", "message": "not for you", "errorInfo": {"why": 1}}
    ]
    assert "id" not in mutation
    assert mutation["payload"]["errors"][0]["errorType"] == "UnsupportedOperation"


@on_both_loops
async def test_an_enhanced_filter_replaces_the_arguments() -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.setups["onTelemetry"] = Setup(filter=any_of("status", "ALARM"))
        await client.start("a", ON_DEVICE, {"d": "d1"})

        assert api.publish("publishTelemetry", event("d1", status="OK")) == 0
        assert api.publish("publishTelemetry", event("d2", status="ALARM")) == 1


async def test_a_filter_that_may_not_be_set_refuses_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.setups["onTelemetry"] = Setup(filter=any_of("status", 1, 2, 3, 4, 5, 6))

        refused = await client.start("a", ON_ALL)

        text = "subscription exceeds maximum value limit 5 for operator `in`."
        assert refused["payload"] == {"errors": [{"message": text, "errorCode": 400}]}
        assert len(api.realtime.registry) == 0
        assert "in takes at most 5 values; found 6." in caplog.text


@on_both_loops
async def test_null_and_omitted_arguments_differ() -> None:
    async with running() as api, connected_client(api) as client:
        await client.start("null", "subscription { onTelemetry(deviceId: null) { temperature } }")

        assert api.publish("publishTelemetry", event("d1")) == 0
        assert api.publish("publishTelemetry", {"temperature": 1}) == 1


@on_both_loops
async def test_after_stop_comes_complete_and_nothing_else() -> None:
    async with running() as api, connected_client(api) as client:
        await client.start("a", ON_ALL)
        await client.start("b", ON_ALL)
        await client.send({"type": "stop", "id": "a"})

        assert await client.receive() == {"id": "a", "type": "complete"}
        assert api.publish("publishTelemetry", event("d1")) == 1
        assert (await client.receive())["id"] == "b"
        assert len(api.realtime.registry) == 1


@on_both_loops
async def test_a_start_that_is_stopped_while_its_resolver_runs_never_subscribes() -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.gate = asyncio.Event()
        data = json.dumps({"query": ON_ALL})
        payload = {"data": data, "extensions": {"authorization": api.header()}}
        await client.send({"id": "a", "type": "start", "payload": payload})
        await client.send({"id": "a", "type": "stop"})
        stopped = await client.receive()
        api.engine.gate.set()
        api.engine.gate = None

        assert stopped == {"id": "a", "type": "complete"}
        assert await client.start("b", ON_ALL) == {"id": "b", "type": "start_ack"}
        assert len(api.realtime.registry) == 1


@on_both_loops
async def test_closing_ends_starts_that_still_wait() -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.gate = asyncio.Event()
        payload = {"data": json.dumps({"query": ON_ALL}), "extensions": {"authorization": api.header()}}
        await client.send({"id": "a", "type": "start", "payload": payload})
        while not api.realtime.tasks:
            await asyncio.sleep(0.005)

        await api.realtime.close()

        assert not api.realtime.tasks
        assert len(api.realtime.registry) == 0


@on_both_loops
async def test_an_id_stopped_and_started_again_while_the_first_resolver_runs_subscribes_once() -> None:
    async with running() as api, connected_client(api) as client:
        gate = api.engine.gate = asyncio.Event()
        payload = {"data": json.dumps({"query": ON_ALL}), "extensions": {"authorization": api.header()}}
        start = {"id": "a", "type": "start", "payload": payload}
        await client.send(start)
        await client.send({"id": "a", "type": "stop"})
        await client.send(start)
        assert (await client.receive())["type"] == "complete"
        gate.set()

        assert await client.receive() == {"id": "a", "type": "start_ack"}
        await client.send({"id": "a", "type": "stop"})
        assert (await client.receive())["type"] == "complete"
        assert len(api.realtime.registry) == 0


@on_both_loops
async def test_malformed_messages_are_answered_and_the_connection_lives() -> None:
    async with running() as api, connected_client(api) as client:
        for text in ("{", "[1]", "null", '{"type":"nonsense"}', '{"type":"start","id":"x","payload":{}}'):
            await client.send(text)
            answer = await client.receive()
            assert answer["payload"]["errors"][0]["errorType"] == "UnsupportedOperation"
        assert (await client.start("a", ON_ALL))["type"] == "start_ack"


@on_both_loops
async def test_binary_messages_close_the_connection() -> None:
    async with running() as api, connected_client(api) as client:
        await client.websocket.send(b"{}")
        with pytest.raises(websockets.ConnectionClosed):
            await client.receive()

        assert client.websocket.close_code == 1003


async def test_what_clients_do_wrong_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api:
        async with connected_client(api) as client:
            await client.start("a", ON_ALL)
            for message in (
                *2 * ({"type": "subscribe", "id": "b", "payload": {"query": ON_ALL}},),
                {"type": "start", "id": "b", "payload": {"query": ON_ALL}},
                {"type": "stop"},
            ):
                await client.send(message)
                assert (await client.receive())["payload"]["errors"][0]["errorType"] == "UnsupportedOperation"
            assert (await client.start("a", ON_ALL))["type"] == "error"
            await client.websocket.send(b"{}")
            with pytest.raises(websockets.ConnectionClosed):
                await client.receive()
        await settled(api, ActiveConnections=0)

    found = api.realtime.metrics()
    assert {name: found[name] for name in ("SubscribeSuccess", "SubscribeClientError", "UnsubscribeClientError")} == {
        "SubscribeSuccess": 1,
        "SubscribeClientError": 2,
        "UnsubscribeClientError": 1,
    }
    assert (found["DisconnectClientError"], found["DisconnectSuccess"]) == (1, 0)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(":")[0] for text in told] == [
        "a client's message was refused",
        "a client's start was refused",
        "a client's stop was refused",
        "a client's start was refused",
    ]
    assert "graphql-transport-ws (urql" in told[0]


async def test_a_wrong_signature_is_explained_at_connect_and_at_a_start() -> None:
    async with running() as api, connected_client(api) as client:

        async def refuse(*asked: Any) -> Any:
            raise SignatureRefused("The request signature does not match.\n\nThe Canonical String …")

        api.realtime.authenticate = refuse
        at_start = await client.start("a", ON_ALL)
        async with connected_client(api, does_init=False) as other:
            at_connect = await other.receive()

    error = {
        "errorType": "BadRequestException",
        "message": "The request signature does not match.\n\nThe Canonical String …",
    }
    assert at_start == {"id": "a", "type": "error", "payload": {"errors": [error]}}
    assert at_connect == {"type": "connection_error", "payload": {"errors": [{**error, "errorCode": 400}]}}


async def test_a_client_of_another_protocol_and_one_without_payload_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api:
        raw = base64.b64encode(json.dumps(api.header()).encode()).decode()
        url = f"ws://{api.host}/graphql"
        async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]  # a NewType
            refused = json.loads(await websocket.recv())
        async with connect(f"{url}?header={raw}", subprotocols=["graphql-ws"]) as websocket:  # type: ignore[list-item]
            await websocket.send('{"type":"connection_init"}')
            accepted = json.loads(await websocket.recv())

    assert refused["payload"] == {"errors": [{"message": "NoProtocolError", "errorCode": 400}]}
    assert accepted["type"] == "connection_ack"
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text[:66] for text in told] == [
        "a real-time client offers the subprotocols graphql-transport-ws: A",
        "a real-time client sends header in its query without payload=e30=,",
    ]


async def test_a_denied_subscription_is_told_once_because_amplify_reconnects_over_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as api, connected_client(api) as client:
        text = "Not Authorized to access onTelemetry on type Subscription"
        api.engine.setups["onTelemetry"] = RequestError(text, "Unauthorized")
        for identifier in "ab":
            refused = await client.start(identifier, ON_ALL)
            assert refused["payload"] == {"errors": [{"errorType": "Unauthorized", "message": text}]}

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"a subscription was refused: {text}; Amplify closes its connection over this and connects again"]


async def test_a_fault_of_the_server_at_connect_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api:

        async def broken(*asked: Any) -> Any:
            raise KeyError("no table")

        api.realtime.authenticate = broken
        async with connected_client(api, does_init=False) as client:
            refused = await client.receive()

    assert refused == {
        "type": "connection_error",
        "payload": {"errors": [{"errorType": "InternalFailure", "message": "Internal failure.", "errorCode": 500}]},
    }
    assert api.realtime.metrics()["ConnectServerError"] == 1
    assert "no table" in caplog.text


async def test_a_mutation_is_one_inbound_message_for_each_subscription_field_that_follows_it() -> None:
    async with running() as api, connected_client(api) as client:
        api.publish("publishTelemetry", event("d1"))
        await client.start("a", ON_DEVICE, {"d": "d1"})
        api.publish("publishTelemetry", event("d1") | {"temperature": "x" * 250_000})
        api.publish("raiseAlert", event("d1"))

        found = api.realtime.metrics()

    assert (found["InboundMessageSuccess"], found["InboundMessageError"]) == (2 + 1 + 1, 1)


async def test_a_verbose_log_has_the_subscriptions_of_a_connection_that_are_new_and_that_were_there() -> None:
    log = ApiLog("arn:aws:appsync:us-east-1:1:apis/api-1", LogSettings(is_verbose=True))
    ids = map("id-{}".format, itertools.count(1))
    subscriptions = SubscriptionLog("api-1", log, clock=lambda: 1000.0, new_request_id=lambda: next(ids))
    async with running(log=subscriptions) as api, connected_client(api) as client:
        api.engine.setups["onAlert"] = RequestError("not you", "Unauthorized")
        await client.start("a", ON_ALL)
        await client.start("b", ON_DEVICE, {"d": "d1"})
        await client.start("c", "subscription Q { onAlert { deviceId } }")

    messages = [line.message for line in log.after(0)]
    second = [line for line in messages if "id-2" in line]
    headers = f"{{host=[{api.host}], x-api-key=[****]}}"
    assert second[:5] == [
        "id-2 Begin Request",
        f'id-2 GraphQL Query: {ON_DEVICE}, Operation: null, Variables: {{"d":"d1"}}',
        f"id-2 Request Headers: {headers}",
        'id-2 New Subscriptions: {"onTelemetry":1}, Existing Subscriptions: {"onTelemetry":1}',
        json.dumps(json.loads(second[4]), separators=(",", ":")),
    ]
    kinds = [(one["requestId"], one["logType"], one.get("statusCode")) for one in map(json.loads, json_of(messages))]
    assert kinds == [
        ("id-1", "ExecutionSummary", None),
        ("id-1", "RequestSummary", 200),
        ("id-2", "ExecutionSummary", None),
        ("id-2", "RequestSummary", 200),
        ("id-3", "RequestSummary", 401),
    ]
    assert "da2-" not in "".join(messages)


def json_of(messages: list[str]) -> list[str]:
    return [message for message in messages if message.startswith("{")]


@pytest.mark.parametrize("enforces", [False, True])
async def test_quotas_of_an_api_are_told_once_or_applied(enforces: bool, caplog: pytest.LogCaptureFixture) -> None:
    limits = RealtimeLimits(
        enforces_rates=enforces, max_connects_per_s=1, max_inbound_per_s=3, max_invalidations_per_s=1
    )
    async with running(limits, wall_clock=lambda: 1000.0) as api, connected_client(api) as client:
        await client.start("a", ON_ALL)
        async with connected_client(api, does_init=not enforces) as late:
            answer = await late.receive() if enforces else None
        counts = [api.publish("publishTelemetry", event("d1")) for _ in range(3)]
        ended = [api.realtime.invalidate("onTelemetry", {}) for _ in range(3)]

    found = api.realtime.metrics()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    if enforces:
        error = {"errorType": "LimitExceededError", "message": "Rate limit exceeded", "errorCode": 429}
        assert answer == {"type": "connection_error", "payload": {"errors": [error]}}
        assert counts == [1, 0, 0]
        assert (found["InboundMessageSuccess"], found["InboundMessageDropped"]) == (2, 4)
        assert (found["InvalidationRequestSuccess"], found["InvalidationRequestDropped"]) == (1, 2)
        assert told == []
    else:
        assert counts == [1, 1, 1]
        assert (found["InboundMessageDropped"], found["InvalidationRequestDropped"]) == (0, 0)
        assert told == [
            "more than 1 real-time connections a second: AWS would refuse some",
            "more than 3 inbound messages a second: AWS would delay or drop some",
            "more than 1 invalidations a second: AWS would drop some",
        ]
    assert ended == [0, 0, 0]


async def test_every_metric_of_the_service_is_there_from_the_start() -> None:
    async with running() as api:
        found = api.realtime.metrics()

    assert {name for name in found if name.startswith(("Connect", "Disconnect"))} == {
        "ConnectRequests",
        "ConnectSuccess",
        "ConnectClientError",
        "ConnectServerError",
        "ConnectionDuration",
        "DisconnectSuccess",
        "DisconnectClientError",
        "DisconnectServerError",
    }
    assert found["InboundMessageDropped"] == found["InvalidationRequestDropped"] == found["PublishDataMessageSize"] == 0


@on_both_loops
async def test_an_event_over_240_kb_reaches_nobody_and_the_publisher_does_not_notice() -> None:
    async with running() as api, connected_client(api) as client:
        await client.start("a", ON_DEVICE, {"d": "d1"})

        assert api.publish("publishTelemetry", event("d1") | {"temperature": "x" * 250_000}) == 0
        assert api.publish("publishTelemetry", event("d1")) == 1
        assert (await client.receive())["payload"]["data"]["onTelemetry"]["temperature"] == 21.5
        assert api.realtime.metrics()["InboundMessageError"] == 1


async def test_what_aws_keeps_silent_about_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api, connected_client(api) as client:
        await client.start("a", "subscription { onTelemetry { deviceId humidity } }")
        await client.start("b", 'subscription { onTelemetry(site: "s1") { deviceId } }')
        for _ in range(3):
            api.publish("publishTelemetry", event("d1"))

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "publishTelemetry does not select site, which subscriptions filter on: they will not get its events",
        "publishTelemetry does not select humidity: subscribers of onTelemetry get null there",
    ]


async def test_a_filter_that_no_event_can_pass_is_told_once_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api, connected_client(api) as client:
        api.engine.setups["onTelemetry"] = Setup(filter=any_of("zone", "z1"))
        for identifier in "ab":
            assert (await client.start(identifier, ON_ALL))["type"] == "start_ack"

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["onTelemetry filters on zone, but Telemetry has no field zone"]


@pytest.mark.parametrize(
    ("operator", "value", "reason"),
    [
        ("between", [5, 1], "between [5, 1] matches nothing"),
        ("between", ["a", "a"], "between ['a', 'a'] matches nothing"),
        ("between", [1, 2], None),
    ],
)
async def test_a_filter_whose_values_nothing_matches_is_told(
    operator: str, value: list[Any], reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"fieldName": "site", "operator": operator, "value": value}
    async with running() as api, connected_client(api) as client:
        api.engine.setups["onTelemetry"] = Setup(filter={"filterGroup": [{"filters": [rule]}]})
        assert (await client.start("a", ON_ALL))["type"] == "start_ack"

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ([f"onTelemetry filters on site, but {reason}"] if reason else [])


async def test_fields_a_subscriber_may_not_see_are_told_once_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as api, connected_client(api) as client:
        for identifier in "ab":
            await client.start(identifier, "subscription { onTelemetry { deviceId secret } }")

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["a subscriber of onTelemetry may not see secret: it gets null there"]


@on_both_loops
async def test_invalidation_completes_the_subscription_and_closes_its_connection() -> None:
    async with running() as api, connected_client(api) as hit, connected_client(api) as spared:
        api.engine.setups["onTelemetry"] = Setup(invalidation_filter=any_of("user", "u1"))
        await hit.start("a", ON_ALL)
        api.engine.setups["onTelemetry"] = Setup(invalidation_filter=any_of("user", "u2"))
        await spared.start("a", ON_ALL)

        assert api.realtime.invalidate("onTelemetry", {"user": "u1"}) == 1
        assert await hit.receive() == {"id": "a", "type": "complete"}
        with pytest.raises(websockets.ConnectionClosed):
            await hit.receive()

        assert hit.websocket.close_reason == "Subscription complete."
        await settled(api, ActiveConnections=1, ActiveSubscriptions=1)


@on_both_loops
async def test_keep_alive_goes_to_every_connection() -> None:
    async with (
        running(RealtimeLimits(keep_alive_s=0.2)) as api,
        connected_client(api) as first,
        connected_client(api) as second,
    ):
        for client in (first, second, first):
            assert await client.receive() == {"type": "ka"}


@on_both_loops
async def test_connections_end_with_their_lifetime_and_their_subscriptions_with_them() -> None:
    async with running(RealtimeLimits(lifetime_s=0.2)) as api, connected_client(api) as client:
        await client.start("a", ON_ALL)
        with pytest.raises(websockets.ConnectionClosed):
            await client.receive()

        await settled(api, ActiveConnections=0, ActiveSubscriptions=0)


@on_both_loops
async def test_a_client_that_leaves_takes_its_subscriptions_with_it() -> None:
    async with running() as api:
        async with connected_client(api) as client:
            await client.start("a", ON_ALL)
            await client.start("b", ON_DEVICE, {"d": "d1"})
            client.websocket.transport.abort()
        await settled(api, ActiveConnections=0, ActiveSubscriptions=0)

        assert api.publish("publishTelemetry", event("d1")) == 0


@on_both_loops
async def test_a_subscriber_that_does_not_read_is_dropped_and_others_are_not() -> None:
    async with (
        running(websocket_limits=WebSocketLimits(max_queued_bytes=200_000, close_timeout_s=0.1)) as api,
        connected_client(api) as slow,
        connected_client(api) as fast,
    ):
        await slow.start("a", ON_DEVICE, {"d": "d1"})
        await fast.start("b", ON_DEVICE, {"d": "d2"})
        slow.websocket.transport.pause_reading()
        async with asyncio.timeout(20):
            while api.realtime.metrics()["ActiveSubscriptions"] == 2:
                api.publish("publishTelemetry", event("d1") | {"temperature": "x" * 50_000})
                await asyncio.sleep(0)
        assert api.publish("publishTelemetry", event("d2")) == 1
        assert (await fast.receive())["id"] == "b"
        slow.websocket.transport.abort()
        await settled(api, ActiveConnections=1)


@on_both_loops
async def test_a_subscriber_that_reads_gets_more_at_once_than_may_wait_for_one_that_does_not() -> None:
    async with (
        running(websocket_limits=WebSocketLimits(max_queued_bytes=200_000, close_timeout_s=0.1)) as api,
        connected_client(api) as client,
    ):
        await client.start("a", ON_DEVICE, {"d": "d1"})

        for number in range(6):
            assert api.publish("publishTelemetry", event("d1") | {"temperature": f"{number}" * 50_000}) == 1
        received = [await client.receive() for _ in range(6)]

    assert [one["payload"]["data"]["onTelemetry"]["temperature"][0] for one in received] == list("012345")


@on_both_loops
async def test_hundreds_of_subscriptions_on_two_connections_get_each_event_once() -> None:
    async with running() as api, connected_client(api) as one, connected_client(api) as two:
        for client in (one, two):
            for i in range(100):
                await client.start(f"{i}", ON_DEVICE, {"d": f"d{i % 10}"})

        counts = [api.publish("publishTelemetry", event(f"d{i}", n=i)) for i in range(10)]

        assert counts == [20] * 10
        for client in (one, two):
            frames = [await client.receive() for _ in range(100)]
            assert sorted(int(frame["id"]) for frame in frames) == list(range(100))
            for frame in frames:
                assert frame["payload"]["data"]["onTelemetry"]["deviceId"] == f"d{int(frame['id']) % 10}"


def gql_client(api: Api, api_key: str = "da2-test", path: str = "/graphql") -> GqlClient:
    auth = AppSyncApiKeyAuthentication(host=api.host, api_key=api_key)
    return GqlClient(transport=AppSyncWebsocketsTransport(url=f"ws://{api.host}{path}", auth=auth))


async def test_gql_subscribes_receives_and_stops() -> None:
    async with running() as api:
        received = []
        async with gql_client(api) as session:
            query = gql(ON_DEVICE)
            query.variable_values = {"d": "d1"}
            stream = session.subscribe(query)
            first = asyncio.ensure_future(anext(stream))
            await settled(api, ActiveSubscriptions=1)
            for temperature in (1, 2, 3):
                api.publish("publishTelemetry", event("d1") | {"temperature": temperature})
            received.append(await first)
            received += [await anext(stream), await anext(stream)]
            await stream.aclose()
            await settled(api, ActiveSubscriptions=0)
        await settled(api, ActiveConnections=0)

    assert [result["onTelemetry"]["temperature"] for result in received] == [1, 2, 3]


async def test_gql_reports_refusals() -> None:
    async with running() as api:
        with pytest.raises(TransportServerError, match="not authorized"):
            await anext(gql_client(api, "wrong").subscribe_async(gql(ON_ALL)))
        async with gql_client(api) as session:
            with pytest.raises(TransportQueryError, match="FieldUndefined"):
                await anext(session.subscribe(gql("subscription { onNothing { id } }")))
