"""The expression parameters of a request: placeholders checked, expressions compiled and bound."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headwater.dynamodb.expressions.cache import Compiled, ExpressionCache
from headwater.dynamodb.expressions.conditions import CompiledCondition
from headwater.dynamodb.expressions.paths import CompiledProjection
from headwater.dynamodb.expressions.tokens import ExpressionFault, expression_error
from headwater.dynamodb.expressions.updates import CompiledUpdate
from headwater.dynamodb.faults import RequestFault, validation
from headwater.dynamodb.items.attributes import (
    EMPTY_NAME,
    Item,
    Value,
    check_name,
    normalise_value,
    normalise_values,
    wrong_type,
)
from headwater.errors import ServiceError

Matches = Callable[[Item], bool]
_NAME_KEY = re.compile(r"#[0-9a-zA-Z_]+\Z")
_VALUE_KEY = re.compile(r":[0-9a-zA-Z_]+\Z")
_VALUES_UNUSED = "ExpressionAttributeValues can only be specified when using expressions"
_NOTHING: Mapping[str, Any] = {}


class ExpressionParameters:
    """The names, values and expressions of one request.

    Call the methods for the expressions in the order the service checks them, then `finish`.
    """

    def __init__(
        self,
        cache: ExpressionCache,
        request: Mapping[str, Any],
        expressions: tuple[str, ...],
        legacy: tuple[str, ...] = (),
    ) -> None:
        self._cache = cache
        self._request = request
        self._names: Mapping[str, str] = _NOTHING
        self._values: Mapping[str, Value] = _NOTHING
        self._used_names: set[str] = set()
        self._used_values: set[str] = set()
        self.nested_heads: set[str] = set()
        self._shape = _shape(request, expressions)
        self._accepted = None if self._shape is None else cache.accepted(self._shape)
        self._compiled: dict[str, Compiled] = {}
        if self._accepted is None or not request.keys().isdisjoint(legacy):
            _check_mixture(request, expressions, legacy)

    def read_placeholders(self) -> None:
        """Check ExpressionAttributeNames and ExpressionAttributeValues. Raises: ServiceError `ValidationException`."""
        names = self._request.get("ExpressionAttributeNames")
        if names is not None:
            self._names = names if self._accepted is not None else _check_names(names)
        values = self._request.get("ExpressionAttributeValues")
        if values is not None:
            if self._accepted is None:
                _check_value_keys(values)
            self._values = _check_values(values)

    def compiled_condition(self, parameter: str) -> CompiledCondition | None:
        """A condition with its values bound, or None if the request has none."""
        if self._accepted is not None:
            again: CompiledCondition | None = self._bound_again(parameter)
            return again
        text = self._text(parameter)
        if text is None:
            return None
        try:
            condition = self._cache.condition(text, self._names, parameter)
            condition.bind(self._values)
        except ExpressionFault as fault:
            raise expression_error(parameter, fault) from None
        self._use(condition.used_names, condition.used_values, condition.nested_heads)
        self._compiled[parameter] = condition
        return condition

    def condition(self, parameter: str) -> Matches | None:
        """A condition as a function of the item."""
        compiled = self.compiled_condition(parameter)
        return None if compiled is None else self.bound(compiled)

    def bound(self, compiled: CompiledCondition) -> Matches:
        """A compiled condition with this request's values."""
        test, values = compiled.test, self._values
        return lambda item: test(item, values)

    def update(self, parameter: str = "UpdateExpression") -> CompiledUpdate | None:
        """The update with its values bound."""
        if self._accepted is not None:
            again: CompiledUpdate | None = self._bound_again(parameter)
            return again
        text = self._text(parameter)
        if text is None:
            return None
        try:
            update = self._cache.update(text, self._names)
            update.bind(self._values)
        except ExpressionFault as fault:
            raise expression_error(parameter, fault) from None
        self._use(update.used_names, update.used_values, update.nested_heads)
        self._compiled[parameter] = update
        return update

    def projection(self, parameter: str = "ProjectionExpression") -> CompiledProjection | None:
        """The projection."""
        if self._accepted is not None:
            again: CompiledProjection | None = self._known(parameter)
            return again
        text = self._text(parameter)
        if text is None:
            return None
        try:
            projection = self._cache.projection(text, self._names)
        except ExpressionFault as fault:
            raise expression_error(parameter, fault) from None
        self._use(projection.used_names, (), projection.nested_heads)
        self._compiled[parameter] = projection
        return projection

    @property
    def values(self) -> Mapping[str, Value]:
        """The canonical values."""
        return self._values

    def finish(self) -> None:
        """Refuse placeholders that no expression used. Raises: ServiceError `ValidationException`."""
        if self._accepted is not None:
            return
        for member, given, used in (
            ("ExpressionAttributeNames", self._names, self._used_names),
            ("ExpressionAttributeValues", self._values, self._used_values),
        ):
            unused = [name for name in given if name not in used]
            if unused:
                raise RequestFault(f"Value provided in {member} unused in expressions: keys: {{{', '.join(unused)}}}")
        if self._shape is not None:
            self._cache.accept(self._shape, self._compiled)

    def _bound_again(self, parameter: str) -> Any:
        """An expression of a request whose like was accepted, so that at most its values do not fit."""
        found = self._known(parameter)
        if found is not None:
            try:
                found.bind_again(self._values)
            except ExpressionFault as fault:
                raise expression_error(parameter, fault) from None
        return found

    def _known(self, parameter: str) -> Any:
        assert self._accepted is not None
        found = self._accepted.get(parameter)
        if found is not None and found.nested_heads:
            self.nested_heads.update(found.nested_heads)
        return found

    def _text(self, parameter: str) -> str | None:
        text = self._request.get(parameter)
        if text is not None and not isinstance(text, str):
            raise wrong_type(text, "String")
        return text

    def _use(self, names: Iterable[str], values: Iterable[str], nested_heads: Iterable[str]) -> None:
        self._used_names.update(names)
        self._used_values.update(values)
        self.nested_heads.update(nested_heads)


