"""Requests as the service logs and counts them."""

import asyncio
import json
import logging
from typing import Any

import pytest

from headwater.engine import GraphQLEngine, GraphQLRequest, RequestContext, load_schema
from headwater.engine.calls import FieldCall
from headwater.server.appsync.log import RequestLog, TracedResolver
from headwater.values.identity import GraphQLCaller


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


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records]


def test_a_request_is_summarized_at_info_with_its_latency_in_nanoseconds(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog("api-1", lambda: 1000.25)

    with caplog.at_level(logging.INFO, "headwater.appsync"):
        log.request("id-1", 200, 1000.0)

    assert logged(caplog) == [
        {
            "logType": "RequestSummary",
            "requestId": "id-1",
            "graphQLAPIId": "api-1",
            "statusCode": 200,
            "latency": 250_000_000,
        }
    ]


def test_an_execution_is_summarized_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog("api-1", lambda: 1000.5)

    with caplog.at_level(logging.DEBUG, "headwater.appsync"):
        log.execution(RequestContext(GraphQLCaller("API_KEY"), request_id="id-1", now=1000.0))

    (line,) = logged(caplog)
    assert line["logType"] == "ExecutionSummary"
    assert (line["startTime"], line["endTime"]) == ("1970-01-01T00:16:40.000000Z", "1970-01-01T00:16:40.500000Z")
    assert line["duration"] == 500_000_000


def test_requests_their_errors_and_tokens_are_counted() -> None:
    log = RequestLog("api-1", lambda: 0.0)

    for status in (200, 401, 500):
        log.request("id", status, 0.0)
    log.execution(RequestContext(GraphQLCaller("API_KEY")))

    assert log.metrics() == {"Requests": 3, "4XXError": 1, "5XXError": 1, "TokensConsumed": 1}


def test_a_traced_resolver_logs_path_types_arn_and_times(caplog: pytest.LogCaptureFixture) -> None:
    schema = load_schema("type Person { name: String } type Query { person: Person }")
    resolver = TracedResolver(Constant(), api_id="api-1", resolver_arn="arn:x", return_type="Person", clock=Clock())
    engine = GraphQLEngine(schema, {("Query", "person"): resolver}, default_mode="API_KEY")
    context = RequestContext(GraphQLCaller("API_KEY"), request_id="id-1", now=1000.0)

    with caplog.at_level(logging.DEBUG, "headwater.appsync"):
        result = asyncio.run(engine.execute(GraphQLRequest("{ who: person { name } }"), context))

    assert result.body == {"data": {"who": {"name": "Ann"}}}
    (line,) = logged(caplog)
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
