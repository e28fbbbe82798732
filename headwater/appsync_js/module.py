"""Runs the handlers of one APPSYNC_JS module in an engine of its own, within hard limits."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

import orjson
import quickjs

from headwater.appsync_js.outcome import HandlerOutcome, PlainOutcome, outcome_from
from headwater.appsync_js.rewrite import keeps_state, rewrite_module
from headwater.appsync_js.source_map import SourceMap
from headwater.appsync_js.subset import enforce_subset
from headwater.appsync_js.syntax import SourceTree
from headwater.appsync_js.usage import ContextUsage, computes_members, context_usage, needs_entropy, returns_result
from headwater.appsync_js.zones import zone_table
from headwater.errors import RequestError, TemplateError
from headwater.values.json_text import NestedTooDeeply, parse_json

HandlerName = Literal["request", "response"]
RawHandler = Callable[..., str]

# The engine counts the CPU time of the whole process, so the limit is generous; loops are counted by themselves.
TIME_LIMIT_S = 0.5
MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
STACK_LIMIT_BYTES = 512 * 1024
RUNTIME_FILES = (
    "core.js",
    "text.js",
    "ids.js",
    "calendar.js",
    "time.js",
    "transform.js",
    "dynamodb.js",
    "rds.js",
    "web.js",
    "harness.js",
)
# Half the runtime is rarely named; a context without it is built in half the time (3 ms) and half the memory.
OPTIONAL_FILES: Mapping[str, tuple[bytes, ...]] = {
    "calendar.js": (b"time",),
    "time.js": (b"time",),
    "rds.js": (b"rds", b"utils/ai"),
    "web.js": (b"http", b"xml"),
}
# Frames of the library are told from those of the code by their lines, of which 32 KB of code have fewer.
FIRST_LIBRARY_LINE = 40_000
# Sealing removes these from the global object; the runtime goes on using them.
KEPT_FOR_RUNTIME = "const {Error, RegExp, Map} = globalThis;"
CODE_PLACE = re.compile(r"code\.js:(\d+):(\d+)(?=: )")
PLAIN_ANSWER_EXCEPT = frozenset("UXZ")
# What a data source's answer sets; of both handlers together only the response handler has it.
_SOURCE_PARTS = frozenset({"result", "error"})


def needed_files(source: bytes, *, computes_members: bool) -> tuple[str, ...]:
    """The runtime files that code can reach; all of them if it computes the names of members."""
    if computes_members:
        return RUNTIME_FILES
    return tuple(
        name
        for name in RUNTIME_FILES
        if name not in OPTIONAL_FILES or any(word in source for word in OPTIONAL_FILES[name])
    )


class JsEngine:
    """One QuickJS context with the AppSync runtime in it; sealed once the code is loaded."""

    def __init__(self, runtime_files: tuple[str, ...] = RUNTIME_FILES) -> None:
        self._context = quickjs.Context()
        self._context.set_memory_limit(MEMORY_LIMIT_BYTES)
        self._context.set_max_stack_size(STACK_LIMIT_BYTES)
        folder = files("headwater.appsync_js") / "js"
        sources = [(folder / name).read_text(encoding="utf-8").rstrip().removesuffix(";") for name in runtime_files]
        parts = ";".join(f"(\n{source}\n)(rt)" for source in sources)
        lines = "\n" * FIRST_LIBRARY_LINE
        self._context.eval(
            f"{lines}(() => {{ {KEPT_FOR_RUNTIME} const rt = {{library: {{}}}};{parts};rt.install(); }})()"
        )

    def load(
        self,
        code: str,
        keeps_stash: Mapping[HandlerName, bool],
        *,
        reads_more: bool = True,
        returns_result: bool = False,
    ) -> dict[HandlerName, RawHandler]:
        """Run module code once and take its handlers, each `(context JSON, now in ms, entropy as hex) -> answer`.

        For running both at once, `reads_more` tells that the response handler reads more than result and error, and
        `returns_result` that it does nothing but return its result.
        Raises: quickjs.JSException for a fault at the top level of the module.
        """
        self._context.set_time_limit(TIME_LIMIT_S)
        self._context.eval(code)
        handlers: dict[HandlerName, RawHandler] = {
            name: self._context.eval(f"__headwater.prepare('{name}', {'true' if keeps else 'false'})")
            for name, keeps in keeps_stash.items()
        }
        self._set_zone = self._context.eval("__headwater.setZone")
        facts = ", ".join("true" if fact else "false" for fact in (reads_more, returns_result))
        self._context.eval(f"__headwater.both = __headwater.prepareBoth({facts})")
        self.both: RawHandler = self._context.eval("__headwater.both")
        self.each: RawHandler = self._context.eval("__headwater.prepareEach(__headwater.both)")
        self._context.eval("__headwater.seal()")
        return handlers

    def load_zone(self, name: str) -> None:
        """Hand in a zone's table; an unknown name is remembered as such."""
        table = zone_table(name)
        self._set_zone(name, None if table is None else orjson.dumps(table).decode())


