"""Subscription filters: compile enhanced, argument and invalidation filters, and tell whether a payload passes.

Source: AppSync Developer Guide, "Extensions" (operators, "Exceptions") and "Defining enhanced subscriptions filters".
What the service answers to a filter it refuses is recorded in aws-amplify issues (amplify-category-api#740, #2547,
amplify-swift#3459, amplify-flutter#6142) and in what Amplify's DataStore looks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.errors import RequestError
from headwater.values.json_text import parse_json

MAX_FIELDS_PER_FILTER = 5
MAX_FILTERS_PER_GROUP = 10
MAX_IN_VALUES = 5
MAX_CONTAINS_ANY_VALUES = 20
MAX_STRING_CHARACTERS = 256
MAX_NESTED_LEVELS = 5

_TAKE_LISTS = frozenset({"in", "notIn", "between", "containsAny"})

Scalar = str | int | float | bool


class FilterRefused(RequestError):
    """A filter that may not be set. `message` is the service's where it is known, `detail` says what is wrong."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail
        self.errors: list[dict[str, Any]] = [{"message": message, "errorCode": 400}]


Path = tuple[str, ...]
IndexKey = tuple[type, Scalar | None]


# Not frozen, like what else a start makes: that is 1 us of each. Nothing changes it afterwards.
@dataclass(slots=True)
class Rule:
    """One condition on the value at `path`; `equals` are the values that alone can pass, if they are few.

    `operator` and `value` are what was asked for, as the filter has it.
    """

    path: Path
    passes: Callable[[Any], bool]
    equals: tuple[IndexKey, ...] | None = None
    operator: str = "eq"
    value: Any = None

    @property
    def values(self) -> list[Any]:
        """What a field's value is compared with."""
        return self.value if self.operator in _TAKE_LISTS else [self.value]


@dataclass(slots=True)
class CompiledFilter:
    """Rules in one group must all hold, and one group is enough. `key` is equal for filters that mean the same."""

    groups: tuple[tuple[Rule, ...], ...]
    key: bytes

    def __call__(self, payload: Any) -> bool:
        """Whether a mutation's response (or an invalidation's payload) passes."""
        if not isinstance(payload, dict):
            # A top-level list has no fields: enhanced filters ignore such events.
            return False
        for group in self.groups:
            for rule in group:
                if not rule.passes(value_at(payload, rule.path)):
                    break
            else:
                return True
        return False

    def failed_rules(self, payload: Mapping[str, Any]) -> list[list[Rule]]:
        """For each group the rules that do not hold; an empty list is a group that passes."""
        return [[rule for rule in group if not rule.passes(value_at(payload, rule.path))] for group in self.groups]

    def paths(self) -> set[Path]:
        """The fields it looks at."""
        return {rule.path for group in self.groups for rule in group}

    def index_entries(self) -> list[tuple[Path, IndexKey]] | None:
        """One equality of every group: a payload with none of these values cannot pass. None if a group has none."""
        entries: list[tuple[Path, IndexKey]] = []
        for group in self.groups:
            # Most filters have one rule, for which the search would cost more than adding the subscription.
            rule = (
                group[0]
                if len(group) == 1
                else min(
                    (rule for rule in group if rule.equals is not None),
                    key=lambda rule: len(rule.equals or ()),
                    default=None,
                )
            )
            if rule is None or rule.equals is None:
                return None
            entries.extend((rule.path, value) for value in rule.equals)
        return entries


def value_at(payload: Mapping[str, Any], path: Path) -> Any:
    """The value behind a path of field names; None where a field is null, absent or not an object."""
    value: Any = payload
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def index_key(value: Any) -> IndexKey | None:
    """A scalar as a hashable key that keeps strings, numbers and Booleans apart; None for lists and objects."""
    if isinstance(value, str):
        return (str, value)
    if value is None:
        return (type(None), None)
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, int | float):
        return (float, value)
    return None


def compile_filter(definition: Any) -> CompiledFilter:
    """An enhanced or invalidation filter: `{"filterGroup": [{"filters": [{"fieldName", "operator", "value"}]}]}`.

    A filter the service would accept and then silently never (or always) match is refused here.
    Raises: FilterRefused, whose `detail` names the rule, the value found and the value expected.
    """
    if isinstance(definition, str):
        definition = _parsed(definition)
    groups = definition.get("filterGroup") if isinstance(definition, dict) else None
    if not isinstance(groups, list) or not groups:
        raise _refused('a filter is {"filterGroup": [{"filters": [...]}, ...]} with at least one entry', definition)
    compiled: list[tuple[Rule, ...]] = []
    expanded = 0
    for group in groups:
        rules, combinations = _compile_group(group)
        compiled.append(rules)
        expanded += combinations
    if expanded > MAX_FILTERS_PER_GROUP:
        raise _refused(
            f"a filterGroup has at most {MAX_FILTERS_PER_GROUP} filters, where each value of an `in` counts",
            expanded,
            f"Filters combination exceed maximum limit {MAX_FILTERS_PER_GROUP} for subscription.",
        )
    return CompiledFilter(tuple(compiled), filter_key(groups))


