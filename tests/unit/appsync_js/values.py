"""Values of expressions, as `headwater eval` computes them."""

from typing import Any

from headwater.appsync_js import evaluate

NOW_MS = 1_517_943_695_750


def value(expression: str, **context: Any) -> Any:
    answer = evaluate(expression, context, NOW_MS)
    assert "result" in answer, answer
    return answer["result"]


def fault(expression: str, **context: Any) -> str:
    """The message of a fault of the code."""
    answer = evaluate(expression, context, NOW_MS)
    assert answer["throws"]["errorType"] == "Code"
    message: str = answer["throws"]["message"]
    return message