class JsModule:
    """The `request` and `response` handlers of one resolver or function.

    Not safe to enter from two threads at once. `needs_entropy` tells whether `call` wants random bytes. With `can_wait`
    (nothing at the top level of the module can fail) the engine is built by the first call.
    """

    def __init__(
        self,
        name: str,
        code: str,
        usage: Mapping[HandlerName, ContextUsage],
        *,
        needs_entropy: bool,
        runtime_files: tuple[str, ...] = RUNTIME_FILES,
        can_wait: bool = False,
        returns_result: bool = False,
        source_map: SourceMap | None = None,
    ) -> None:
        self.name = name
        self._source_map = source_map or SourceMap()
        self._returns_result = returns_result
        self.needs_entropy = needs_entropy
        self._code = code
        self._usage = usage
        self._runtime_files = runtime_files
        self._plans: dict[HandlerName, tuple[RawHandler, frozenset[str]]] = {}
        self._run_both: RawHandler | None = None
        self._run_each: RawHandler | None = None
        self._both = _usage_of_both(usage)
        # A context takes 5 ms to build: an API of a hundred resolvers starts without waiting for those.
        if not can_wait:
            self._reset()

    def _reset(self) -> None:
        self._engine = JsEngine(self._runtime_files)
        handlers = self._engine.load(
            self._code,
            {name: usage.keeps_stash for name, usage in self._usage.items()},
            reads_more=not self._usage["response"].parts <= _SOURCE_PARTS,
            returns_result=self._returns_result,
        )
        self._plans = {name: (handlers[name], usage.parts) for name, usage in self._usage.items()}
        self._run_both = self._engine.both
        self._run_each = self._engine.each

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
        if not self._plans:
            self._reset()
        run, parts = self._plans[handler]
        return self._call(run, parts, context, (float(now_ms), entropy.hex()))

    @property
    def usage_of_both(self) -> ContextUsage | None:
        """What `call_both` has to be given; None if the handlers have to be called one after the other."""
        return self._both

    def call_both(
        self, context: Mapping[str, Any], *, now_ms: float, entropy: bytes = b""
    ) -> tuple[HandlerName, HandlerOutcome]:
        """Run both handlers as a unit resolver on the NONE data source does, in one crossing.

        The outcome is that of `response`; or that of `request`, when that did more than ask for a payload, so that the
        caller goes on from there. Half of `entropy` is for each.
        """
        if self._run_both is None:
            self._reset()
        assert self._run_both is not None, "set by the reset"
        assert self._both is not None, "asked for before"
        if entropy:
            half = len(entropy) // 2
            arguments = (float(now_ms), entropy[:half].hex(), entropy[half:].hex())
        else:
            arguments = (float(now_ms), "", "")
        outcome = self._call(self._run_both, self._both.parts, context, arguments)
        return ("request" if outcome.is_of_request else "response"), outcome

    def call_each(
        self, contexts: Sequence[Mapping[str, Any]], *, now_ms: float
    ) -> Iterator[tuple[HandlerName, HandlerOutcome]]:
        """As call_both for each context in order, without entropy, in one crossing where nothing comes in between.

        What an outcome asks for has to be done before the next is taken. Measured by bench/appsync_targeted.py.
        """
        assert not self.needs_entropy, "each call would need its own"
        texts = [orjson.dumps(context) for context in contexts]
        done = 0
        while done < len(texts):
            if self._run_each is None:
                self._reset()
            assert self._run_each is not None, "set by the reset"
            engine = self._engine
            try:
                answers = self._run_each(b"\n".join(texts[done:]).decode(), float(now_ms))
            except quickjs.JSException as error:
                # One of them, or all together, went beyond a limit: each gets its own.
                self._limit_message(str(error))
                for context in contexts[done:]:
                    yield self.call_both(context, now_ms=now_ms)
                return
            for answer in _lines(answers):
                if answer[0] == "Z":
                    engine.load_zone(answer[1:])
                    break
                done += 1
                outcome = self._outcome(answer)
                yield ("request" if outcome.is_of_request else "response"), outcome
                if self._engine is not engine:
                    break

    def _call(
        self, run: RawHandler, parts: frozenset[str], context: Mapping[str, Any], arguments: tuple[Any, ...]
    ) -> HandlerOutcome:
        # Resolvers pass just these parts.
        if context.__class__ is not dict or context.keys() != parts:
            context = {part: context[part] for part in parts if part in context}
        text = orjson.dumps(context).decode()
        try:
            # The engine's binding cuts integers to 32 bits, doubles cross whole.
            answer = run(text, *arguments)
            while answer[0] == "Z":
                self._engine.load_zone(answer[1:])
                answer = run(text, *arguments)
        except quickjs.JSException as error:
            return HandlerOutcome(error=RequestError(self._limit_message(str(error)), "Code"))
        return self._outcome(answer)

    def _outcome(self, answer: str) -> HandlerOutcome:
        if answer[0] == "Q":
            outcome = self._read(answer[1:])
            outcome.is_of_request = True
            return outcome
        return self._read(answer)

    def _read(self, answer: str) -> HandlerOutcome:
        kind = answer[0]
        if kind == "U":
            return HandlerOutcome()
        try:
            if kind not in PLAIN_ANSWER_EXCEPT:
                return PlainOutcome(parse_json(answer))
            outcome = outcome_from(parse_json(answer[1:]))
        except NestedTooDeeply as error:
            return HandlerOutcome(error=RequestError(f"{self.name} returned a value, but {error}", "Code"))
        except ValueError:
            # JavaScript strings may hold half a surrogate pair, which is no Unicode text.
            return HandlerOutcome(error=RequestError(f"{self.name} returned a string that is not Unicode", "Code"))
        if outcome.error is not None:
            if "out of memory" in outcome.error.message:
                self._reset()
            if self._source_map.lines and outcome.error.error_type == "Code":
                outcome.error = RequestError(self._in_sources(outcome.error.message), "Code")
        return outcome

    def _in_sources(self, message: str) -> str:
        """A fault's message with the place in the sources of a bundle."""
        found = CODE_PLACE.match(message)
        return message if found is None else self._source_map.place(*map(int, found.groups())) + message[found.end() :]

    def _limit_message(self, message: str) -> str:
        # What filled the memory may still be held by globals of the library's caches: start anew.
        if "out of memory" in message:
            self._reset()
            return f"{self.name} used more than {MEMORY_LIMIT_BYTES // (1024 * 1024)} MB of memory"
        if "interrupted" in message:
            return f"{self.name} ran longer than {int(TIME_LIMIT_S * 1000)} ms"
        return message.split("\n")[0]


