"""Conditions against a plain model, on random items."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.dynamodb.expressions.conditions import compile_condition
from headwater.dynamodb.expressions.tokens import ExpressionFault
from headwater.dynamodb.expressions.updates import compile_update
from headwater.errors import ServiceError

numbers = st.integers(-5, 5).map(lambda number: {"N": str(number)})
texts = st.sampled_from(["", "a", "ab", "b"]).map(lambda text: {"S": text})
scalars = st.one_of(numbers, texts, st.just({"NULL": True}), st.booleans().map(lambda value: {"BOOL": value}))
items = st.dictionaries(st.sampled_from(["x", "y", "z"]), scalars)
paths = st.sampled_from(["x", "y", "z"])
MODEL = {
    "=": lambda one, other: one == other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def model(operator: str, value: dict[str, Any] | None, operand: dict[str, Any]) -> bool:
    if value is None or value.keys() != operand.keys():
        return operator == "<>"
    (kind,) = value
    one, other = value[kind], operand[kind]
    if kind == "N":
        one, other = Decimal(one), Decimal(other)
    return bool(MODEL[operator](one, other))


comparisons = st.tuples(paths, st.sampled_from(sorted(MODEL)), st.one_of(numbers, texts))
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(st.tuples(st.just("NOT"), inner), st.tuples(st.sampled_from(["AND", "OR"]), inner, inner)),
    max_leaves=6,
)


def render(tree: Any, values: dict[str, Any]) -> str:
    """The condition's text, with as many parentheses as it needs: redundant ones are an error."""

    def grouped(inner: Any) -> str:
        text = render(inner, values)
        return f"({text})" if inner[0] in {"AND", "OR", "NOT"} else text

    if tree[0] == "NOT":
        return f"NOT {grouped(tree[1])}"
    if tree[0] in {"AND", "OR"}:
        return f"{grouped(tree[1])} {tree[0].lower()} {grouped(tree[2])}"
    name = f":v{len(values)}"
    values[name] = tree[2]
    return f"{tree[0]} {tree[1]} {name}"


def evaluate(tree: Any, item: dict[str, Any]) -> bool:
    if tree[0] == "NOT":
        return not evaluate(tree[1], item)
    if tree[0] == "AND":
        return evaluate(tree[1], item) and evaluate(tree[2], item)
    if tree[0] == "OR":
        return evaluate(tree[1], item) or evaluate(tree[2], item)
    return model(tree[1], item.get(tree[0]), tree[2])


@given(trees, items)
def test_a_random_condition_agrees_with_the_model(tree: Any, item: Any) -> None:
    values: dict[str, Any] = {}

    compiled = compile_condition(render(tree, values), {}, "ConditionExpression")
    compiled.bind(values)

    assert compiled.test(item, values) is evaluate(tree, item)


@given(items, numbers, paths)
def test_an_update_never_changes_the_item_it_is_given(item: Any, operand: Any, path: str) -> None:
    before = {name: dict(value) for name, value in item.items()}
    update = compile_update(f"SET {path} = if_not_exists({path}, :v) ADD n :v", {}, "UpdateExpression")
    update.bind({":v": operand})

    after = update.apply(item, {":v": operand})

    assert item == before
    assert after[path] == item.get(path, operand)


@given(st.text(st.sampled_from("ab:#v()[].,=<> 0NOTandsize"), max_size=40))
def test_any_text_is_an_expression_or_a_named_fault(text: str) -> None:
    for compile_text in (compile_condition, compile_update):
        try:
            compiled: Any = compile_text(text, {}, "Expression")
            compiled.bind({})
            if compile_text is compile_update:
                compiled.apply({}, {})
        except (ExpressionFault, ServiceError):
            pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size(s) = :two", True),
        ("size(l) > size(s)", False),
        ("size(astral) = :five", True),
        ("contains(l, :a)", True),
        ("contains(s, :a)", True),
        ("attribute_type(l, :type)", True),
        ("attribute_exists(m.k) AND attribute_not_exists(m.z)", True),
        ("m.k BETWEEN :two AND :nine", True),
        ("l[1] = :a", True),
        (":two < m.k", True),
        ("m.k IN (:two, :five)", True),
        ("set = :set", True),
    ],
)
def test_functions_and_paths(text: str, expected: bool) -> None:
    item: Any = {
        "s": {"S": "ab"},
        "astral": {"S": "\U0001f600\U0001f600é"},
        "l": {"L": [{"N": "1"}, {"S": "a"}]},
        "m": {"M": {"k": {"N": "5"}}},
        "set": {"NS": ["2", "1"]},
    }
    values: Any = {
        ":two": {"N": "2"},
        ":nine": {"N": "9"},
        ":five": {"N": "5"},
        ":a": {"S": "a"},
        ":type": {"S": "L"},
        ":set": {"NS": ["1", "2"]},
    }
    names = {"#set": "set"}

    compiled = compile_condition(text.replace("set =", "#set ="), names, "FilterExpression")
    compiled.bind(values)

    assert compiled.test(item, values) is expected
