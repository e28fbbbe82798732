"""One `headwater eval` line of kind iot_sql."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from headwater.errors import TemplateError
from headwater.rules.message import Message
from headwater.rules.rule import NOT_FIRED, compile_rule
from headwater.rules.values import UNDEFINED, to_json
from headwater.values.topics import filter_matches


def evaluate_sql(line: Mapping[str, Any], now_ms: int, entropy: Callable[[int], bytes]) -> dict[str, Any]:
    """The answer: {"result"}, {"none": true} for a rule that does not fire, {"unsupported"} for one that cannot be."""
    topic = str(line.get("topic", ""))
    if "payload_text" in line:
        payload = str(line["payload_text"]).encode()
    else:
        payload = orjson.dumps(line.get("payload", {}))
    try:
        version = str(line.get("version") or "2016-03-23")
        rule = compile_rule(str(line.get("sql", "")), version, no_external="which an evaluation alone cannot")
    except TemplateError as error:
        return {"unsupported": str(error)}
    if rule.topic_filter is not None and not filter_matches(rule.topic_filter, topic):
        return {"none": True}
    message = Message(topic, payload, now_ms, entropy)
    result = rule.evaluate(rule.environment(message))
    if result is NOT_FIRED:
        return {"none": True}
    if result is UNDEFINED:
        return {"result": None}
    if isinstance(result, bytes):
        return {"result": result.decode(errors="replace")}
    return {"result": orjson.Fragment(to_json(result))}
