"""Enhanced, argument and invalidation filters by values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.realtime.argument_filter import ArgumentFilter
from headwater.realtime.filters import (
    FilterRefused,
    compile_filter,
    evaluate_filter,
    index_key,
    strictly_equal,
    value_at,
)


def one(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"filterGroup": [{"filters": [{"fieldName": field, "operator": operator, "value": value}]}]}


def rules(*parts: tuple[str, str, Any]) -> dict[str, Any]:
    return {"filters": [{"fieldName": f, "operator": o, "value": v} for f, o, v in parts]}


@pytest.mark.parametrize(
    ("operator", "value", "passing", "failing"),
    [
        ("eq", 1, [1, 1.0], [2, "1", True, None, [1]]),
        ("eq", "a", ["a"], ["A", "", 1, None]),
        ("eq", True, [True], [False, 1, "true", None]),
        ("ne", 1, [2, "1", True, 1.5], [1, 1.0, None]),
        ("ne", "a", ["A", ""], ["a", None]),
        ("le", 5, [5, 4.99, -1], [5.01, "4", True, None]),
        ("lt", 5, [4], [5, 6, "1"]),
        ("ge", 5, [5, 6], [4, "9", None]),
        ("gt", 5.5, [6], [5.5, 5]),
        ("gt", "b", ["c", "ba"], ["b", "B", "a", 9]),
        ("contains", 10, [[10, 2], [10.0], 10], [[1], ["10"], "10", None]),
        ("contains", "launch", ["prelaunch", "launch", ["launch"]], ["Launch", ["prelaunch"], 1]),
        ("notContains", 10, [[1], []], [[10], None]),
        ("notContains", "launch", ["landing", ["prelaunch"]], ["launch it", ["launch"]]),
        ("beginsWith", "AWS", ["AWS", "AWS AppSync"], ["aws", "my AWS", ["AWS"], 1, None]),
        ("in", [1, 2, 3], [1, 3.0], [4, "1", True, None, [1]]),
        ("in", ["a"], ["a"], ["A", ""]),
        ("notIn", [1, 2], [3, "1"], [1, 2, None]),
        ("between", [1, 5], [2, 3, 4, 1.01], [1, 5, 0, 6, "3", True, None]),
        ("between", ["b", "d"], ["c", "ba", "cz"], ["b", "d", "a", 3]),
        ("containsAny", [10, 15], [[10, 11], [15, 20, 30]], [[1], [], 10, None, ["10"]]),
        ("containsAny", ["a", "b"], [["b"]], [["c"], "ab"]),
    ],
)
def test_operators_compare_strictly(operator: str, value: Any, passing: list[Any], failing: list[Any]) -> None:
    matches = compile_filter(one("f", operator, value))

    assert [matches({"f": found}) for found in passing] == [True] * len(passing)
    assert [matches({"f": found}) for found in failing] == [False] * len(failing)


@pytest.mark.parametrize("operator", ["eq", "ne", "contains", "notContains", "in", "notIn", "containsAny"])
def test_a_field_the_mutation_did_not_select_never_matches(operator: str) -> None:
    value = ["x"] if operator in ("in", "notIn", "containsAny") else "x"

    assert not compile_filter(one("f", operator, value))({"other": "y"})


def test_rules_are_anded_and_groups_ored() -> None:
    matches = compile_filter(
        {
            "filterGroup": [
                rules(("severity", "ge", 7), ("priority", "in", ["high", "medium"])),
                rules(("category", "eq", "security"), ("group", "in", ["admin", "operators"])),
            ]
        }
    )

    assert matches({"severity": 7, "priority": "high"})
    assert matches({"severity": 1, "priority": "low", "category": "security", "group": "admin"})
    assert not matches({"severity": 7, "priority": "low", "category": "security", "group": "users"})


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (one("a", "in", [1, 2, 3, 4, 5, 6]), "subscription exceeds maximum value limit 5 for operator `in`."),
        (one("a", "notIn", [1, 2, 3, 4, 5, 6]), "subscription exceeds maximum value limit 5 for operator `notIn`."),
        (
            one("a", "containsAny", list(range(21))),
            "subscription exceeds maximum value limit 20 for operator `containsAny`.",
        ),
        (one("a", "containsAny", []), "subscription filter has invalid filter value for operator `containsAny`."),
        (one("a", "in", []), "subscription filter has invalid filter value for operator `in`."),
        (one("a", "eq", None), "subscription filter has invalid filter value for operator `eq`."),
        (one("a", "ne", [1]), "subscription filter has invalid filter value for operator `ne`."),
        (one("a", "notContains", True), "subscription filter has invalid filter value for operator `notContains`."),
        (
            {"filterGroup": [rules(("t", "ge", 1), ("t", "lt", 3))]},
            "subscription filter uses same fieldName multiple time.",
        ),
        (
            {"filterGroup": [rules(*[(f"f{i}", "eq", 1) for i in range(6)])]},
            "Filters exceed maximum attributes limit 5 for subscription.",
        ),
        (
            {"filterGroup": [rules((f"f{i}", "eq", 1)) for i in range(11)]},
            "Filters combination exceed maximum limit 10 for subscription.",
        ),
    ],
)
def test_a_filter_is_refused_in_the_words_of_the_service(definition: Any, message: str) -> None:
    with pytest.raises(FilterRefused) as caught:
        compile_filter(definition)

    assert caught.value.errors == [{"message": message, "errorCode": 400}]


def test_rules_on_one_field_in_groups_of_their_own_are_accepted() -> None:
    matches = compile_filter({"filterGroup": [rules(("t", "le", 1)), rules(("t", "ge", 3))]})

    assert [matches({"t": t}) for t in (1, 2, 3)] == [True, False, True]


def test_nested_fields_are_separated_by_dots() -> None:
    matches = compile_filter(one("location.address.country", "eq", "USA"))

    assert matches({"location": {"address": {"country": "USA"}}})
    assert not matches({"location": {"address": None}})
    assert not matches({"location": [{"address": {"country": "USA"}}]})
    assert not matches({"location.address.country": "USA"})


def test_a_list_at_the_top_is_ignored() -> None:
    assert not compile_filter(one("a", "eq", 1))([{"a": 1}])


@pytest.mark.parametrize(
    ("definition", "names"),
    [
        (None, "filterGroup"),
        ([], "filterGroup"),
        ({}, "filterGroup"),
        ({"filterGroup": []}, "filterGroup"),
        ({"filterGroup": {}}, "filterGroup"),
        ({"filterGroup": [{}]}, "filters"),
        ({"filterGroup": [{"filters": []}]}, "filters"),
        ({"filterGroup": [{"filters": ["a"]}]}, "fieldName"),
        ("{not json", "JSON"),
        ({"filterGroup": [{"filters": [{"fieldName": "a", "operator": "eq"}]}]}, "value"),
        (one("", "eq", 1), "fieldName"),
        (one("a..b", "eq", 1), "empty part"),
        (one("a.b.c.d.e.f", "eq", 1), "5 levels"),
        (one("a", "lte", 1), "operator"),
        (one("a", "EQ", 1), "operator"),
        (one("a", "eq", None), "Boolean"),
        (one("a", "eq", [1]), "Boolean"),
        (one("a", "eq", {"x": 1}), "Boolean"),
        (one("a", "lt", True), "number or string"),
        (one("a", "contains", False), "number or string"),
        (one("a", "beginsWith", 1), "string"),
        (one("a", "in", "abc"), "list"),
        (one("a", "in", [1, True]), "number or string"),
        (one("a", "in", [1, 2, 3, 4, 5, 6]), "at most 5"),
        (one("a", "notIn", [1, 2, 3, 4, 5, 6]), "at most 5"),
        (one("a", "containsAny", list(range(21))), "at most 20"),
        (one("a", "between", [1]), "pair"),
        (one("a", "between", [1, 2, 3]), "pair"),
        (one("a", "between", [1, "2"]), "two numbers or two strings"),
        (one("a", "eq", "x" * 257), "256"),
        (one("a", "in", ["x" * 257]), "256"),
        ({"filterGroup": [rules(*[(f"f{i}", "eq", 1) for i in range(6)])]}, "5 different"),
        ({"filterGroup": [rules((f"f{i}", "eq", 1)) for i in range(11)]}, "at most 10"),
        (
            {
                "filterGroup": [
                    rules(("a", "in", [1, 2, 3, 4])),
                    rules(("b", "in", [1, 2, 3, 4])),
                    *[rules(("c", "eq", i)) for i in range(3)],
                ]
            },
            "at most 10",
        ),
        ({"filterGroup": [rules(("a", "in", [1, 2, 3, 4]), ("b", "in", [1, 2, 3]))]}, "at most 10"),
    ],
)
def test_a_filter_the_service_could_not_honour_is_refused(definition: Any, names: str) -> None:
    with pytest.raises(FilterRefused) as caught:
        compile_filter(definition)

    assert names in caught.value.detail


def test_everything_at_its_limit_is_accepted() -> None:
    compile_filter(one("a.b.c.d.e", "eq", "x" * 256))
    compile_filter(one("a", "containsAny", list(range(20))))
    compile_filter({"filterGroup": [rules(*[(f"f{i}", "eq", 1) for i in range(5)])]})
    compile_filter({"filterGroup": [rules((f"f{i}", "eq", 1)) for i in range(10)]})
    compile_filter({"filterGroup": [rules(("a", "in", [1, 2, 3, 4, 5]), ("b", "in", [1, 2]))]})
    compile_filter({"filterGroup": [rules(("a", "notIn", [1, 2, 3, 4, 5]), ("b", "notIn", [1, 2, 3]), ("c", "eq", 1))]})


def test_a_filter_may_be_given_as_json_text() -> None:
    assert compile_filter('{"filterGroup":[{"filters":[{"fieldName":"a","operator":"eq","value":1}]}]}')({"a": 1})


def test_an_evaluation_says_why_a_filter_may_not_be_set() -> None:
    assert evaluate_filter(one("a", "eq", 1), {"a": 1}) == {"result": True}
    assert evaluate_filter(one("a", "eq", 1), {"a": 2}) == {"result": False}
    assert evaluate_filter(one("a", "lte", 1), {"a": 2})["rejects"].endswith("containsAny; found 'lte'.")
    assert evaluate_filter(one("a", "in", []), {"a": 2})["rejects"] == (
        "subscription filter has invalid filter value for operator `in`. Invalid subscription filter: "
        "in compares with a list of numbers or strings with at least one; found []."
    )


def test_an_omitted_argument_does_not_filter() -> None:
    matches = ArgumentFilter({})

    assert matches({"a": 1})
    assert matches([{"a": 1}])


def test_arguments_equal_the_fields_of_their_names() -> None:
    matches = ArgumentFilter({"id": "d1", "tags": ["a", "b"]})

    assert matches({"id": "d1", "tags": ["a", "b"], "more": 1})
    assert not matches({"id": "d1", "tags": ["b", "a"]})
    assert not matches({"id": "d1"})
    assert not matches([{"id": "d1", "tags": ["a", "b"]}])


def test_a_null_argument_passes_only_null_or_absent_fields() -> None:
    matches = ArgumentFilter({"owner": None})

    assert [matches(payload) for payload in ({"owner": None}, {}, {"owner": "a"})] == [True, True, False]


def test_equal_filters_have_equal_keys() -> None:
    assert ArgumentFilter({"a": 1, "b": 2}).key == ArgumentFilter({"b": 2, "a": 1}).key
    assert ArgumentFilter({"a": 1}).key != ArgumentFilter({"a": "1"}).key
    assert compile_filter(one("a", "eq", 1)).key != ArgumentFilter({"a": 1}).key


def test_integers_beyond_64_bits_are_values_too() -> None:
    assert compile_filter(one("a", "eq", 1 << 70))({"a": 1 << 70})
    assert ArgumentFilter({"a": 1 << 70})({"a": 1 << 70})


SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.text("ab", max_size=2))
PAYLOADS = st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=2)))
FILTERS = st.lists(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.just("eq"), SCALARS),
            st.tuples(st.sampled_from("abc"), st.just("ne"), SCALARS),
            st.tuples(st.sampled_from("abc"), st.just("in"), st.lists(st.integers(-3, 3), min_size=1, max_size=2)),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda rule: rule[0],
    ),
    min_size=1,
    max_size=2,
)


@given(FILTERS, PAYLOADS)
def test_a_payload_that_passes_has_one_of_the_indexed_values(groups: list[list[Any]], payload: dict[str, Any]) -> None:
    matches = compile_filter({"filterGroup": [rules(*group) for group in groups]})

    entries = matches.index_entries()

    if entries is not None and matches(payload):
        assert any(index_key(value_at(payload, path)) == key for path, key in entries)


@given(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), SCALARS)), PAYLOADS)
def test_an_argument_filter_that_passes_has_all_its_values(arguments: dict[str, Any], payload: dict[str, Any]) -> None:
    passes = ArgumentFilter(arguments)(payload)

    assert passes == all(strictly_equal(payload.get(name), value) for name, value in arguments.items())


@given(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=2))), PAYLOADS)
def test_an_argument_filter_passes_what_its_rules_pass(arguments: dict[str, Any], payload: dict[str, Any]) -> None:
    wanted = ArgumentFilter(arguments)

    assert wanted(payload) is (not any(wanted.failed_rules(payload)))
    assert {*wanted.paths()} == {rule.path for rule in wanted.groups[0]}
    assert wanted(payload) is all(rule.passes(value_at(payload, rule.path)) for rule in wanted.groups[0])


ARGUMENTS = st.dictionaries(st.sampled_from("ab"), st.one_of(st.none(), st.booleans(), st.integers(0, 1)), max_size=2)


@given(ARGUMENTS, ARGUMENTS, PAYLOADS)
def test_argument_filters_with_one_key_pass_the_same(
    one: dict[str, Any], other: dict[str, Any], payload: dict[str, Any]
) -> None:
    if ArgumentFilter(one).key == ArgumentFilter(other).key:
        assert ArgumentFilter(one)(payload) is ArgumentFilter(other)(payload)


@pytest.mark.parametrize("payload", [None, [], [{"a": 1}], "a", 1])
def test_what_is_no_object_passes_only_without_arguments(payload: Any) -> None:
    assert ArgumentFilter({})(payload)
    assert not ArgumentFilter({"a": None})(payload)
