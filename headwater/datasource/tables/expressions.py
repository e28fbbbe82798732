"""Expressions of AppSync requests as parameters of DynamoDB requests."""

from typing import Any

from headwater.datasource.ports import malformed, not_an_object
from headwater.datasource.tables.typed_values import to_wire_map
from headwater.values.json_text import parse_json


def read_expression(request: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The expression object under `name`; also the JSON text that `util.transform` makes. None if it is absent."""
    expression = request.get(name)
    if isinstance(expression, str):
        try:
            expression = parse_json(expression)
        except ValueError as error:
            raise not_an_object(expression, f"$[{name}]") from error
    if expression is None:
        return None
    if not isinstance(expression, dict):
        raise not_an_object(expression, f"$[{name}]")
    if not isinstance(expression.get("expression"), str):
        raise malformed(f"Value for field '$[{name}][expression]' not found.")
    names = expression.get("expressionNames")
    if names is not None and not isinstance(names, dict):
        raise not_an_object(names, f"$[{name}][expressionNames]")
    return expression


class Parameters:
    """The parameters of one DynamoDB request; names and values of its expressions share one space there."""

    def __init__(self, table_name: str) -> None:
        self.request: dict[str, Any] = {"TableName": table_name}
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def add(self, parameter: str, request: dict[str, Any], name: str) -> dict[str, Any] | None:
        """Add the expression a request has under `name`, if any, under its DynamoDB name, and return it.

        Raises: RequestError if a placeholder has two meanings or a value is not typed.
        """
        expression = read_expression(request, name)
        if expression is not None and expression["expression"]:
            self.request[parameter] = expression["expression"]
            _merge(self._names, expression.get("expressionNames") or {})
            values = expression.get("expressionValues") or {}
            _merge(self._values, to_wire_map(values, f"$[{name}][expressionValues]"))
        return expression

    def add_name(self, placeholder: str, name: str) -> None:
        """Add one attribute name placeholder."""
        self._names[placeholder] = name

    def build(self) -> dict[str, Any]:
        """The request; DynamoDB refuses empty placeholder maps, so they are left out."""
        if self._names:
            self.request["ExpressionAttributeNames"] = self._names
        if self._values:
            self.request["ExpressionAttributeValues"] = self._values
        return self.request


def _merge(known: dict[str, Any], added: dict[str, Any]) -> None:
    for placeholder, meaning in added.items():
        if known.setdefault(placeholder, meaning) != meaning:
            raise malformed(f"The placeholder {placeholder} stands for two different values in one request.")
