"""`headwater explain subscription`, as people read it."""

from typing import Any

import pytest

from headwater.cli.explain_subscription import explanation_lines


def explanation(*verdicts: dict[str, Any]) -> dict[str, Any]:
    return {"number": 3, "at": 0.0, "mutation": "put", "api": "Api", "subscriptionFields": ["onPut"]} | {
        "subscriptions": list(verdicts)
    }


def verdict(*ids: str, subscribers: int = 1) -> dict[str, Any]:
    found = {"field": "onPut", "subscribers": subscribers, "ids": list(ids), "matches": True, "reasons": []}
    return found | {"unselected": [], "errors": []}


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("a\n  sent to everybody", "a\\n  sent to everybody"),
        ("\x1b[2Ja", "\\x1b[2Ja"),
        ("x" * 64, "x" * 64),
        ("x" * 1_000_000, "x" * 64 + "…"),
        ("", ""),
    ],
)
def test_an_id_of_a_client_stays_in_its_line_and_bounded(identifier: str, shown: str) -> None:
    assert explanation_lines(explanation(verdict(identifier)))[1:] == [f"  sent to onPut, {shown}"]


def test_only_the_first_of_many_subscribers_are_named() -> None:
    assert explanation_lines(explanation(verdict("a", "b", subscribers=7)))[1] == "  sent to onPut, a, b and 5 more"


def test_nobody_subscribes_or_nobody_could() -> None:
    assert explanation_lines(explanation())[1:] == ["  Nobody subscribes to onPut now."]
    assert "no @aws_subscribe" in explanation_lines(explanation() | {"subscriptionFields": []})[1]
