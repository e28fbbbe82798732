"""Evaluates one expression or rule, for the tables of the tests beside it."""

import json
from typing import Any

import orjson

from headwater.rules import NOT_FIRED, UNDEFINED, Message, compile_rule, to_json

NOW_MS = 1_700_000_000_000
# One value of each type, as the members of a payload.
TYPED: dict[str, Any] = {
    "int": 2,
    "dec": 2.5,
    "bool": True,
    "str": "x",
    "num": "5",
    "neg": "-1.5",
    "arr": [1, "a"],
    "obj": {"k": 1},
    "nul": None,
}


def run(sql: str, payload: Any = None, *, version: str = "2016-03-23", topic: str = "a/b/c", **fields: Any) -> Any:
    """What the rule gives: a JSON value, bytes, UNDEFINED or NOT_FIRED."""
    data = payload if isinstance(payload, bytes) else orjson.dumps({} if payload is None else payload)
    rule = compile_rule(sql, version)
    result = rule.evaluate(rule.environment(Message(topic, data, NOW_MS, lambda count: bytes(range(count)), **fields)))
    if result is UNDEFINED or result is NOT_FIRED or isinstance(result, bytes):
        return result
    return json.loads(to_json(result))


def value(expression: str, payload: Any = None, **options: Any) -> Any:
    """The value of one expression on TYPED, UNDEFINED if the key is left out."""
    return run(f"SELECT {expression} AS r", TYPED if payload is None else payload, **options).get("r", UNDEFINED)
