"""IAM and IoT policy documents: parsed and compiled once, decided many times."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import TemplateError
from headwater.values.policy_conditions import Condition, Context, Pattern, UnresolvedVariable, parse_condition


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of `decide`; `reason` completes the sentence "User: … is not authorized to perform: …".

    `is_explicit` tells that a Deny statement refused, and not just that nothing allows it.
    """

    allowed: bool
    reason: str = ""
    is_explicit: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `is_not_action` and `is_not_resource` say that the list excludes."""

    is_allow: bool
    actions: tuple[Pattern, ...]
    is_not_action: bool
    resources: tuple[Pattern, ...]
    is_not_resource: bool
    conditions: tuple[Condition, ...] = ()
    sid: str = ""

    def applies(self, action: str, resource: str, context: Context) -> bool:
        """Whether action, resource and every condition match."""
        if any(p.matches(action, context) for p in self.actions) is self.is_not_action:
            return False
        try:
            if self._names(resource, context) is self.is_not_resource:
                return False
            return all(condition(context) for condition in self.conditions)
        except UnresolvedVariable:
            return False

    def allows_action(self, action: str) -> bool:
        """Whether the statement allows the action on some resource."""
        return self.is_allow and any(p.matches(action, {}) for p in self.actions) is not self.is_not_action

    def _names(self, resource: str, context: Context) -> bool:
        """A variable the context lacks spoils its own pattern, and the whole statement where the list excludes."""
        for pattern in self.resources:
            try:
                if pattern.matches(resource, context):
                    return True
            except UnresolvedVariable:
                if self.is_not_resource:
                    raise
        return False


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy that was understood completely."""

    statements: tuple[Statement, ...]
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, document: str | Mapping[str, Any]) -> "PolicyDocument":
        """Compile a document; what is not understood is refused, since guessing would allow or deny wrongly.

        Raises: TemplateError naming the statement's number, the value found and the value expected.
        Source: IAM JSON policy reference, "Grammar of the IAM JSON policy language".
        """
        if isinstance(document, str):
            try:
                document = json.loads(document)
            except ValueError as error:
                raise TemplateError(f"the policy document is not JSON: {error}") from error
        if not isinstance(document, Mapping):
            raise TemplateError(f"a policy document is an object, found {type(document).__name__}")
        version = str(document.get("Version", "2008-10-17"))
        if version not in ("2012-10-17", "2008-10-17"):
            raise TemplateError(f"Version {version!r} is not a policy version, expected 2012-10-17")
        _refuse_unknown(document, {"Version", "Id", "Statement"}, "the policy document")
        statements = document.get("Statement")
        if isinstance(statements, Mapping):
            statements = [statements]
        if not isinstance(statements, Sequence) or isinstance(statements, str):
            raise TemplateError(f"Statement is a list or an object, found {statements!r}")
        # Before 2012-10-17 the language had no variables: ${…} is then plain text.
        has_variables = version == "2012-10-17"
        compiled = tuple(_parse_statement(s, n, has_variables) for n, s in enumerate(statements, start=1))
        return cls(statements=compiled, source=document)


def decide(policies: Iterable[PolicyDocument], action: str, resource: str, context: Context | None = None) -> Decision:
    """Default deny; an allow opens; an explicit deny wins over every allow.

    `context` holds condition keys and policy variables (`iot:ClientId`, `aws:SourceIp`); values are strings, numbers,
    booleans or lists of them. A statement that names a variable the context lacks does not match.
    Source: IAM User Guide, "Policy evaluation logic".
    """
    found = context if context is not None else {}
    is_allowed = False
    for policy in policies:
        for statement in policy.statements:
            if is_allowed and statement.is_allow:
                continue
            if statement.applies(action, resource, found):
                if not statement.is_allow:
                    where = "with an explicit deny in an identity-based policy"
                    return Decision(False, f"{action} on resource: {resource} {where}", is_explicit=True)
                is_allowed = True
    if is_allowed:
        return Decision(True)
    why = f"because no identity-based policy allows the {action} action"
    return Decision(False, f"{action} on resource: {resource} {why}")


def _parse_statement(raw: Any, number: int, has_variables: bool) -> Statement:
    where = f"statement {number}"
    if not isinstance(raw, Mapping):
        raise TemplateError(f"{where} is not an object: {raw!r}")
    known = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    _refuse_unknown(raw, known, where)
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise TemplateError(f"{where}: Effect {raw.get('Effect')!r}, expected Allow or Deny")
    actions, is_not_action = _either(raw, "Action", where)
    resources, is_not_resource = _either(raw, "Resource", where)
    for action in actions:
        if action != "*" and ":" not in action:
            raise TemplateError(f"{where}: Action {action!r}, expected service:Name or *")
    return Statement(
        is_allow=raw["Effect"] == "Allow",
        actions=tuple(Pattern(a, has_variables=False, is_case_sensitive=False) for a in actions),
        is_not_action=is_not_action,
        resources=tuple(Pattern(r, has_variables=has_variables) for r in resources),
        is_not_resource=is_not_resource,
        conditions=tuple(_parse_conditions(raw.get("Condition") or {}, where, has_variables)),
        sid=str(raw.get("Sid", "")),
    )


def _either(raw: Mapping[str, Any], name: str, where: str) -> tuple[list[str], bool]:
    present = [key for key in (name, f"Not{name}") if key in raw]
    if len(present) != 1:
        raise TemplateError(f"{where}: exactly one of {name} and Not{name} is needed, found {present or 'none'}")
    value = raw[present[0]]
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not values or not all(isinstance(v, str) for v in values):
        raise TemplateError(f"{where}: {present[0]} is a string or a list of strings, found {value!r}")
    return list(values), present[0].startswith("Not")


def _refuse_unknown(raw: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(raw) - known)
    if unknown:
        raise TemplateError(f"{where}: {unknown[0]!r} is not supported, expected one of {', '.join(sorted(known))}")


def _parse_conditions(raw: Any, where: str, has_variables: bool) -> Iterable[Condition]:
    if not isinstance(raw, Mapping):
        raise TemplateError(f"{where}: Condition is an object, found {raw!r}")
    for operator, keys in raw.items():
        if not isinstance(keys, Mapping):
            raise TemplateError(f"{where}: Condition {operator} is an object, found {keys!r}")
        for key, wanted in keys.items():
            listed = wanted if isinstance(wanted, list | tuple) else [wanted]
            try:
                yield parse_condition(operator, key, listed, has_variables)
            except ValueError as error:
                raise TemplateError(f"{where}: Condition {operator} {key}: {error}") from error
