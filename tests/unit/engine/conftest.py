"""A small API to run operations against."""

from collections.abc import Callable
from typing import Any

import pytest

from headwater.engine import FieldCall, GraphQLEngine, GraphQLRequest, GraphQLResult, RequestContext, load_schema
from headwater.values.identity import GraphQLCaller


class FunctionResolver:
    """A resolver made of a plain function; keeps its calls."""

    def __init__(self, function: Callable[[FieldCall], Any], max_batch_size: int = 0) -> None:
        self.function = function
        self.max_batch_size = max_batch_size
        self.calls: list[FieldCall] = []
        self.batches: list[int] = []

    async def resolve(self, call: FieldCall) -> Any:
        self.calls.append(call)
        return self.function(call)

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        self.calls += calls
        self.batches.append(len(calls))
        return [self.function(call) for call in calls]


class Api:
    """An engine with its resolvers, and callers to use it."""

    def __init__(self, sdl: str, resolvers: dict[str, Any], **options: Any) -> None:
        self.resolvers = {
            tuple(name.split(".")): one if hasattr(one, "resolve") else FunctionResolver(one)
            for name, one in resolvers.items()
        }
        options.setdefault("default_mode", "API_KEY")
        self.engine = GraphQLEngine(load_schema(sdl), self.resolvers, **options)  # type: ignore[arg-type]  # names split in two

    async def run(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        caller: GraphQLCaller | None = None,
    ) -> GraphQLResult:
        context = RequestContext(caller or GraphQLCaller("API_KEY"), request_id="r-1", now=0.0)
        return await self.engine.execute(GraphQLRequest(query, variables, operation_name), context)

    async def data(self, query: str, variables: dict[str, Any] | None = None, **options: Any) -> Any:
        """The data of an operation that has no errors."""
        result = await self.run(query, variables, **options)
        assert "errors" not in result.body, result.body
        return result.body["data"]

    async def messages(self, query: str, variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """The error messages of an operation."""
        result = await self.run(query, variables, **options)
        return [error["message"] for error in result.body.get("errors", [])]


@pytest.fixture
def make_api() -> type[Api]:
    return Api


@pytest.fixture
def resolver() -> type[FunctionResolver]:
    return FunctionResolver
