"""GraphQL over HTTP on a real socket: what clients send, and statuses, headers and bodies they get."""

import asyncio
import gzip
import io
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from headwater.engine import FieldCall, GraphQLEngine, Limits, PublishedMutation, RequestContext, load_schema
from headwater.errors import RequestError
from headwater.server.appsync.http import AppSyncHttp
from headwater.server.http.server import HttpServer
from headwater.values.http import HttpRequest
from headwater.values.identity import GraphQLCaller

SDL = """
type Query { hello(name: String): String headers: AWSJSON long: String secret: String @aws_iam
  slow: String stuck: String }
type Mutation { say(text: String!): Said }
type Said { text: String }
type Subscription { onSaid: Said @aws_subscribe(mutations: ["say"]) }
"""


class Function:
    max_batch_size = 0

    def __init__(self, function: Any) -> None:
        self.function = function

    async def resolve(self, call: FieldCall) -> Any:
        return self.function(call)

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        return [self.function(call) for call in calls]


class Waiting(Function):
    """Waits for the future its function gives."""

    async def resolve(self, call: FieldCall) -> Any:
        return await self.function(call)


class Endpoint:
    """A running server with a client for it."""

    def __init__(self) -> None:
        self.published: list[tuple[PublishedMutation, str]] = []
        self.invalidated: list[Any] = []
        self.session: aiohttp.ClientSession | None = None
        self.url = ""
        numbers = itertools.count(1)
        engine = GraphQLEngine(
            load_schema(SDL),
            {
                ("Query", "hello"): Function(lambda call: f"hello {call.arguments.get('name')}"),
                ("Query", "headers"): Function(lambda call: call.request.headers),
                ("Query", "long"): Function(lambda call: "x" * 5000),
                ("Query", "slow"): Waiting(lambda call: asyncio.sleep(0, "slowly")),
                ("Query", "stuck"): Waiting(lambda call: asyncio.get_running_loop().create_future()),
                ("Mutation", "say"): Function(self.say),
            },
            default_mode="API_KEY",
            limits=Limits(timeout_s=0.2),
        )
        self.handler = AppSyncHttp(
            engine,
            self.authenticate,
            clock=lambda: 1.5,
            new_request_id=lambda: f"request-{next(numbers)}",
            publish=self.publish,
            invalidate=lambda context: self.invalidated.extend(context.invalidations),
        )
        self.server = HttpServer(self.handler)

    def say(self, call: FieldCall) -> Any:
        if call.arguments["text"] == "invalidate":
            call.request.invalidations.append({"subscriptionField": "onSaid", "payload": {}})
            call.request.response_headers["x-said"] = "yes"
        return call.arguments

    async def authenticate(self, request: HttpRequest, request_id: str) -> GraphQLCaller:
        if not request.header("x-api-key"):
            raise RequestError("Missing authorization header", "UnauthorizedException")
        if request.header("x-api-key") != "key":
            raise RequestError("You are not authorized to make this call.", "UnauthorizedException")
        return GraphQLCaller("API_KEY")

    def publish(self, published: PublishedMutation, context: RequestContext) -> None:
        self.published.append((published, context.request_id))

    async def request(
        self, method: str, *, path: str = "", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case) and undecoded body."""
        assert self.session is not None
        sent = {"x-api-key": "key", "content-type": "application/json", **(headers or {})}
        data = io.BytesIO(body or b"")
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return response.status, found, await response.read()

    async def post(self, document: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of a POST."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, found, body = await self.request("POST", body=json.dumps(document).encode(), headers=named)
        return status, found, json.loads(body)


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    running = Endpoint()
    port = await running.server.start("127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{port}/graphql"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        running.session = session
        yield running
    await running.server.stop(1.0)


async def test_a_post_is_answered_with_the_service_s_headers(endpoint: Endpoint) -> None:
    status, headers, body = await endpoint.post({"query": "{ hello }", "variables": None, "operationName": None})

    assert (status, body) == (200, {"data": {"hello": "hello None"}})
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-amzn-requestid"] == "request-1"
    assert headers["x-amzn-appsync-tokensconsumed"] == "1"
    assert headers["access-control-allow-origin"] == "*"
    assert "x-amzn-errortype" not in headers


@pytest.mark.parametrize(
    "content_type",
    ["application/json;charset=utf-8", 'application/json; charset="UTF-8"', "application/graphql", "text/plain"],
)
async def test_json_is_read_whatever_its_content_type(endpoint: Endpoint, content_type: str) -> None:
    status, _, body = await endpoint.post({"query": '{ hello(name: "ü") }'}, content_type=content_type)

    assert (status, body) == (200, {"data": {"hello": "hello ü"}})


async def test_a_body_of_another_charset_is_decoded_and_an_unknown_charset_refused(endpoint: Endpoint) -> None:
    text = '{"query": "{ hello(name: \\"ü\\") }"}'
    latin = {"content-type": "application/json; charset=iso-8859-1"}
    unknown = {"content-type": "application/json; charset=klingon"}

    status, _, body = await endpoint.request("POST", body=text.encode("iso-8859-1"), headers=latin)
    refused, _, _ = await endpoint.request("POST", body=text.encode(), headers=unknown)

    assert (status, json.loads(body)) == (200, {"data": {"hello": "hello ü"}})
    assert refused == 415


@pytest.mark.parametrize("charset", ["undefined", "idna", "rot13", "utf-16", "utf-8\x00"])
async def test_no_charset_makes_the_endpoint_fail(charset: str) -> None:
    headers = (("content-type", f"application/json; charset={charset}"), ("x-api-key", "key"))
    request = HttpRequest("POST", "/graphql", "", headers, b'{"query":"{hello}"\xff', "127.0.0.1")

    response = await Endpoint().handler(request)

    assert response.status in (400, 415)


async def test_a_bare_query_is_read_as_application_graphql(endpoint: Endpoint) -> None:
    status, _, body = await endpoint.request("POST", body=b"{ hello }", headers={"content-type": "application/graphql"})

    assert (status, body) == (200, b'{"data":{"hello":"hello None"}}')


async def test_a_get_takes_query_variables_and_name_from_the_url(endpoint: Endpoint) -> None:
    path = "?query=query%20A(%24n:String)%7Bhello(name:%24n)%7D%20query%20B%7Blong%7D&variables=%7B%22n%22:%22x%22%7D"

    status, _, body = await endpoint.request("GET", path=path + "&operationName=A")

    assert (status, body) == (200, b'{"data":{"hello":"hello x"}}')


async def test_a_mutation_by_get_is_run(endpoint: Endpoint) -> None:
    status, _, body = await endpoint.request("GET", path='?query=mutation{say(text:"hi"){text}}')

    assert (status, body) == (200, b'{"data":{"say":{"text":"hi"}}}')
    assert len(endpoint.published) == 1


MALFORMED = "MalformedHttpRequestException"
UNPARSABLE = "Unable to parse GraphQL query."


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        (b"", MALFORMED, "Request body is empty."),
        (b"meow", MALFORMED, UNPARSABLE),
        (b"{}", MALFORMED, UNPARSABLE),
        (b"[]", MALFORMED, UNPARSABLE),
        (b'[{"query":"{hello}"}]', MALFORMED, UNPARSABLE),
        (b'{"query":5}', MALFORMED, UNPARSABLE),
        (b'{"query":"{"}', MALFORMED, UNPARSABLE),
        (b'{"query":"{hello}","variables":[]}', MALFORMED, "variables must be a JSON object, not list."),
        (
            b'{"query":"{hello}","variables":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
            MALFORMED,
            "The request body cannot be read: it is nested more than 200 levels deep.",
        ),
        (b'{"query":"{hello}","operationName":5}', MALFORMED, "operationName must be a string, not int."),
        (b'{"query":"query A{hello} query B{hello}"}', "BadRequestException", "Missing operation name."),
        (
            b'{"query":"subscription{onSaid{text}}"}',
            "UnsupportedOperation",
            "Subscriptions are served over WebSocket only.",
        ),
    ],
)
async def test_what_is_no_request_is_answered_with_400(
    endpoint: Endpoint, body: bytes, error_type: str, message: str
) -> None:
    status, headers, answer = await endpoint.request("POST", body=body)

    assert status == 400
    assert headers["x-amzn-errortype"] == error_type
    assert json.loads(answer) == {"errors": [{"errorType": error_type, "message": message}]}


@pytest.mark.parametrize("path", ["", "?query=", "?query={hello}&variables=x", "?variables={}"])
async def test_a_get_without_a_readable_request_is_answered_with_400(endpoint: Endpoint, path: str) -> None:
    assert (await endpoint.request("GET", path=path))[0] == 400


async def test_bad_or_missing_credentials_are_answered_with_401(endpoint: Endpoint) -> None:
    missing = await endpoint.post({"query": "{ hello }"}, x_api_key="")
    wrong = await endpoint.post({"query": "{ hello }"}, x_api_key="other")

    assert [one[0] for one in (missing, wrong)] == [401, 401]
    assert missing[2] == {"errors": [{"errorType": "UnauthorizedException", "message": "Missing authorization header"}]}
    assert wrong[1]["x-amzn-errortype"] == "UnauthorizedException"


async def test_validation_errors_and_refused_fields_are_answered_with_200(endpoint: Endpoint) -> None:
    invalid = await endpoint.post({"query": "{ nope }"})
    refused = await endpoint.post({"query": "{ hello secret }"})

    assert (invalid[0], invalid[2]["data"]) == (200, None)
    assert (refused[0], refused[2]["data"]) == (200, {"hello": "hello None", "secret": None})


async def test_the_graphql_response_type_is_answered_when_it_is_preferred(endpoint: Endpoint) -> None:
    wanted = "application/graphql-response+json, application/json;q=0.9"

    good = await endpoint.post({"query": "{ hello }"}, accept=wanted)
    bad = await endpoint.post({"query": "{ nope }"}, accept=wanted)
    second = await endpoint.post({"query": "{ nope }"}, accept="application/json, application/graphql-response+json")

    assert (good[0], good[1]["content-type"]) == (200, "application/graphql-response+json; charset=utf-8")
    assert (bad[0], bad[1]["content-type"]) == (400, "application/graphql-response+json; charset=utf-8")
    assert (second[0], second[1]["content-type"]) == (200, "application/json; charset=utf-8")


async def test_other_methods_are_answered_with_405(endpoint: Endpoint) -> None:
    status, headers, _ = await endpoint.request("PUT", body=b"{}")

    assert (status, headers["allow"]) == (405, "GET, POST, OPTIONS")


async def test_a_body_over_one_megabyte_is_refused(endpoint: Endpoint) -> None:
    status, _, _ = await endpoint.request("POST", body=b'{"query":"' + b" " * 1024 * 1024 + b'{hello}"}')

    assert status == 413


async def test_a_preflight_allows_the_headers_it_asks_for(endpoint: Endpoint) -> None:
    asked = {"origin": "http://x", "access-control-request-headers": "authorization,x-api-key,x-amz-user-agent"}

    status, headers, body = await endpoint.request("OPTIONS", headers=asked)

    assert (status, body) == (200, b"")
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-headers"] == "authorization,x-api-key,x-amz-user-agent"
    assert headers["access-control-allow-methods"] == "GET, POST, OPTIONS"


async def test_long_responses_are_compressed_when_asked_and_short_ones_not(endpoint: Endpoint) -> None:
    query = json.dumps({"query": "{ long }"}).encode()

    plain = await endpoint.request("POST", body=query, headers={"accept-encoding": "identity"})
    refused = await endpoint.request("POST", body=query, headers={"accept-encoding": "gzip;q=0"})
    packed = await endpoint.request("POST", body=query, headers={"accept-encoding": "br, gzip;q=0.5"})
    short = await endpoint.request("POST", body=b'{"query":"{hello}"}', headers={"accept-encoding": "gzip"})

    assert packed[1]["content-encoding"] == "gzip"
    assert gzip.decompress(packed[2]) == plain[2] == refused[2]
    assert all("content-encoding" not in one[1] for one in (plain, refused, short))


async def test_resolvers_see_lower_case_headers_without_cookies(endpoint: Endpoint) -> None:
    _, _, body = await endpoint.post({"query": "{ headers }"}, X_Custom="a", Cookie="secret=1")

    headers = json.loads(body["data"]["headers"])
    assert headers["x-custom"] == "a"
    assert "cookie" not in headers


async def test_mutations_are_published_before_the_answer_with_their_request(endpoint: Endpoint) -> None:
    await endpoint.post({"query": 'mutation { a: say(text: "1") { t: text } b: say(text: "2") { text } }'})

    assert [(one.mutation_field, one.response, request_id) for one, request_id in endpoint.published] == [
        ("say", {"text": "1"}, "request-1"),
        ("say", {"text": "2"}, "request-1"),
    ]


async def test_invalidations_are_handed_over_and_response_headers_sent(endpoint: Endpoint) -> None:
    _, headers, _ = await endpoint.post({"query": 'mutation { say(text: "invalidate") { text } }'})

    assert endpoint.invalidated == [{"subscriptionField": "onSaid", "payload": {}}]
    assert headers["x-said"] == "yes"


async def test_resolvers_may_wait_and_run_into_the_time_limit(endpoint: Endpoint) -> None:
    slow = await endpoint.post({"query": "{ a: slow b: slow hello }"})
    stuck = await endpoint.post({"query": "{ slow stuck }"})

    assert slow[2] == {"data": {"a": "slowly", "b": "slowly", "hello": "hello None"}}
    assert (stuck[0], stuck[2]["errors"][0]["errorType"]) == (200, "ExecutionTimeout")
