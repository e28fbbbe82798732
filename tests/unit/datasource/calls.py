"""Resolver calls and modules for these tests, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.appsync_js import JsModule, compile_module
from headwater.datasource import LambdaSource, UnitResolver
from headwater.errors import RequestError


@dataclass
class FieldInfo:
    selection_set_list: list[str] = field(default_factory=lambda: ["id"])
    selection_set_graphql: str = "{\n  id\n}"
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class User:
    identity: Mapping[str, Any] | None = None


@dataclass
class GraphQLRequest:
    caller: User = field(default_factory=User)
    headers: Mapping[str, Any] = field(default_factory=lambda: {"x-api-key": "da2-k", "cookie": "secret"})
    request_id: str = "request-1"
    now: float = 1_700_000_000.0
    domain_name: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    invalidations: list[Any] = field(default_factory=list)
    response_headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FieldCall:
    parent_type: str = "Query"
    field_name: str = "getThing"
    arguments: dict[str, Any] = field(default_factory=dict)
    source: Any = None
    info: FieldInfo = field(default_factory=FieldInfo)
    request: GraphQLRequest = field(default_factory=GraphQLRequest)
    appended: list[RequestError] = field(default_factory=list)

    def append_error(self, error: RequestError) -> None:
        self.appended.append(error)


@dataclass
class Reply:
    payload: bytes
    function_error: str | None = None


def js(request: str = "return { payload: null };", response: str = "return ctx.result;", head: str = "") -> JsModule:
    return compile_module(
        f"{head}\nexport function request(ctx) {{ {request} }}\nexport function response(ctx) {{ {response} }}",
        "test.js",
    )


def unit(source: Any, request: str, response: str = "return ctx.result;", **options: Any) -> UnitResolver:
    return UnitResolver(js(request, response), source, name="Query.getThing", **options)


class Function:
    """A Lambda function of the test: remembers its events and answers with what it is given to answer."""

    def __init__(self, payload: bytes = b"null", function_error: str | None = None) -> None:
        self.events: list[bytes] = []
        self.reply = Reply(payload, function_error)

    async def __call__(self, payload: bytes) -> Reply:
        self.events.append(payload)
        return self.reply

    def source(self) -> LambdaSource:
        return LambdaSource(self)