def _shape(request: Mapping[str, Any], expressions: tuple[str, ...]) -> tuple[Any, ...] | None:
    """What of a request's expressions is more than their values; None for a request without any."""
    texts = tuple([request.get(name) for name in expressions])
    if not any(texts):
        return None
    names, values = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
    return (
        expressions,
        texts,
        tuple(names) if isinstance(names, dict) else names,
        tuple(names.values()) if isinstance(names, dict) else None,
        tuple(values) if isinstance(values, dict) else values,
    )


def mixture(old: str, new: str) -> ServiceError:
    """The fault of legacy parameters beside expressions."""
    return validation(
        "Can not use both expression and non-expression parameters in the same request: "
        f"Non-expression parameters: {{{old}}} Expression parameters: {{{new}}}"
    )


def _check_mixture(request: Mapping[str, Any], expressions: tuple[str, ...], legacy: tuple[str, ...]) -> None:
    given = [name for name in expressions if request.get(name) is not None]
    if given:
        old = [name for name in legacy if request.get(name) is not None]
        if "KeyConditions" in old and request.get("KeyConditionExpression") is None:
            old.remove("KeyConditions")
        if old:
            raise mixture(", ".join(old), ", ".join(given))
    elif request.get("ExpressionAttributeNames") is not None:
        raise validation("ExpressionAttributeNames can only be specified when using expressions")
    if request.get("ExpressionAttributeValues") is None:
        return
    with_values = [name for name in expressions if name != "ProjectionExpression"]
    if with_values and all(request.get(name) is None for name in with_values):
        verb = "are" if len(with_values) > 1 else "is"
        raise RequestFault(f"{_VALUES_UNUSED}: {' and '.join(with_values)} {verb} null", _VALUES_UNUSED)
    if not with_values:
        raise validation(_VALUES_UNUSED)


def _check_names(names: Any) -> Mapping[str, str]:
    if not isinstance(names, dict):
        raise wrong_type(names, "Map")
    if not names:
        raise RequestFault("ExpressionAttributeNames must not be empty")
    for key, name in names.items():
        if not _NAME_KEY.match(key):
            raise validation(f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{key}"')
        if not isinstance(name, str):
            raise wrong_type(name, "String")
        if not name:
            raise RequestFault(f"ExpressionAttributeNames contains invalid value: {EMPTY_NAME} for key {key}")
        check_name(name)
    return names


def _check_value_keys(values: Any) -> None:
    if not isinstance(values, dict):
        raise wrong_type(values, "Map")
    if not values:
        raise RequestFault("ExpressionAttributeValues must not be empty")
    for key in values:
        if not _VALUE_KEY.match(key):
            raise validation(f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{key}"')


def _check_values(values: dict[str, Any]) -> Mapping[str, Value]:
    try:
        return normalise_values(values)[0]
    except ServiceError as error:
        if error.code != "ValidationException":
            raise
    # Something is wrong, and its message names where.
    for key, value in values.items():
        try:
            normalise_value(value)
        except ServiceError as error:
            if error.code != "ValidationException":
                raise
            message = f"ExpressionAttributeValues contains invalid value: {error.message} for key {key}"
            if isinstance(error, RequestFault):
                raise RequestFault(message, error.unopened) from None
            raise validation(message) from None
    raise AssertionError("no value is wrong that was wrong before")
