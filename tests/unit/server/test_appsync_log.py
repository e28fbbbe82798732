"""Requests as the service logs and counts them."""

import asyncio
import json
from typing import Any

import pytest

from headwater.appsync_js import compile_module
from headwater.datasource.resolvers import PipelineResolver, ResolverSettings, Step, UnitResolver
from headwater.datasource.sources.none_source import NoneSource
from headwater.engine import GraphQLEngine, GraphQLRequest, GraphQLResult, RequestContext, load_schema
from headwater.engine.calls import FieldCall
from headwater.server.appsync.api_log import MAX_LINE_CHARACTERS, MAX_LINES, ApiLog, FieldLogLevel, LogSettings
from headwater.server.appsync.log import RequestLog, TracedResolver
from headwater.values.identity import GraphQLCaller

ARN = "arn:aws:appsync:us-east-1:123456789012:apis/api-1"


class Clock:
    """Each reading is a millisecond later."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class Constant:
    max_batch_size = 0

    async def resolve(self, call: FieldCall) -> Any:
        return {"name": "Ann"}

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        return [{"name": "Ann"} for _ in calls]


def api_log(level: FieldLogLevel = FieldLogLevel.NONE, *, is_verbose: bool = False) -> ApiLog:
    return ApiLog(ARN, LogSettings(level, is_verbose=is_verbose))


def messages(log: ApiLog) -> list[str]:
    return [line.message for line in log.after(0)]


def json_lines(log: ApiLog) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages(log) if message.startswith("{")]


def context(**headers: str) -> RequestContext:
    return RequestContext(GraphQLCaller("API_KEY"), headers=dict(headers), request_id="id-1", now=1000.0)


# What is counted and said of requests


def test_a_request_is_summarized_with_its_latency_in_nanoseconds() -> None:
    log = api_log()

    RequestLog("api-1", lambda: 1000.25, log).request("id-1", 200, 1000.0)

    (line,) = log.after(0)
    assert (line.number, line.epoch_ms) == (1, 1_000_250)
    assert json.loads(line.message) == {
        "logType": "RequestSummary",
        "requestId": "id-1",
        "graphQLAPIId": "api-1",
        "statusCode": 200,
        "latency": 250_000_000,
    }


def test_an_execution_is_summarized() -> None:
    log = api_log()

    known, new = context(), context()
    new.document_times = (1000.125, 1000.25, 1000.5)
    requests = RequestLog("api-1", lambda: 1000.5, log)
    requests.execution(new)
    requests.execution(known)

    line, again = json_lines(log)
    assert line["parsing"] == {"startOffset": 125_000_000, "duration": 125_000_000}
    assert line["validation"] == {"startOffset": 250_000_000, "duration": 250_000_000}
    assert again["parsing"] == again["validation"] == {"startOffset": 0, "duration": 0}
    assert line["logType"] == "ExecutionSummary"
    assert (line["startTime"], line["endTime"]) == ("1970-01-01T00:16:40.000000Z", "1970-01-01T00:16:40.500000Z")
    assert line["duration"] == 500_000_000


@pytest.mark.parametrize("level", [FieldLogLevel.NONE, FieldLogLevel.ERROR, FieldLogLevel.ALL])
def test_from_level_error_on_the_errors_of_a_response_are_logged(level: FieldLogLevel) -> None:
    log = api_log(level)
    requests = RequestLog("api-1", lambda: 1000.5, log)

    requests.execution(context(), [{"path": ["a"], "errorType": "Nope", "message": "no"}])
    requests.execution(context(), None)

    expected = (
        [] if level is FieldLogLevel.NONE else ['id-1 Errors: [{"path":["a"],"errorType":"Nope","message":"no"}]']
    )
    assert [one for one in messages(log) if not one.startswith("{")] == expected


def test_requests_their_errors_tokens_and_latency_are_counted() -> None:
    log = RequestLog("api-1", lambda: 0.25)

    for status, started_at in ((200, 0.0), (401, 0.15), (500, 0.25)):
        log.request("id", status, started_at)
    log.execution(RequestContext(GraphQLCaller("API_KEY")))

    assert log.metrics() == {
        "Requests": 3,
        "4XXError": 1,
        "5XXError": 1,
        "TokensConsumed": 1,
        "Latency": {"SampleCount": 3, "Sum": 350.0, "Maximum": 250.0},
    }


def test_a_verbose_log_has_query_and_headers_but_no_keys_or_tokens() -> None:
    log = api_log(is_verbose=True)
    requests = RequestLog("api-1", lambda: 1000.0, log)
    asked = context(**{"x-api-key": "da2-secret", "authorization": "token"})
    asked.headers |= {"accept": ["a", "b"], "host": "localhost"}

    requests.asked(GraphQLRequest("query Q { a }", {"v": 1}, "Q"), asked)
    requests.answered({"content-type": "application/json"}, asked)

    assert requests.is_verbose
    assert messages(log) == [
        "id-1 Begin Request",
        'id-1 GraphQL Query: query Q { a }, Operation: Q, Variables: {"v":1}',
        "id-1 Request Headers: {x-api-key=[****], authorization=[****], accept=[a, b], host=[localhost]}",
        "id-1 Response Headers: {content-type=[application/json]}",
        "id-1 Tokens Consumed: 1",
        "id-1 End Request",
    ]


def test_a_traced_resolver_logs_path_types_arn_and_times() -> None:
    log = api_log(FieldLogLevel.ALL)
    schema = load_schema("type Person { name: String } type Query { person: Person }")
    resolver = TracedResolver(
        Constant(), api_id="api-1", resolver_arn="arn:x", return_type="Person", log=log, clock=Clock()
    )
    engine = GraphQLEngine(schema, {("Query", "person"): resolver}, default_mode="API_KEY")
    asked = context()

    result = asyncio.run(engine.execute(GraphQLRequest("{ who: person { name } }"), asked))
    RequestLog("api-1", lambda: 1001.0, log).execution(asked)

    assert result.body == {"data": {"who": {"name": "Ann"}}}
    assert [one for one in messages(log) if not one.startswith("{")] == [
        "id-1 Begin Execution - Type Name: Query and Field Name: person",
        "id-1 End Field Execution",
        "id-1 Begin Tracing",
        "id-1 End Tracing",
    ]
    line = json_lines(log)[0]
    assert line == {
        "logType": "Tracing",
        "requestId": "id-1",
        "graphQLAPIId": "api-1",
        "path": ["who"],
        "parentType": "Query",
        "returnType": "Person",
        "fieldName": "person",
        "resolverArn": "arn:x",
        "startOffset": line["startOffset"],
        "duration": line["duration"],
    }
    assert line["startOffset"] == pytest.approx(1_000_000, rel=0.01)
    assert line["duration"] == pytest.approx(1_000_000, rel=0.01)


# What is said of handlers

CODE = """
import {{ util }} from '@aws-appsync/utils';
export function request(ctx) {{ {request} return {{ payload: ctx.args.id }}; }}
export function response(ctx) {{ {response} return ctx.result; }}
"""
INFO = 'id-1 INFO - code.js:3:32: "info" 1'
DEBUG = 'id-1 DEBUG - code.js:3:56: "debug"'
ERROR = 'id-1 ERROR - code.js:3:80: "error"'
PRINTS = "console.log('info', 1); console.debug('debug'); console.error('error');"


def run(log: ApiLog, *, request: str = "", response: str = "", is_pipeline: bool = False) -> GraphQLResult:
    module = compile_module(CODE.format(request=request, response=response), "code.js")
    settings = ResolverSettings(observer=log)
    resolver: Any = UnitResolver(module, NoneSource(), name="Query.thing", settings=settings)
    if is_pipeline:
        resolver = PipelineResolver(module, [Step("load", module, NoneSource())], name="Query.thing", settings=settings)
    engine = GraphQLEngine(
        load_schema("type Query { thing(id: ID): ID }"), {("Query", "thing"): resolver}, default_mode="API_KEY"
    )
    return asyncio.run(engine.execute(GraphQLRequest('{ thing(id: "7") }'), context(**{"x-api-key": "da2-secret"})))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (FieldLogLevel.NONE, []),
        (FieldLogLevel.ERROR, [ERROR]),
        (FieldLogLevel.INFO, [INFO, ERROR]),
        (FieldLogLevel.DEBUG, [INFO, DEBUG, ERROR]),
    ],
)
def test_what_handlers_print_is_logged_by_level(level: FieldLogLevel, expected: list[str]) -> None:
    log = api_log(level)

    result = run(log, request=PRINTS)

    assert result.body == {"data": {"thing": "7"}}
    assert messages(log) == expected


def test_at_level_error_only_the_handler_that_failed_is_logged() -> None:
    log = api_log(FieldLogLevel.ERROR)

    run(log)
    run(log, response="util.error('no such thing', 'NotFound');")

    assert json_lines(log) == [
        {
            "logType": "ResponseFunctionEvaluation",
            "requestId": "id-1",
            "graphQLAPIId": "api-1",
            "path": ["thing"],
            "fieldName": "thing",
            "parentType": "Query",
            "resolverArn": f"{ARN}/types/Query/fields/thing",
            "fieldInError": True,
            "errors": ["no such thing"],
        }
    ]


def test_at_level_all_every_handler_of_a_pipeline_is_logged_with_its_function_and_what_it_returned() -> None:
    log = api_log(FieldLogLevel.ALL, is_verbose=True)

    run(log, is_pipeline=True)

    lines = json_lines(log)
    assert [(line["logType"], line.get("functionName"), line["evaluationResult"]) for line in lines] == [
        ("BeforeRequestFunctionEvaluation", None, {"payload": "7"}),
        ("RequestFunctionEvaluation", "load", {"payload": "7"}),
        ("ResponseFunctionEvaluation", "load", "7"),
        ("AfterResponseFunctionEvaluation", None, "7"),
    ]
    assert lines[0]["context"] == {"arguments": {"id": "7"}}


@pytest.mark.parametrize(
    ("level", "is_verbose", "kinds"),
    [
        (FieldLogLevel.ERROR, True, []),
        (FieldLogLevel.INFO, False, []),
        (FieldLogLevel.INFO, True, ["RequestFunctionEvaluation", "ResponseFunctionEvaluation"]),
        (FieldLogLevel.DEBUG, True, ["RequestFunctionEvaluation", "ResponseFunctionEvaluation"]),
    ],
)
def test_from_level_info_on_a_verbose_log_has_what_each_handler_came_to(
    level: FieldLogLevel, is_verbose: bool, kinds: list[str]
) -> None:
    log = api_log(level, is_verbose=is_verbose)

    run(log)

    assert [line["logType"] for line in json_lines(log)] == kinds
    assert log.wants_traces is False


def test_headers_in_a_logged_context_hide_keys_and_tokens() -> None:
    log = api_log(FieldLogLevel.ALL, is_verbose=True)

    run(log, request="const seen = ctx.request.headers;")

    assert json_lines(log)[0]["context"]["request"]["headers"] == {"x-api-key": "****"}
    assert "da2-secret" not in "".join(messages(log))


# The ring


def test_the_ring_keeps_the_newest_lines_and_bounds_each() -> None:
    log = api_log()

    for number in range(MAX_LINES + 5):
        log.write(0.0, "id", str(number))
    log.write(0.0, "id", "x" * (MAX_LINE_CHARACTERS + 10))

    lines = log.after(0)
    assert len(lines) == MAX_LINES
    assert lines[0].message == "id 6"
    assert len(lines[-1].message) == MAX_LINE_CHARACTERS + len("id ")
    assert [line.number for line in log.after(lines[-2].number)] == [lines[-1].number]


def test_a_request_writes_at_most_a_megabyte() -> None:
    log = api_log()

    for number in range(9):
        log.write(0.0, "big", f"{number}" * 200_000)
    log.write(0.0, "small", "a line")
    log.write(0.0, "big", {"logType": "RequestSummary"})

    assert [line.message[:5] for line in log.after(0)] == ["big 0", "big 1", "big 2", "big 3", "big 4", "small"]


async def test_a_reader_waits_for_the_next_line_and_no_longer_than_it_says() -> None:
    log = api_log()

    waiting = asyncio.ensure_future(log.wait_after(0, 10.0))
    await asyncio.sleep(0)
    log.write(0.0, "id", "hello")

    assert [line.message for line in await waiting] == ["id hello"]
    assert await log.wait_after(log.last_number, 0.0) == []
