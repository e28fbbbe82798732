"""Runs the handlers of one APPSYNC_JS module in an engine of its own, within hard limits."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Literal, cast

import orjson
import quickjs

from headwater.appsync_js.outcome import HandlerOutcome, outcome_from
from headwater.appsync_js.rewrite import rewrite_module
from headwater.appsync_js.subset import enforce_subset
from headwater.appsync_js.syntax import SourceTree
from headwater.appsync_js.usage import ContextUsage, context_usage, needs_entropy
from headwater.appsync_js.zones import zone_table
from headwater.errors import RequestError, TemplateError

HandlerName = Literal["request", "response"]
RawHandler = Callable[[str, float, str, bool], str]

# The engine counts the CPU time of the whole process, so the limit is generous; loops are counted by themselves.
TIME_LIMIT_S = 0.5
MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
STACK_LIMIT_BYTES = 512 * 1024
RUNTIME_FILES = (
    "core.js",
    "text.js",
    "ids.js",
    "time.js",
    "transform.js",
    "dynamodb.js",
    "rds.js",
    "web.js",
    "harness.js",
)
# Sealing removes these from the global object; the runtime goes on using them.
KEPT_FOR_RUNTIME = "const {Error, RegExp, Map} = globalThis;"


class JsEngine:
    """One QuickJS context with the AppSync runtime in it; sealed once the code is loaded."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        self._context.set_memory_limit(MEMORY_LIMIT_BYTES)
        self._context.set_max_stack_size(STACK_LIMIT_BYTES)
        folder = files("headwater.appsync_js") / "js"
        sources = [(folder / name).read_text(encoding="utf-8").rstrip().removesuffix(";") for name in RUNTIME_FILES]
        parts = ";".join(f"(\n{source}\n)(rt)" for source in sources)
        self._context.eval(f"(() => {{ {KEPT_FOR_RUNTIME} const rt = {{library: {{}}}};{parts};rt.install(); }})()")

    def load(self, code: str) -> dict[HandlerName, RawHandler]:
        """Run module code once and take its handlers.

        Raises: quickjs.JSException for a fault at the top level of the module.
        """
        self._context.set_time_limit(TIME_LIMIT_S)
        self._context.eval(code)
        handlers: dict[HandlerName, RawHandler] = {
            "request": self._context.eval("__headwater.request"),
            "response": self._context.eval("__headwater.response"),
        }
        self._set_zone = self._context.eval("__headwater.setZone")
        self._context.eval("__headwater.seal()")
        return handlers

    def load_zone(self, name: str) -> None:
        """Hand in a zone's table; an unknown name is remembered as such."""
        table = zone_table(name)
        self._set_zone(name, None if table is None else orjson.dumps(table).decode())


class JsModule:
    """The `request` and `response` handlers of one resolver or function.

    Not safe to enter from two threads at once. `needs_entropy` tells whether `call` wants random bytes.
    """

    def __init__(self, name: str, code: str, usage: Mapping[HandlerName, ContextUsage], *, needs_entropy: bool) -> None:
        self.name = name
        self.needs_entropy = needs_entropy
        self._code = code
        self._usage = usage
        self._reset()

    def _reset(self) -> None:
        self._engine = JsEngine()
        self._handlers = self._engine.load(self._code)

    def usage(self, handler: HandlerName) -> ContextUsage:
        """What the handler reads of its context."""
        return self._usage[handler]

    def call(
        self,
        handler: HandlerName,
        context: Mapping[str, Any],
        *,
        now_ms: float,
        entropy: bytes = b"",
    ) -> HandlerOutcome:
        """Run one handler over AppSync's context object, of which only the parts its code names are passed.

        `context` holds JSON values under `arguments identity source request info prev stash result error env
        outErrors`; keys may be missing. `entropy` seeds every id and random number of the call. Faults of the code,
        of its limits and of its memory come back as an error of type `Code`.
        """
        usage = self._usage[handler]
        text = orjson.dumps({part: context[part] for part in usage.parts if part in context}).decode()
        # The engine's binding cuts integers to 32 bits, doubles cross whole.
        now = float(now_ms)
        try:
            answer = self._handlers[handler](text, now, entropy.hex(), usage.keeps_stash)
            while answer[0] == "Z":
                self._engine.load_zone(answer[1:])
                answer = self._handlers[handler](text, now, entropy.hex(), usage.keeps_stash)
        except quickjs.JSException as error:
            return HandlerOutcome(error=RequestError(self._limit_message(str(error)), "Code"))
        kind = answer[0]
        if kind == "R":
            return HandlerOutcome(result=orjson.loads(answer[1:]))
        if kind == "U":
            return HandlerOutcome()
        outcome = outcome_from(orjson.loads(answer[1:]))
        if outcome.error is not None and "out of memory" in outcome.error.message:
            self._reset()
        return outcome

    def _limit_message(self, message: str) -> str:
        # What filled the memory may still be held by globals of the library's caches: start anew.
        if "out of memory" in message:
            self._reset()
            return f"{self.name} used more than {MEMORY_LIMIT_BYTES // (1024 * 1024)} MB of memory"
        if "interrupted" in message:
            return f"{self.name} ran longer than {int(TIME_LIMIT_S * 1000)} ms"
        return message


def compile_module(code: str, name: str) -> JsModule:
    """Check an APPSYNC_JS module against the language subset and load it.

    Raises: TemplateError naming `name`, line, column and rule of each refused construct, or the fault of its top level.
    """
    tree = SourceTree.parse(code)
    enforce_subset(tree, name)
    handlers: tuple[HandlerName, HandlerName] = ("request", "response")
    usage = {handler: context_usage(tree, handler) for handler in handlers}
    try:
        return JsModule(name, rewrite_module(tree), cast(Any, usage), needs_entropy=needs_entropy(tree))
    except quickjs.JSException as error:
        raise TemplateError(f"{name}: the module fails when it is loaded: {error}") from error
