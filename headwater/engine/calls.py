"""What the engine and the parts around it exchange: requests, resolver calls, results and limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from headwater.engine.execution.faults import Path, path_list
from headwater.errors import RequestError
from headwater.values.identity import GraphQLCaller


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost; `max_depth` 0 means no limit, sizes are in bytes.

    Source: AppSync quotas (General Reference) and GraphQLApi's `QueryDepthLimit`, `ResolverCountLimit` and
    `IntrospectionConfig`. The cache bounds are ours; documents count with their compiled size, which is
    hundreds of times their text.
    """

    max_query_tokens: int = 15_000
    max_query_bytes: int = 1_000_000
    max_depth: int = 0
    max_resolvers: int = 10_000
    timeout_s: float = 30.0
    is_introspection_enabled: bool = True
    max_cached_documents: int = 1_000
    max_cached_bytes: int = 64_000_000
    max_plans_per_document: int = 32
    max_plan_fields: int = 20_000


# What is made for each request or field is a Struct: that costs a third of a dataclass, of a frozen one a tenth.
class GraphQLRequest(msgspec.Struct):
    """One operation as a client sends it; `variables` are raw JSON values."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class RequestContext(msgspec.Struct):
    """Everything resolvers may know of the request; `now` is in epoch seconds.

    `extensions` becomes the response's `extensions`; `invalidations` collects `extensions.invalidateSubscriptions`,
    `response_headers` what `util.http.addResponseHeader` sets. `tokens` is what the request is charged: one for each
    1,500 KB-seconds of the service's memory and processors, which here is never more than the least of one. `traces`
    are what a log collects of its resolvers, `document_times` are GraphQLEngine.take_times.
    """

    caller: GraphQLCaller
    headers: dict[str, str | list[str]] = msgspec.field(default_factory=dict)
    request_id: str = ""
    now: float = 0.0
    domain_name: str | None = None
    extensions: dict[str, Any] = msgspec.field(default_factory=dict)
    invalidations: list[Any] = msgspec.field(default_factory=list)
    response_headers: dict[str, str] = msgspec.field(default_factory=dict)
    tokens: int = 1
    traces: list[dict[str, Any]] | None = None
    document_times: tuple[float, float, float] | None = None


class SelectionInfo(Protocol):
    """`ctx.info`, computed when it is asked for."""

    @property
    def selection_set_list(self) -> list[str]: ...

    @property
    def selection_set_graphql(self) -> str: ...

    @property
    def variables(self) -> dict[str, Any]: ...


class FieldCall(msgspec.Struct):
    """One resolution of one field; `source` is the parent object's value, None at the root."""

    parent_type: str
    field_name: str
    arguments: dict[str, Any]
    source: Any | None
    info: SelectionInfo
    request: RequestContext
    appended: list[RequestError] | None = None
    path: Path = None

    @property
    def path_list(self) -> list[str | int]:
        """Where in the response the value goes, as `errors[].path` has it."""
        return path_list(self.path)

    def append_error(self, error: RequestError) -> None:
        """Add an entry to the response's `errors` without nulling the field, as `util.appendError` does."""
        if self.appended is None:
            self.appended = []
        self.appended.append(error)


class FieldResolver(Protocol):
    """Produces the values of one field of one type.

    A resolver that never waits may have a plain function `resolve_now(call)`, which does what `resolve` does, and then
    `resolve_each_now(calls)`, which gives what that does for each call in order, an exception where it raises one.
    """

    @property
    def max_batch_size(self) -> int:
        """How many calls of one request `resolve_batch` takes together; 0: never batched."""
        ...

    async def resolve(self, call: FieldCall) -> Any:
        """A JSON value. Raises: RequestError (DataSourceError included), which nulls the field."""
        ...

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        """One value or exception for each call, in order. Raises: RequestError, which nulls all of them."""
        ...


class PublishedMutation(msgspec.Struct):
    """A completed mutation field that has subscriptions.

    `response` is the field's completed response keyed by real field names. `selected` is the selection the mutation
    sent, as nested mappings from real field name to the selection below it (empty for a leaf).
    """

    mutation_field: str
    response: Any
    selected: Mapping[str, Any]


class GraphQLResult(msgspec.Struct):
    """An answer: `body` is the response document, `status` the HTTP status the service gives it.

    `is_refused` tells that nothing was executed.
    """

    body: dict[str, Any]
    status: int = 200
    published: tuple[PublishedMutation, ...] = ()
    is_refused: bool = False


class RequestRefused(RequestError):
    """A request that never ran: `errors` is the whole `errors` list, `status` the HTTP status.

    `has_data_member` tells whether the service sends `"data": null` beside the errors.
    """

    def __init__(self, errors: list[dict[str, Any]], *, status: int = 200, has_data_member: bool = True) -> None:
        first = errors[0] if errors else {}
        super().__init__(str(first.get("message", "")), first.get("errorType"))
        self.errors = errors
        self.status = status
        self.has_data_member = has_data_member

    def body(self) -> dict[str, Any]:
        if self.has_data_member:
            return {"data": None, "errors": self.errors}
        return {"errors": self.errors}


class SubscriptionRefused(RequestRefused):
    """A subscription that may not start; `errors` is what the `error` frame carries."""
