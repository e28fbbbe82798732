"""Evaluates one JavaScript expression with AppSync's globals, for `headwater eval`."""

from collections.abc import Mapping
from typing import Any

import orjson
import quickjs

from headwater.appsync_js.module import PLAIN_ANSWER_EXCEPT, JsEngine, needed_files
from headwater.appsync_js.syntax import SourceTree, text_of
from headwater.appsync_js.usage import computes_members
from headwater.values.json_text import NestedTooDeeply, parse_json

# Enough for ids that differ between evaluations only by `entropy`.
DEFAULT_ENTROPY = b"headwater-eval-1"
EMPTY_CONTEXT: Mapping[str, Any] = {
    "arguments": {},
    "identity": None,
    "source": None,
    "request": {"headers": {}, "domainName": None},
    "info": {},
    "prev": None,
    "stash": {},
    "result": None,
    "error": None,
    "env": {},
    "outErrors": [],
}


def evaluate(
    expression: str,
    context: Mapping[str, Any] | None = None,
    now_ms: float = 0,
    *,
    entropy: bytes = DEFAULT_ENTROPY,
) -> dict[str, Any]:
    """The value of `expression` with `util ddb rds ai ctx context runtime extensions console` in scope.

    Answers `{"result": V}` (undefined is null), `{"throws": {"message", "errorType", "data", "errorInfo"}}`, or
    `{"unsupported": why}` for text that is no expression. `context` is AppSync's context object; keys may be missing.
    """
    tree = SourceTree.parse(expression)
    takes_all = computes_members(tree) or any(text_of(node) == "ai" for node in tree.nodes if node.type == "identifier")
    engine = JsEngine(needed_files(tree.source, computes_members=takes_all))
    code = (
        '(()=>{"use strict";'
        "const __hw_module=(name)=>__headwater.library['@aws-appsync/utils/'+name];"
        "const ddb=__hw_module('dynamodb'),rds=__hw_module('rds'),ai=__hw_module('ai');"
        f"const __hw_value=(ctx)=>{{const context=ctx;return (\n{expression}\n);}};"
        "__headwater.register(__hw_value,__hw_value);})();"
    )
    try:
        run = engine.load(code, {"request": False})["request"]
    except quickjs.JSException as error:
        return {"unsupported": f"not a JavaScript expression: {error}"}
    text = orjson.dumps({**EMPTY_CONTEXT, **(context or {})}).decode()
    try:
        answer = run(text, float(now_ms), entropy.hex())
        while answer[0] == "Z":
            engine.load_zone(answer[1:])
            answer = run(text, float(now_ms), entropy.hex())
    except quickjs.JSException as error:
        return _fault(str(error).split("\n")[0])
    if answer[0] == "U":
        return {"result": None}
    try:
        if answer[0] not in PLAIN_ANSWER_EXCEPT:
            return {"result": parse_json(answer)}
        value = parse_json(answer[1:])
    except NestedTooDeeply as error:
        return _fault(f"the value cannot be read: {error}")
    except ValueError:
        # JavaScript strings may hold half a surrogate pair, which is no Unicode text.
        return _fault("the value holds a string that is not Unicode")
    if value["error"] is None:
        return {"result": value["result"]}
    return {"throws": {key: value["error"][key] for key in ("message", "errorType", "data", "errorInfo")}}


def _fault(message: str) -> dict[str, Any]:
    return {"throws": {"message": message, "errorType": "Code", "data": None, "errorInfo": None}}
