"""CloudFormation's intrinsic functions: a parsed template becomes resources with plain values."""

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import TemplateError
from headwater.template.attributes import StackEnvironment, attribute_of, physical_id
from headwater.template.document import TemplateDocument
from headwater.template.parameters import ParameterValue, StoredParameter, parameter_values

__all__ = ["NO_VALUE", "Resource", "Stack", "StackEnvironment"]

_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]*)\}")
_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:([^{}]+)\}\}")


class _NoValue:
    """What `Ref: AWS::NoValue` resolves to; its holder drops the key or the item."""


NO_VALUE = _NoValue()


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the stack, every intrinsic function resolved."""

    logical_id: str
    type: str
    properties: dict[str, Any]
    metadata: dict[str, Any]
    depends_on: tuple[str, ...]


@dataclass(slots=True)
class Stack:
    """A template bound to parameter values and an environment.

    `given` are values from outside by name: of parameters, of other stacks' exports, and of dynamic references
    (`ssm:/path`); names that nothing in the template can ask for are refused.
    """

    document: TemplateDocument
    environment: StackEnvironment
    given: dict[str, str] = field(default_factory=dict)
    _parameters: dict[str, ParameterValue] = field(init=False)
    _conditions: dict[str, bool] = field(init=False, default_factory=dict)
    _physical: dict[str, str] = field(init=False, default_factory=dict)
    _properties: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    _resolving: list[str] = field(init=False, default_factory=list)
    _naming: list[str] = field(init=False, default_factory=list)
    _place: str = field(init=False, default="")
    _imported: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._parameters = parameter_values(self.document.body.get("Parameters") or {}, self.given)
        if self._unused_names() and not _looks_outside(self.document.body):
            self.refuse_unused_names()

    def parameter(self, name: str) -> Any:
        """The value of a parameter; a list for `List<…>` and `CommaDelimitedList` types.

        Raises: TemplateError for one that SSM Parameter Store holds.
        """
        value = self._parameters[name]
        if isinstance(value, StoredParameter):
            raise self._fault(value.why)
        return value

    def refuse_unused_names(self) -> None:
        """Raises: TemplateError for given names that no parameter has and nothing resolved so far has imported."""
        unused = sorted(self._unused_names())
        if unused:
            there = ", ".join(sorted(self._parameters)) or "none"
            raise TemplateError(f"the template has no parameter {', '.join(unused)}; it has {there}")

    def _unused_names(self) -> set[str]:
        return set(self.given) - set(self._parameters) - self._imported

    def imported(self, name: str, what: str) -> str:
        """A value from outside the template. Raises: TemplateError if it is not given."""
        if name not in self.given:
            raise self._fault(f"{what}: it lies outside this template; give its value with --param '{name}=…'")
        self._imported.add(name)
        return self.given[name]

    def logical_ids(self) -> list[str]:
        """Resources whose condition holds, in template order."""
        return [
            logical_id
            for logical_id, body in self.document.resources.items()
            if "Condition" not in body or self.condition(str(body["Condition"]))
        ]

    def resource(self, logical_id: str) -> Resource:
        """One resource, resolved. Raises: TemplateError naming the place of what cannot be resolved."""
        body = self.document.resources[logical_id]
        depends = body.get("DependsOn") or ()
        return Resource(
            logical_id=logical_id,
            type=body["Type"],
            properties=self.properties(logical_id),
            metadata=body.get("Metadata") or {},
            depends_on=(depends,) if isinstance(depends, str) else tuple(depends),
        )

    def properties(self, logical_id: str) -> dict[str, Any]:
        """The resolved properties of a resource, computed once."""
        if logical_id not in self._properties:
            if logical_id in self._resolving:
                cycle = " -> ".join([*self._resolving[self._resolving.index(logical_id) :], logical_id])
                raise TemplateError(f"circular reference: {cycle}")
            self._resolving.append(logical_id)
            place, self._place = self._place, logical_id
            try:
                value = self.resolve(self.document.resources[logical_id].get("Properties") or {})
            finally:
                self._resolving.pop()
                self._place = place
            self._properties[logical_id] = value if isinstance(value, dict) else {}
        return self._properties[logical_id]

    def output(self, name: str) -> Any:
        """One output's value. Raises: TemplateError naming the output."""
        self._place = f"Outputs.{name}"
        try:
            return self.resolve(self.document.body["Outputs"][name].get("Value"))
        finally:
            self._place = ""

    def physical_id(self, logical_id: str) -> str:
        """The name the resource has outside the template; stable over restarts."""
        if logical_id not in self._physical:
            if logical_id in self._naming:
                cycle = " -> ".join([*self._naming[self._naming.index(logical_id) :], logical_id])
                raise TemplateError(f"circular reference: {cycle}", logical_id=logical_id)
            body = self.document.resources[logical_id]
            # Only naming properties are looked at, so two resources may name each other.
            self._naming.append(logical_id)
            try:
                name = self._name_properties(logical_id, body)
            finally:
                self._naming.pop()
            self._physical[logical_id] = physical_id(body["Type"], logical_id, name, self.environment)
        return self._physical[logical_id]

    def _name_properties(self, logical_id: str, body: dict[str, Any]) -> dict[str, Any]:
        raw = body.get("Properties") or {}
        place, self._place = self._place, logical_id
        try:
            return {key: self.resolve(value) for key, value in raw.items() if _names_resource(key)}
        finally:
            self._place = place

    def condition(self, name: str) -> bool:
        """Evaluate a named condition."""
        if name not in self._conditions:
            definitions = self.document.body.get("Conditions") or {}
            if name not in definitions:
                raise self._fault(f"the condition {name!r} is not defined; there are {sorted(definitions)}")
            self._conditions[name] = bool(self.resolve(definitions[name]))
        return self._conditions[name]

    def resolve(self, value: Any) -> Any:
        """Replace every intrinsic function in a value."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((name, argument),) = value.items()
                function = _FUNCTIONS.get(name)
                if function is not None:
                    found = function(self, argument)
                    return self._dynamic(found) if isinstance(found, str) and "{{resolve:" in found else found
                if isinstance(name, str) and name.startswith("Fn::"):
                    raise self._fault(f"the function {name} does not work here")
            resolved = {key: self.resolve(child) for key, child in value.items()}
            return {key: child for key, child in resolved.items() if child is not NO_VALUE}
        if isinstance(value, list):
            return [child for child in map(self.resolve, value) if child is not NO_VALUE]
        return self._dynamic(value) if isinstance(value, str) and "{{resolve:" in value else value

    def _dynamic(self, text: str) -> str:
        return _DYNAMIC_REFERENCE.sub(lambda found: self.imported(found.group(1), found.group()), text)

    def _fault(self, message: str) -> TemplateError:
        return TemplateError(message, logical_id=self._place)

    def ref(self, name: Any) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        pseudo = self.environment.pseudo_parameters()
        if name in pseudo:
            return pseudo[name]
        if name in self._parameters:
            return self.parameter(name)
        if name in self.document.resources:
            return self._attribute(name, "")
        raise self._fault(f"Ref {name!r} names neither a parameter nor a resource")

    def get_att(self, argument: Any) -> Any:
        if isinstance(argument, str):
            argument = argument.split(".", 1)
        if not isinstance(argument, list) or len(argument) != 2:
            raise self._fault(f"Fn::GetAtt takes [logical id, attribute], found {argument!r}")
        logical_id, attribute = argument[0], self.resolve(argument[1])
        if logical_id not in self.document.resources:
            raise self._fault(f"Fn::GetAtt names {logical_id!r}, which is no resource of the template")
        return self._attribute(logical_id, str(attribute))

    def _attribute(self, logical_id: str, attribute: str) -> Any:
        body = self.document.resources[logical_id]
        try:
            return attribute_of(
                body["Type"],
                logical_id,
                attribute,
                self.physical_id(logical_id),
                lambda: self._name_properties(logical_id, body),
                self.environment,
            )
        except TemplateError as error:
            raise error if error.logical_id else self._fault(error.message) from error
        except KeyError as error:
            raise TemplateError("missing", logical_id=logical_id, property_path=str(error.args[0])) from error

    def substitute(self, argument: Any) -> str:
        extra: dict[str, Any] = {}
        if isinstance(argument, list):
            if len(argument) != 2 or not isinstance(argument[1], dict):
                raise self._fault(f"Fn::Sub takes text or [text, mapping], found {argument!r}")
            argument, extra = argument[0], self.resolve(argument[1])
        if not isinstance(argument, str):
            raise self._fault(f"Fn::Sub takes text, found {type(argument).__name__}")

        def replace(match: re.Match[str]) -> str:
            literal, name = match.group(1), match.group(2).strip()
            if literal:
                return "${" + match.group(2) + "}"
            if name in extra:
                found = extra[name]
            elif "." in name and name not in self._parameters:
                found = self.get_att(name)
            else:
                found = self.ref(name)
            return _text(found)

        return _SUBSTITUTION.sub(replace, argument)


def _looks_outside(value: Any) -> bool:
    """Whether a template has an import or a dynamic reference anywhere."""
    if isinstance(value, dict):
        return "Fn::ImportValue" in value or any(map(_looks_outside, value.values()))
    if isinstance(value, list):
        return any(map(_looks_outside, value))
    return isinstance(value, str) and "{{resolve:" in value


def _names_resource(key: str) -> bool:
    return key in ("ApiId", "FifoQueue", "StreamARN", "Value") or key.endswith("Name")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


def _arguments(stack: Stack, name: str, argument: Any, count: int | tuple[int, ...]) -> list[Any]:
    counts = (count,) if isinstance(count, int) else count
    if not isinstance(argument, list) or len(argument) not in counts:
        raise stack._fault(f"{name} takes a list of {' or '.join(map(str, counts))} values, found {argument!r}")
    return argument


def _join(stack: Stack, argument: Any) -> str:
    separator, parts = _arguments(stack, "Fn::Join", argument, 2)
    values = stack.resolve(parts)
    if not isinstance(values, list):
        raise stack._fault(f"Fn::Join joins a list, found {values!r}")
    return str(separator).join(map(_text, values))


def _select(stack: Stack, argument: Any) -> Any:
    index, values = _arguments(stack, "Fn::Select", argument, 2)
    resolved, position = stack.resolve(values), int(stack.resolve(index))
    if not isinstance(resolved, list) or not 0 <= position < len(resolved):
        raise stack._fault(f"Fn::Select index {position} is outside {resolved!r}")
    return resolved[position]


def _split(stack: Stack, argument: Any) -> list[str]:
    separator, text = _arguments(stack, "Fn::Split", argument, 2)
    return str(stack.resolve(text)).split(str(separator))


def _if(stack: Stack, argument: Any) -> Any:
    condition, then, otherwise = _arguments(stack, "Fn::If", argument, 3)
    return stack.resolve(then if stack.condition(str(condition)) else otherwise)


def _equals(stack: Stack, argument: Any) -> bool:
    left, right = _arguments(stack, "Fn::Equals", argument, 2)
    return _text(stack.resolve(left)) == _text(stack.resolve(right))


def _find_in_map(stack: Stack, argument: Any) -> Any:
    name, first, second, *rest = _arguments(stack, "Fn::FindInMap", argument, (3, 4))
    mappings = stack.document.body.get("Mappings") or {}
    keys = [_text(stack.resolve(part)) for part in (name, first, second)]
    found: Any = mappings
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None:
        if rest and isinstance(rest[0], dict) and "DefaultValue" in rest[0]:
            return stack.resolve(rest[0]["DefaultValue"])
        raise stack._fault(f"Fn::FindInMap finds nothing at {'.'.join(keys)}")
    return found


def _import_value(stack: Stack, argument: Any) -> str:
    name = _text(stack.resolve(argument))
    return stack.imported(name, f"Fn::ImportValue {name!r}")


def _cidr(stack: Stack, argument: Any) -> list[str]:
    block, count, bits = (*_arguments(stack, "Fn::Cidr", stack.resolve(argument), (2, 3)), 8)[:3]
    network = ipaddress.ip_network(str(block))
    subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits))
    return [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]


def _all(stack: Stack, argument: Any) -> bool:
    return all(bool(stack.resolve(part)) for part in argument)


def _any(stack: Stack, argument: Any) -> bool:
    return any(bool(stack.resolve(part)) for part in argument)


_FUNCTIONS: dict[Any, Callable[[Stack, Any], Any]] = {
    "Ref": Stack.ref,
    "Condition": lambda stack, name: (
        stack.condition(name) if isinstance(name, str) else {"Condition": stack.resolve(name)}
    ),
    "Fn::GetAtt": Stack.get_att,
    "Fn::Sub": Stack.substitute,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::If": _if,
    "Fn::Equals": _equals,
    "Fn::And": _all,
    "Fn::Or": _any,
    "Fn::Not": lambda stack, argument: not stack.resolve(_arguments(stack, "Fn::Not", argument, 1)[0]),
    "Fn::FindInMap": _find_in_map,
    "Fn::ImportValue": _import_value,
    "Fn::Cidr": _cidr,
    "Fn::Base64": lambda stack, text: base64.b64encode(_text(stack.resolve(text)).encode()).decode(),
    "Fn::GetAZs": lambda stack, _: [f"{stack.environment.region}{letter}" for letter in "abc"],
    "Fn::Length": lambda stack, value: len(stack.resolve(value)),
    "Fn::ToJsonString": lambda stack, value: json.dumps(stack.resolve(value), separators=(",", ":")),
}
