"""One run of a resolver: the context its handlers see and what they report."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from headwater.appsync_js import ContextUsage, HandlerName, HandlerOutcome, JsModule, PlainOutcome
from headwater.datasource.ports import Call, SourceCall
from headwater.errors import DataSourceError, RequestError

MAX_INVALIDATIONS = 5
ENTROPY_BYTES = 16

_logger = logging.getLogger(__name__)

HandlerKind = Literal["BeforeRequest", "Request", "Response", "AfterResponse"]


class Observer(Protocol):
    """Is told of every handler that was run."""

    @property
    def wants_all(self) -> bool:
        """Whether it needs to know of each handler, and not just of those that printed or failed."""
        ...

    def handler_ran(
        self, kind: HandlerKind, call: Call, function: str | None, context: Mapping[str, Any], outcome: HandlerOutcome
    ) -> None:
        """`function` is the name of a pipeline's function; `context` has the parts that the code names."""
        ...


Entropy = Callable[[int], bytes]
Evict = Callable[[Sequence[Mapping[str, Any]], float], int]


class ResolverRun(msgspec.Struct, eq=False):
    """The state of resolving one call: stash, previous result, current result and error.

    `result` and `error` are `ctx.result` and `ctx.error` of the step that runs; `previous` is `ctx.prev.result`, and
    `has_previous` is false before the pipeline's request handler has run. `is_done` and `skips_to_end` are set by
    `runtime.earlyReturn` in the request handler of a step.
    """

    call: Call
    environment: Mapping[str, str]
    entropy: Entropy
    evict: Evict | None
    observer: Observer | None = None
    stash: dict[str, Any] = msgspec.field(default_factory=dict)
    previous: Any = None
    has_previous: bool = False
    result: Any = None
    error: dict[str, Any] | None = None
    is_done: bool = False
    skips_to_end: bool = False
    subscription_filter: dict[str, Any] | None = None
    invalidation_filter: dict[str, Any] | None = None

    def run_handler(
        self, module: JsModule, handler: HandlerName, kind: HandlerKind, function: str | None = None
    ) -> HandlerOutcome:
        """Run a handler and take up what it did; `function` is the name of the pipeline's function that it is of.

        Raises: RequestError for `util.error`, `util.unauthorized` and faults of the code.
        """
        context = self.context(module.usage(handler))
        outcome = module.call(
            handler,
            context,
            now_ms=self.call.request.now * 1000,
            entropy=self.entropy(ENTROPY_BYTES) if module.needs_entropy else b"",
        )
        if self.observer is not None:
            self.observer.handler_ran(kind, self.call, function, context, outcome)
        self._take(outcome, module)
        return outcome

    def run_both(self, module: JsModule, usage: ContextUsage) -> tuple[HandlerName, HandlerOutcome]:
        """Run both handlers on the NONE data source; see JsModule.call_both. Raises: as run_handler."""
        context = self.context(usage)
        handler, outcome = module.call_both(
            context,
            now_ms=self.call.request.now * 1000,
            entropy=self.entropy(2 * ENTROPY_BYTES) if module.needs_entropy else b"",
        )
        self.take_both(module, context, handler, outcome)
        return handler, outcome

    def take_both(
        self, module: JsModule, context: Mapping[str, Any], handler: HandlerName, outcome: HandlerOutcome
    ) -> None:
        """Take up what both handlers did. Raises: as run_handler."""
        if self.observer is not None:
            kind: HandlerKind = "Request" if handler == "request" else "Response"
            self.observer.handler_ran(kind, self.call, None, context, outcome)
        self._take(outcome, module)

    def _take(self, outcome: HandlerOutcome, module: JsModule) -> None:
        if isinstance(outcome, PlainOutcome):
            return
        if outcome.stash is not None:
            self.stash = outcome.stash
        if outcome.error is not None or outcome.appended or outcome.logs:
            self._report_messages(outcome, module.name)
        if outcome.subscription_filter is not None:
            self.subscription_filter = outcome.subscription_filter
        if outcome.invalidation_filter is not None:
            self.invalidation_filter = outcome.invalidation_filter
        if outcome.invalidations or outcome.evictions or outcome.response_headers:
            self._report_extensions(outcome)

    def _report_messages(self, outcome: HandlerOutcome, module_name: str) -> None:
        for line in outcome.logs:
            _logger.info("%s", line, extra={"module_name": module_name, "request_id": self.call.request.request_id})
        for error in outcome.appended:
            self.call.append_error(error)
        if outcome.is_unauthorized:
            field = f"{self.call.field_name} on type {self.call.parent_type}"
            raise RequestError(f"Not Authorized to access {field}", "Unauthorized")
        if outcome.error is not None:
            raise outcome.error

    def _report_extensions(self, outcome: HandlerOutcome) -> None:
        request = self.call.request
        request.invalidations.extend(outcome.invalidations)
        if len(request.invalidations) > MAX_INVALIDATIONS:
            del request.invalidations[MAX_INVALIDATIONS:]
            raise RequestError(f"A request may invalidate at most {MAX_INVALIDATIONS} subscriptions", "Code")
        headers = getattr(request, "response_headers", None)
        if isinstance(headers, dict) and outcome.response_headers:
            headers.update(outcome.response_headers)
        # AppSync evicts for mutations only, silently nothing elsewhere.
        if outcome.evictions and self.evict is not None and self.call.parent_type == "Mutation":
            deleted = self.evict(outcome.evictions, request.now)
            request.extensions["apiCacheEntriesDeleted"] = request.extensions.get("apiCacheEntriesDeleted", 0) + deleted

    def context(self, usage: ContextUsage | None) -> dict[str, Any]:
        """The context object with the parts named in `usage`; whole, as a Lambda event needs it, for None."""
        if usage is None:
            return {part: _PARTS[part](self, None) for part in _PARTS}
        if usage.ordered == _ARGUMENTS:
            # What most publish mutations and simple reads name; a comprehension costs twice as much.
            return {"arguments": self.call.arguments}
        return {part: _PARTS[part](self, usage) for part in usage.ordered}

    def event(self) -> dict[str, Any]:
        """The context as a direct Lambda resolver's event."""
        return {part: _PARTS[part](self, None) for part in _EVENT_PARTS}

    def source_call(self, resolver_id: str) -> SourceCall:
        """What a data source is told about this run."""
        call = self.call
        return SourceCall(
            resolver_id,
            call.request.request_id,
            call.parent_type,
            call.field_name,
            call.arguments,
            call.request.caller.identity,
        )

    def fail(self, error: DataSourceError) -> None:
        """A data source failed: `ctx.error` is set, and `ctx.result` is what the source knows of the current value."""
        self.result = error.data
        self.error = {"message": error.message, "type": error.error_type}
        if isinstance(error.error_info, dict):
            self.error.update(error.error_info)

    def succeed(self, result: Any) -> None:
        """A data source answered."""
        self.result = result
        self.error = None