def _lines(answers: str) -> Iterator[str]:
    """The answers of `prepareEach`; a zone's name, which is the last, may be of several lines."""
    lines = answers.split("\n")
    for number, line in enumerate(lines):
        if line[0] == "Z":
            yield "\n".join(lines[number:])
            return
        yield line


def _usage_of_both(usage: Mapping[HandlerName, ContextUsage]) -> ContextUsage | None:
    request, response = usage["request"], usage["response"]
    if request.keeps_stash or response.keeps_stash:
        return None
    names_selection_set = request.names_selection_set or response.names_selection_set
    return ContextUsage((request.parts | response.parts) - _SOURCE_PARTS, names_selection_set)


def compile_module(code: str, name: str) -> JsModule:
    """Check an APPSYNC_JS module against the language subset and load it.

    Raises: TemplateError naming `name`, line, column and rule of each refused construct, or the fault of its top level.
    """
    tree = SourceTree.parse(code)
    enforce_subset(tree, name)
    usage: dict[HandlerName, ContextUsage] = {
        "request": context_usage(tree, "request"),
        "response": context_usage(tree, "response"),
    }
    source_map = SourceMap.of(code)
    try:
        return JsModule(
            name,
            rewrite_module(tree, source_map),
            usage,
            needs_entropy=needs_entropy(tree),
            runtime_files=needed_files(tree.source, computes_members=computes_members(tree)),
            returns_result=returns_result(tree),
            source_map=source_map,
            can_wait=not keeps_state(tree.root) and all(tree.exported_function(name) for name in tree.exports),
        )
    except quickjs.JSException as error:
        raise TemplateError(f"{name}: the module fails when it is loaded: {error}") from error
