"""Access, caching, HTTP data sources and explanations of an API as `headwater up` serves it."""

import base64
import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from headwater.auth.jwt import make_pool_key, sign_jwt
from tests.appsync.conftest import STACK, Api, Web, arguments_of
from tests.support.product import Product, StartFailed

WHO = "{ who { identity secret } }"


def post(api: Api, query: str, headers: Mapping[str, str], **variables: Any) -> tuple[int, dict[str, Any], Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(api.url, body, {"content-type": "application/json", **headers})
    try:
        answer = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, json.loads(answer.read()), answer.headers


def key(api: Api) -> dict[str, str]:
    return {"x-api-key": str(api.product.ready["apiKey"])}


def control(api: Api, name: str) -> Any:
    headers = {"authorization": f"Bearer {api.product.ready['secretAccessKey']}"}
    request = urllib.request.Request(f"{api.product.ready['awsEndpointUrl']}/_headwater/{name}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


class Subscriber:
    """A real-time client; `header` is the object that says who it is."""

    def __init__(self, websocket: ClientConnection, header: Mapping[str, str]) -> None:
        self.websocket = websocket
        self.header = header

    def send(self, message: Any) -> None:
        self.websocket.send(json.dumps(message))

    def receive(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; keep-alives and others before it are dropped."""
        while True:
            message: dict[str, Any] = json.loads(self.websocket.recv(timeout=20))
            if message["type"] in (kind, "error", "connection_error"):
                return message

    def start(self, query: str, identifier: str = "one") -> dict[str, Any]:
        payload = {"data": json.dumps({"query": query}), "extensions": {"authorization": self.header}}
        self.send({"id": identifier, "type": "start", "payload": payload})
        return self.receive("start_ack")


@contextlib.contextmanager
def subscriber(api: Api, **header: str) -> Iterator[Subscriber]:
    """A client that is connected and has sent its connection_init."""
    whole = {"host": api.url.split("/")[2], **header}
    raw = base64.urlsafe_b64encode(json.dumps(whole).encode()).decode().rstrip("=")
    subprotocols: Any = ["graphql-ws", f"header-{raw}"]
    with connect(str(api.product.ready["realtimeUrl"]), subprotocols=subprotocols) as websocket:
        client = Subscriber(websocket, whole)
        client.send({"type": "connection_init"})
        yield client


# Lambda authorizer


def test_an_authorizers_resolver_context_is_the_identity_that_resolvers_see(api: Api) -> None:
    status, body, _ = post(api, WHO, {"authorization": "good-context"})

    assert status == 200
    assert json.loads(body["data"]["who"]["identity"]) == {"resolverContext": {"partner": "acme"}}


def test_a_field_the_authorizer_denies_is_null_with_an_error(api: Api) -> None:
    _, body, _ = post(api, WHO, {"authorization": "good-denied"})

    assert body["data"]["who"]["secret"] is None
    (error,) = body["errors"]
    assert error["errorType"] == "Unauthorized"
    assert error["message"] == "Not Authorized to access secret on type Who"
    assert error["path"] == ["who", "secret"]


def test_a_caller_the_authorizer_does_not_let_in_is_answered_401(api: Api) -> None:
    status, body, headers = post(api, WHO, {"authorization": "bad"})

    assert status == 401
    assert body == {
        "errors": [{"errorType": "UnauthorizedException", "message": "You are not authorized to make this call."}]
    }
    assert headers["x-amzn-ErrorType"] == "UnauthorizedException"


def test_the_authorizer_is_told_the_request_and_its_id(api: Api) -> None:
    _, _, headers = post(api, "query Ask { who { identity } }", {"authorization": "good-told", "x-trace": "t"}, a=1)

    (event,) = api.authorizer_events("good-told")
    assert event["requestContext"]["queryString"] == "query Ask { who { identity } }"
    assert event["requestContext"]["variables"] == {"a": 1}
    assert event["requestContext"]["requestId"] == headers["x-amzn-RequestId"]
    assert event["requestHeaders"]["x-trace"] == "t"


def test_an_authorizers_reply_is_kept_for_its_time_to_live_unless_it_says_zero(api: Api) -> None:
    for token in ("good-kept", "good-kept", "good-once", "good-once"):
        post(api, WHO, {"authorization": token})

    assert len(api.authorizer_events("good-kept")) == 1
    assert len(api.authorizer_events("good-once")) == 2


def test_the_authorizer_decides_at_connect_and_again_for_each_start(api: Api) -> None:
    with subscriber(api, Authorization="good-once") as client:
        before = len(api.authorizer_events("good-once"))

        answer = client.start('subscription { onPut(id: "7") { id } }')

    assert answer == {"id": "one", "type": "start_ack"}
    connect_event, start_event = api.authorizer_events("good-once")[before - 1 :]
    assert connect_event["requestContext"]["operationName"] == "DeepDish:Connect"
    assert connect_event["requestContext"]["queryString"] == ""
    assert start_event["requestContext"]["queryString"] == 'subscription { onPut(id: "7") { id } }'


def test_a_connection_the_authorizer_refuses_is_told_so(api: Api) -> None:
    with subscriber(api, Authorization="bad") as client:
        answer = client.receive("connection_ack")

    assert answer["type"] == "connection_error"
    assert answer["payload"]["errors"][0]["errorType"] == "UnauthorizedException"
    assert answer["payload"]["errors"][0]["errorCode"] == 401


def test_a_connection_has_as_many_subscriptions_as_the_quota_allows(api: Api) -> None:
    with subscriber(api, **key(api)) as client:
        answers = [client.start("subscription { onPut { id } }", str(number)) for number in range(4)]

    assert [answer["type"] for answer in answers] == ["start_ack"] * 3 + ["error"]
    assert answers[3]["payload"] == {
        "errors": {"errorType": "MaxSubscriptionsReachedError", "message": "Max number of 3 subscriptions reached"}
    }


# OpenID Connect


def claims(web: Web, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": web.url, "sub": "user-1", "aud": "app-web", "iat": now, "exp": now + 600, **changes}


def test_a_token_of_the_issuer_is_let_in_with_its_claims_as_identity(api: Api, web: Web) -> None:
    given = claims(web)

    status, body, _ = post(api, WHO, {"authorization": f"Bearer {sign_jwt(web.key, given)}"})

    assert status == 200
    assert json.loads(body["data"]["who"]["identity"]) == {"sub": "user-1", "issuer": web.url, "claims": given}


@pytest.mark.parametrize("changes", [{"aud": "other"}, {"iss": "http://127.0.0.1:1"}, {"exp": 1}])
def test_a_token_for_somebody_else_or_of_the_past_is_refused(api: Api, web: Web, changes: dict[str, Any]) -> None:
    status, _, _ = post(api, WHO, {"authorization": sign_jwt(web.key, claims(web, **changes))})

    assert status == 401


def test_a_new_key_of_the_issuer_is_fetched_and_any_other_is_refused(api: Api, web: Web) -> None:
    web.key = make_pool_key()

    statuses = [
        post(api, WHO, {"authorization": sign_jwt(key, claims(web))})[0] for key in (web.key, make_pool_key(), web.key)
    ]

    assert statuses == [200, 401, 200]


# HTTP data source, cache, headers, introspection


def test_an_http_data_source_signs_with_its_role_and_a_cached_field_asks_once_until_it_is_evicted(
    api: Api, web: Web
) -> None:
    query = "query Page($path: String!) { page(path: $path) }"
    evict = "mutation Forget($path: String!) { forget(path: $path) }"

    first = post(api, query, key(api), path="/cached")[1]["data"]["page"]
    second = post(api, query, key(api), path="/cached")[1]["data"]["page"]
    _, evicted, _ = post(api, evict, key(api), path="/cached")
    third = post(api, query, key(api), path="/cached")[1]["data"]["page"]

    assert first == second
    assert evicted == {"data": {"forget": True}, "extensions": {"apiCacheEntriesDeleted": 1}}
    assert third != first
    visits = [headers for path, headers in web.requests if path == "/cached"]
    assert len(visits) == 2
    assert "/us-east-1/execute-api/aws4_request" in visits[0]["authorization"]


def test_an_event_bridge_data_source_puts_events_that_rules_deliver(api: Api) -> None:
    _, document, _ = post(api, 'mutation { announce(text: "hello") }', key(api))

    assert document == {"data": {"announce": 0}}
    (event,) = api.product.messages("News")
    assert event["detail"] == {"text": "hello"}


def test_headers_that_a_handler_adds_are_sent(api: Api) -> None:
    _, _, headers = post(api, WHO, key(api))

    assert headers["x-who"] == "told"
    assert headers["x-amzn-appsync-TokensConsumed"] == "1"


def test_introspection_that_is_disabled_finds_no_such_field(api: Api) -> None:
    _, body, _ = post(api, "{ __schema { queryType { name } } }", key(api))

    assert "FieldUndefined" in body["errors"][0]["message"]
    assert body["data"] is None


# Watching it


def test_metrics_count_requests_and_their_errors(api: Api) -> None:
    before = control(api, "metrics")["apis"]["Api"]

    post(api, WHO, key(api))
    post(api, WHO, {"authorization": "bad"})

    after = control(api, "metrics")["apis"]["Api"]
    assert {name: after[name] - before[name] for name in ("Requests", "4XXError", "5XXError", "TokensConsumed")} == {
        "Requests": 2,
        "4XXError": 1,
        "5XXError": 0,
        "TokensConsumed": 1,
    }


def headwater(api: Api, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *arguments, "--data-dir", str(api.product.data_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout + done.stderr


def explain(api: Api, *options: str) -> str:
    return headwater(api, "explain", "subscription", *options)


def test_metrics_have_the_latency_of_requests_and_the_duration_of_connections(api: Api) -> None:
    post(api, WHO, key(api))
    with subscriber(api, **key(api)) as client:
        client.receive("connection_ack")

    found = control(api, "metrics")["apis"]["Api"]

    assert found["Latency"]["SampleCount"] == found["Requests"]
    assert found["Latency"]["Sum"] >= found["Latency"]["Maximum"] > 0
    assert found["ConnectRequests"] >= found["ConnectSuccess"] >= 1
    assert found["ConnectionDuration"]["SampleCount"] >= found["DisconnectSuccess"] - 1


def test_logs_show_what_the_service_would_log_of_a_request(api: Api) -> None:
    _, _, headers = post(api, "query Ask { who { identity } }", key(api))

    request_id = headers["x-amzn-RequestId"]
    lines = [line.split(" ", 1)[1] for line in headwater(api, "logs", "Api").splitlines() if request_id in line]
    logged = [json.loads(line)["logType"] for line in lines if line.startswith("{")]
    assert logged == [
        "RequestFunctionEvaluation",
        "ResponseFunctionEvaluation",
        "Tracing",
        "ExecutionSummary",
        "RequestSummary",
    ]
    assert f"{request_id} GraphQL Query: query Ask {{ who {{ identity }} }}, Operation: null, Variables: {{}}" in lines
    assert f"{request_id} Tokens Consumed: 1" in lines
    assert str(api.product.ready["apiKey"]) not in "".join(lines)


def test_logs_show_the_start_of_a_subscription_as_a_request(api: Api) -> None:
    with subscriber(api, **key(api)) as client:
        assert client.start("subscription Seen { onPut { id site } }")["type"] == "start_ack"

    lines = [line.split(" ", 1)[1] for line in headwater(api, "logs", "Api").splitlines()]
    (asked,) = [line for line in lines if "GraphQL Query: subscription Seen" in line]
    request_id = asked.split(" ", 1)[0]
    mine = [line for line in lines if request_id in line]
    assert f'{request_id} New Subscriptions: {{"onPut":1}}, Existing Subscriptions: {{}}' in mine
    logged = [json.loads(line) for line in mine if line.startswith("{")]
    assert [(one["logType"], one.get("statusCode")) for one in logged] == [
        ("ExecutionSummary", None),
        ("RequestSummary", 200),
    ]


def test_an_invalidation_of_an_unknown_field_is_told_and_counted(api: Api) -> None:
    before = control(api, "metrics")["apis"]["Api"]

    for field in ("onPut", "onNothing"):
        assert post(api, "mutation E($f: String!) { end(field: $f) }", key(api), f=field)[1] == {"data": {"end": True}}

    after = control(api, "metrics")["apis"]["Api"]
    changed = {name: after[name] - before[name] for name in after if name.startswith("InvalidationRequest")}
    assert changed == {
        "InvalidationRequestSuccess": 1,
        "InvalidationRequestError": 1,
        "InvalidationRequestFailure": 0,
        "InvalidationRequestDropped": 0,
    }
    assert "invalidates subscriptions to onNothing, which is no subscription field" in api.product.log()


def test_logs_of_something_unknown_name_what_there_is(api: Api) -> None:
    assert "there is no function or API 'Nope'; there are" in headwater(api, "logs", "Nope")


def test_explain_subscription_names_who_got_an_event_and_the_field_that_kept_it_from_others(api: Api) -> None:
    with subscriber(api, **key(api)) as here, subscriber(api, **key(api)) as elsewhere:
        here.start('subscription { onPut(site: "s1") { id site note } }')
        elsewhere.start('subscription { onPut(site: "s2") { id } }')

        post(api, 'mutation { put(id: "1", site: "s1", note: "n") { id site } }', key(api))

        received = here.receive("data")
        told = explain(api)
    assert received["payload"]["data"]["onPut"] == {"id": "1", "site": "s1", "note": None}
    assert "sent to onPut, one\n    null there, because the mutation did not select it: note" in told
    assert 'not sent to onPut, one:\n    site eq "s2": the event has "s1"' in told


def test_explain_subscription_names_the_fields_its_subscriber_may_not_see(api: Api) -> None:
    with subscriber(api, authorization="good-denied") as denied:
        denied.start("subscription { onPut { id note } }")

        post(api, 'mutation { put(id: "1", site: "s1", note: "n") { id note } }', key(api))

        received = denied.receive("data")
        told = explain(api)
    assert received["payload"]["data"]["onPut"] == {"id": "1", "note": None}
    assert "sent to onPut, one\n    with an error: Not Authorized to access note on type Thing" in told


def test_explain_subscription_says_when_there_is_no_such_event(api: Api) -> None:
    assert "have none like that" in explain(api, "--mutation", "nowhere")


def test_the_counts_of_an_api_are_told_when_it_stops(web: Web, tmp_path: Path) -> None:
    arguments = arguments_of(tmp_path / "log", web.url)
    product = Product(tmp_path / "data", arguments, template=STACK / "template.yaml").start()
    asked = Api(product, tmp_path / "log")
    with subscriber(asked, **key(asked)) as client:
        client.start("subscription { onPut { id } }")
        post(asked, 'mutation { put(id: "1") { id } }', key(asked))
        client.receive("data")
    post(asked, WHO, {"x-api-key": "da2-nobody"})

    assert product.terminate() == 0

    (line,) = [line for line in product.log().splitlines() if line.startswith("  Api  ")]
    counts = line.removeprefix("  Api  ").split(", ")
    for count in ("Requests 2", "4XXError 1", "ConnectSuccess 1", "SubscribeSuccess 1", "PublishDataMessageSuccess 1"):
        assert count in counts
    assert not any(count.endswith(" 0") for count in counts)


def test_an_endpoint_elsewhere_is_refused_at_the_start_with_the_option_that_allows_it(tmp_path: Path) -> None:
    arguments = arguments_of(tmp_path / "log", "http://api.example.com")
    product = Product(tmp_path / "data", arguments, template=STACK / "template.yaml")

    with pytest.raises(StartFailed) as refused:
        product.start()

    assert "--allow-host api.example.com" in str(refused.value)
    assert "HttpConfig.Endpoint" in str(refused.value)
    assert "Traceback" not in str(refused.value)
