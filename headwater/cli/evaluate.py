"""`headwater eval`: JSON lines in, JSON lines out, through the evaluators the server uses."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import orjson

from headwater.cli import EXIT_OK
from headwater.errors import HeadwaterError
from headwater.values.json_text import parse_json

# A line larger than any request the services take is no case for an evaluator.
MAXIMUM_LINE_BYTES = 10_000_000


def run_evaluate(lines: BinaryIO, answers: BinaryIO) -> int:
    """Answer every line, flushed one by one, until the input ends."""
    for line in iter(lambda: lines.readline(MAXIMUM_LINE_BYTES), b""):
        if line.strip():
            is_whole = len(line) < MAXIMUM_LINE_BYTES or line.endswith(b"\n") or _skip_line(lines)
            answers.write(_encoded(_answer(line, is_whole=is_whole)) + b"\n")
            answers.flush()
    return EXIT_OK


def _encoded(answer: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer, default=str)
    except orjson.JSONEncodeError as error:
        return orjson.dumps({"unsupported": f"the answer cannot be written as JSON: {error}"})


def _skip_line(lines: BinaryIO) -> bool:
    """Read the rest of a line; whether there was none."""
    is_whole = True
    while rest := lines.readline(MAXIMUM_LINE_BYTES):
        is_whole = False
        if rest.endswith(b"\n"):
            break
    return is_whole


def _answer(line: bytes, *, is_whole: bool) -> dict[str, Any]:
    if not is_whole:
        return {"unsupported": f"the line has more than {MAXIMUM_LINE_BYTES} bytes"}
    try:
        case = parse_json(line)
    except ValueError as error:
        return {"unsupported": f"the line is not JSON: {error}"}
    if not isinstance(case, dict):
        return {"unsupported": f"the line is not a JSON object but {type(case).__name__}"}
    evaluator = _EVALUATORS.get(str(case.get("kind")))
    if evaluator is None:
        return {"unsupported": f"kind {case.get('kind')!r}; there are {', '.join(_EVALUATORS)}"}
    now = case.get("now")
    now_ms = int(now) if isinstance(now, (int, float)) else time.time_ns() // 1_000_000
    try:
        return evaluator(case, now_ms)
    except HeadwaterError as error:
        return {"unsupported": str(error)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return {"unsupported": f"{type(error).__name__}: {error}"}


def _appsync_utils(case: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    from headwater.appsync_js import evaluate

    return evaluate(str(case.get("code", "")), case.get("context") or {}, now_ms)


def _iot_sql(case: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    from headwater.rules.evaluate import evaluate_sql

    return evaluate_sql(case, now_ms, os.urandom)


def _event_filter(case: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    from headwater.values.event_patterns import evaluate_pattern

    return evaluate_pattern(case)


def _subscription_filter(case: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    from headwater.realtime.filters import evaluate_filter

    return evaluate_filter(case.get("filter"), case.get("payload"))


_EVALUATORS: dict[str, Callable[[Mapping[str, Any], int], dict[str, Any]]] = {
    "appsync_utils": _appsync_utils,
    "iot_sql": _iot_sql,
    "event_filter": _event_filter,
    "subscription_filter": _subscription_filter,
}