def evaluate_filter(definition: Any, payload: Any) -> dict[str, Any]:
    """`{"result": bool}`, or `{"rejects": why}` for a filter that may not be set (contract of `headwater eval`)."""
    try:
        compiled = compile_filter(definition)
    except FilterRefused as refused:
        return {
            "rejects": refused.message if refused.message == refused.detail else f"{refused.message} {refused.detail}"
        }
    return {"result": compiled(payload)}


def strictly_equal(left: Any, right: Any) -> bool:
    """JSON equality that keeps Booleans and numbers apart; 1 and 1.0 are equal."""
    if left.__class__ is str:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(strictly_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(strictly_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def filter_key(value: Any) -> bytes:
    """Equal for filters and arguments that are written alike, whatever the order of their members."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers beyond 64 bits are JSON too; such a filter only loses the sharing with equal ones in other order.
        return repr(value).encode()


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise _refused("a filter given as text must be JSON", text) from error


def _compile_group(group: Any) -> tuple[tuple[Rule, ...], int]:
    """The rules of one entry of `filterGroup`, and how many filters it counts as."""
    filters = group.get("filters") if isinstance(group, dict) else None
    if not isinstance(filters, list) or not filters:
        raise _refused('an entry of filterGroup is {"filters": [...]} with at least one filter', group)
    rules: list[Rule] = []
    combinations = 1
    for definition in filters:
        rule, values = _compile_rule(definition)
        rules.append(rule)
        combinations *= values
    paths = [rule.path for rule in rules]
    repeated = next((path for path in paths if paths.count(path) > 1), None)
    if repeated is not None:
        raise _refused(
            "the filters of one list name different fields (rules on one field go into groups, which are ored)",
            ".".join(repeated),
            "subscription filter uses same fieldName multiple time.",
        )
    if len(paths) > MAX_FIELDS_PER_FILTER:
        raise _refused(
            f"one filter has at most {MAX_FIELDS_PER_FILTER} different fieldNames",
            len(paths),
            f"Filters exceed maximum attributes limit {MAX_FIELDS_PER_FILTER} for subscription.",
        )
    return tuple(rules), combinations


def _compile_rule(definition: Any) -> tuple[Rule, int]:
    if not isinstance(definition, dict):
        raise _refused("a filter is an object with fieldName, operator and value", definition)
    path = _path(definition.get("fieldName"))
    operator = definition.get("operator")
    make = _OPERATORS.get(operator) if isinstance(operator, str) else None
    if make is None:
        raise _refused(f"operator is one of {', '.join(_OPERATORS)}", operator)
    if "value" not in definition:
        raise _refused(f"the {operator} filter on {'.'.join(path)} needs a value", None)
    value = definition["value"]
    passes = make(value)
    if operator == "eq":
        return Rule(path, _if_present(passes), _equals([value]), operator, value), 1
    if operator == "in":
        return Rule(path, _if_present(passes), _equals(value), operator, value), len(value)
    return Rule(path, _if_present(passes), None, str(operator), value), 1


def _path(field_name: Any) -> Path:
    if not isinstance(field_name, str) or not field_name:
        raise _refused("fieldName is a field of the subscription's type", field_name)
    path = tuple(field_name.split("."))
    if not all(path):
        raise _refused("fieldName has an empty part", field_name)
    if len(path) > MAX_NESTED_LEVELS:
        raise _refused(f"nested fields go {MAX_NESTED_LEVELS} levels deep", field_name)
    return path


def _equals(values: list[Scalar]) -> tuple[IndexKey, ...]:
    return tuple(key for key in map(index_key, values) if key is not None)


def _if_present(passes: Callable[[Any], bool]) -> Callable[[Any], bool]:
    # A field the mutation did not select never matches, not even a negative operator (amplify-cli#4601), and
    # a null cannot be told from it in what subscribers get.
    return lambda found: found is not None and passes(found)


# Each maker checks the filter's value once and gives the test for a field's value.


def _eq(value: Any) -> Callable[[Any], bool]:
    expected = _scalar(value, "eq", allows_boolean=True)
    return lambda found: strictly_equal(found, expected)


def _ne(value: Any) -> Callable[[Any], bool]:
    unwanted = _scalar(value, "ne", allows_boolean=True)
    return lambda found: not strictly_equal(found, unwanted)


def _le(value: Any) -> Callable[[Any], bool]:
    bound = _scalar(value, "le")
    return lambda found: _comparable(found, bound) and found <= bound


def _lt(value: Any) -> Callable[[Any], bool]:
    bound = _scalar(value, "lt")
    return lambda found: _comparable(found, bound) and found < bound


def _ge(value: Any) -> Callable[[Any], bool]:
    bound = _scalar(value, "ge")
    return lambda found: _comparable(found, bound) and found >= bound


def _gt(value: Any) -> Callable[[Any], bool]:
    bound = _scalar(value, "gt")
    return lambda found: _comparable(found, bound) and found > bound


def _contains(value: Any) -> Callable[[Any], bool]:
    part = _scalar(value, "contains")
    return lambda found: _holds(found, part)


def _not_contains(value: Any) -> Callable[[Any], bool]:
    part = _scalar(value, "notContains")
    return lambda found: not _holds(found, part)


def _holds(found: Any, part: Scalar) -> bool:
    """Whether a list has a member, or a string a part."""
    if isinstance(found, list):
        return any(strictly_equal(member, part) for member in found)
    if isinstance(found, str) and isinstance(part, str):
        return part in found
    return strictly_equal(found, part)


def _begins_with(value: Any) -> Callable[[Any], bool]:
    if not isinstance(value, str):
        raise _invalid_value("beginsWith", "a string", value)
    prefix = _scalar(value, "beginsWith")
    return lambda found: isinstance(found, str) and found.startswith(str(prefix))


def _in(value: Any) -> Callable[[Any], bool]:
    members = _scalars(value, "in", MAX_IN_VALUES)
    return lambda found: any(strictly_equal(found, member) for member in members)


def _not_in(value: Any) -> Callable[[Any], bool]:
    members = _scalars(value, "notIn", MAX_IN_VALUES)
    return lambda found: not any(strictly_equal(found, member) for member in members)


def _between(value: Any) -> Callable[[Any], bool]:
    if not isinstance(value, list) or len(value) != 2:
        raise _invalid_value("between", "a pair of numbers or strings", value)
    low, high = _scalars(value, "between", 2)
    if not _comparable(low, high):
        raise _invalid_value("between", "two numbers or two strings", value)
    # The guide's example says [1,5] is passed by 2, 3 and 4: the ends do not belong to it.
    return lambda found: _comparable(found, low) and low < found < high


def _contains_any(value: Any) -> Callable[[Any], bool]:
    members = _scalars(value, "containsAny", MAX_CONTAINS_ANY_VALUES)
    return lambda found: (
        isinstance(found, list) and any(strictly_equal(item, member) for item in found for member in members)
    )


_OPERATORS: Mapping[str, Callable[[Any], Callable[[Any], bool]]] = {
    "eq": _eq,
    "ne": _ne,
    "le": _le,
    "lt": _lt,
    "ge": _ge,
    "gt": _gt,
    "contains": _contains,
    "notContains": _not_contains,
    "beginsWith": _begins_with,
    "in": _in,
    "notIn": _not_in,
    "between": _between,
    "containsAny": _contains_any,
}


def _scalar(value: Any, operator: str, *, allows_boolean: bool = False) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_STRING_CHARACTERS:
            raise _refused(f"a filter's string has at most {MAX_STRING_CHARACTERS} characters", len(value))
        return value
    if isinstance(value, bool):
        if allows_boolean:
            return value
    elif isinstance(value, int | float):
        return value
    kinds = "a number, string or Boolean" if allows_boolean else "a number or string"
    raise _invalid_value(operator, kinds, value)


def _scalars(value: Any, operator: str, maximum: int) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _invalid_value(operator, "a list of numbers or strings with at least one", value)
    if len(value) > maximum:
        raise _refused(
            f"{operator} takes at most {maximum} values",
            len(value),
            f"subscription exceeds maximum value limit {maximum} for operator `{operator}`.",
        )
    return [_scalar(member, operator) for member in value]


def _comparable(left: Any, right: Any) -> bool:
    """Numbers with numbers, strings with strings; a Boolean is no number."""
    if isinstance(left, str):
        return isinstance(right, str)
    return isinstance(left, int | float) and isinstance(right, int | float) and not isinstance(left, bool)


def _invalid_value(operator: str, expected: str, found: Any) -> FilterRefused:
    text = f"subscription filter has invalid filter value for operator `{operator}`."
    return _refused(f"{operator} compares with {expected}", found, text)


def _refused(rule: str, found: Any, message: str = "") -> FilterRefused:
    detail = f"Invalid subscription filter: {rule}; found {found!r:.200}."
    return FilterRefused(message or detail, detail)