def _identity_part(run: ResolverRun, usage: ContextUsage | None) -> Any:
    identity = run.call.request.caller.identity
    return None if identity is None else dict(identity)


def _request_part(run: ResolverRun, usage: ContextUsage | None) -> Any:
    headers = {name: value for name, value in run.call.request.headers.items() if name != "cookie"}
    return {"headers": headers, "domainName": run.call.request.domain_name}


def _info_part(run: ResolverRun, usage: ContextUsage | None) -> Any:
    call = run.call
    info: dict[str, Any] = {}
    if usage is None or usage.names_selection_set:
        info["selectionSetList"] = call.info.selection_set_list
        info["selectionSetGraphQL"] = call.info.selection_set_graphql
    info["fieldName"] = call.field_name
    info["parentTypeName"] = call.parent_type
    info["variables"] = dict(call.info.variables)
    return info


_PARTS: Mapping[str, Callable[[ResolverRun, ContextUsage | None], Any]] = {
    "arguments": lambda run, usage: run.call.arguments,
    "identity": _identity_part,
    "source": lambda run, usage: run.call.source,
    "request": _request_part,
    "prev": lambda run, usage: {"result": run.previous} if run.has_previous else None,
    "info": _info_part,
    "stash": lambda run, usage: run.stash,
    "result": lambda run, usage: run.result,
    "error": lambda run, usage: run.error,
    "env": lambda run, usage: dict(run.environment),
    "outErrors": lambda run, usage: [],
}
_ARGUMENTS = ("arguments",)
_EVENT_PARTS = ("arguments", "identity", "source", "request", "prev", "info", "stash")
