"""What resolvers need of the engine around them and of the data sources below them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.errors import RequestError


class Caller(Protocol):
    """Who asks: `identity` is exactly `ctx.identity`."""

    @property
    def identity(self) -> Mapping[str, Any] | None: ...


class Request(Protocol):
    """The GraphQL request a call belongs to; `now` in epoch seconds. Resolvers report into the last two members."""

    @property
    def caller(self) -> Caller: ...
    @property
    def headers(self) -> Mapping[str, Any]: ...
    @property
    def request_id(self) -> str: ...
    @property
    def now(self) -> float: ...
    @property
    def domain_name(self) -> str | None: ...
    @property
    def extensions(self) -> dict[str, Any]: ...
    @property
    def invalidations(self) -> list[Any]: ...


class Info(Protocol):
    """The selection of a call, computed when asked for."""

    @property
    def selection_set_list(self) -> list[str]: ...
    @property
    def selection_set_graphql(self) -> str: ...
    @property
    def variables(self) -> Mapping[str, Any]: ...


class Call(Protocol):
    """One resolution of one field."""

    @property
    def parent_type(self) -> str: ...
    @property
    def field_name(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...
    @property
    def source(self) -> Any: ...
    @property
    def info(self) -> Info: ...
    @property
    def request(self) -> Request: ...
    def append_error(self, error: RequestError) -> None: ...


# Not frozen: one is made for each resolution, and freezing costs 1 µs. Nothing changes it afterwards.
@dataclass(slots=True)
class SourceCall:
    """Whose request a data source executes.

    `resolver_id` names the resolver or function and binds its page tokens; `request_id` goes into error texts.
    """

    resolver_id: str
    request_id: str = ""
    parent_type: str = ""
    field_name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] | None = None


class DataSource(Protocol):
    """Executes what a request handler returned."""

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """The value of `ctx.result`.

        Raises: DataSourceError, which becomes `ctx.error` and whose `data` becomes `ctx.result`; RequestError of type
        `MappingTemplate` for a request the source cannot read, which ends the resolver.
        """
        ...


@dataclass(frozen=True, slots=True)
class SubscriptionSetup:
    """What a subscription resolver decided at start."""

    filter: dict[str, Any] | None = None
    invalidation_filter: dict[str, Any] | None = None
    result: Any = None


def malformed(message: str) -> RequestError:
    """A request object the data source cannot execute, as AppSync words and types it."""
    return RequestError(message, "MappingTemplate")


def json_kind(value: Any) -> str:
    """What kind of JSON a value is, as the service calls it."""
    if value is None:
        return "NULL"
    kinds = {bool: "BOOLEAN", int: "NUMBER", float: "NUMBER", str: "STRING", list: "ARRAY"}
    return kinds.get(type(value), "OBJECT")


def not_an_object(value: Any, path: str) -> RequestError:
    """A member that has to be an object and is `value`."""
    return malformed(f"Expected JSON object for field '{path}' but got '{json_kind(value)}' instead.")


_EXPECTED: Mapping[type, str] = {dict: "JSON object", list: "JSON array", str: "string"}


def require(request: Any, name: str, kind: type, path: str = "$") -> Any:
    """A member of a request object. Raises: RequestError of type MappingTemplate if it is absent or of another type."""
    if not isinstance(request, dict):
        raise not_an_object(request, path)
    value = request.get(name)
    if value is None:
        raise malformed(f"Value for field '{path}[{name}]' not found.")
    if not isinstance(value, kind):
        expected = _EXPECTED.get(kind, kind.__name__)
        raise malformed(f"Expected {expected} for field '{path}[{name}]' but got '{json_kind(value)}' instead.")
    return value


def unsupported_operation(operation: Any, supported: tuple[str, ...]) -> RequestError:
    """An operation the data source does not have."""
    return malformed(f"Unsupported operation '{operation}'. Supported operations: {', '.join(supported)}.")
