"""Say graphql-core's validation findings as graphql-java does: `Validation error of type <Type>: <text> @ '<path>'`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    VariableDefinitionNode,
    get_named_type,
    print_ast,
)

from headwater.engine.validation.values import value_text, wrong_value


@dataclass(frozen=True, slots=True)
class Finding:
    """One error of one rule; `types` are the output type and the input type where it was found.

    `holder` is the argument or variable definition around the node, with the type it should have.
    """

    rule: str
    error: GraphQLError
    output_type: Any = None
    holder: Any = None
    holder_type: Any = None

    @property
    def node(self) -> Any:
        return self.error.nodes[0] if self.error.nodes else None

    def quoted(self, index: int = 0) -> str:
        """The index-th name in quotes in graphql-core's message, without the sigils of variables and directives."""
        found = re.findall(r"'([^']*)'", self.error.message)
        return found[index].lstrip("$@") if index < len(found) else ""


Words = tuple[str, str]


def describe(finding: Finding) -> Words:
    """The graphql-java error type and text of a finding."""
    describe_rule = _RULES.get(finding.rule)
    if describe_rule is not None:
        return describe_rule(finding)
    # Two of graphql-core's rules report past the hook that tells us which rule it was.
    if finding.error.message.startswith("Unknown argument"):
        return _unknown_argument(finding)
    if "can never be of type" in finding.error.message:
        return _fragment_spread(finding)
    return "InvalidSyntax", finding.error.message


def _field_undefined(finding: Finding) -> Words:
    return "FieldUndefined", f"Field '{finding.quoted(0)}' in type '{finding.quoted(1)}' is undefined"


def _unknown_argument(finding: Finding) -> Words:
    name = finding.quoted(0)
    if " on directive " in finding.error.message:
        return "UnknownDirective", f"Unknown directive argument {name}"
    return "UnknownArgument", f"Unknown field argument {name}"


def _unknown_directive(finding: Finding) -> Words:
    name = finding.quoted(0)
    if "may not be used" in finding.error.message:
        return "MisplacedDirective", f"Directive {name} not allowed here"
    return "UnknownDirective", f"Unknown directive {name}"


def _missing_argument(finding: Finding) -> Words:
    match = re.search(r"\((\w+):\)", finding.error.message)
    name = match.group(1) if match else ""
    if finding.error.message.startswith("Argument '@"):
        return "MissingDirectiveArgument", f"Missing directive argument {name}"
    return "MissingFieldArgument", f"Missing field argument {name}"


def _sub_selection(finding: Finding) -> Words:
    name = finding.node.name.value if isinstance(finding.node, FieldNode) else finding.quoted(0)
    # The service prints `null` for a type without a name of its own, a list or a required type.
    wrapped = isinstance(finding.output_type, GraphQLNonNull | GraphQLList)
    type_text = "null" if wrapped or finding.output_type is None else get_named_type(finding.output_type).name
    if "must not have a selection" in finding.error.message:
        return "SubSelectionNotAllowed", f"Sub selection not allowed on leaf type {type_text} of field {name}"
    return "SubSelectionRequired", f"Sub selection required for type {type_text} of field {name}"


def _wrong_type(finding: Finding) -> Words:
    if isinstance(finding.holder, VariableDefinitionNode):
        return (
            "BadValueForDefaultArg",
            f"Bad default value {value_text(finding.holder.default_value)} for type {print_ast(finding.holder.type)}",
        )
    if finding.holder is None or finding.holder_type is None:
        return "WrongType", finding.error.message
    wrong = wrong_value(finding.holder.value, finding.holder_type)
    if wrong is None:
        return "WrongType", finding.error.message
    place = finding.holder.name.value + wrong.place
    return "WrongType", f"argument '{place}' with value '{value_text(wrong.node)}' {wrong.reason}"


def _variable_position(finding: Finding) -> Words:
    return (
        "VariableTypeMismatch",
        f"Variable type '{finding.quoted(1)}' doesn't match expected type '{finding.quoted(2)}'",
    )


def _conflict(finding: Finding) -> Words:
    message = finding.error.message
    name = finding.quoted(0)
    if "differing arguments" in message:
        return "FieldsConflict", f"{name}: they have differing arguments"
    match = re.search(r"conflicting types '([^']*)' and '([^']*)'", message)
    if match:
        return "FieldsConflict", f"{name}: returns different types {match.group(1)} and {match.group(2)}"
    match = re.search(r"because '([^']*)' and '([^']*)' are different fields", message)
    if match:
        return "FieldsConflict", f"{name}: {match.group(1)} and {match.group(2)} are different fields"
    return "FieldsConflict", message


def _fragment_spread(finding: Finding) -> Words:
    message = finding.error.message
    types = re.search(r"of type '([^']*)' can never be of type '([^']*)'", message)
    parent, fragment = types.groups() if types else ("", "")
    name = "" if message.startswith("Fragment cannot") else f"{finding.quoted(0)} "
    return (
        "InvalidFragmentType",
        f"Fragment {name}cannot be spread here as objects of type {parent} can never be of type {fragment}",
    )


def _quoting(kind: str, text: str) -> Callable[[Finding], Words]:
    return lambda finding: (kind, text.format(finding.quoted(0)))


def _duplicate_directive(finding: Finding) -> Words:
    text = (
        "Non repeatable directives must be uniquely named within a location. "
        f"The directive '{finding.quoted(0)}' is not unique"
    )
    return "DuplicateDirectiveName", text


_RULES: Final[Mapping[str, Callable[[Finding], Words]]] = MappingProxyType(
    {
        "FieldsOnCorrectTypeRule": _field_undefined,
        "NoSchemaIntrospection": _field_undefined,
        "KnownDirectivesRule": _unknown_directive,
        "ProvidedRequiredArgumentsRule": _missing_argument,
        "ScalarLeafsRule": _sub_selection,
        "ValuesOfCorrectTypeRule": _wrong_type,
        "VariablesInAllowedPositionRule": _variable_position,
        "OverlappingFieldsCanBeMergedRule": _conflict,
        "KnownFragmentNamesRule": _quoting("UndefinedFragment", "Undefined fragment {}"),
        "KnownTypeNamesRule": _quoting("UnknownType", "Unknown type {}"),
        "LoneAnonymousOperationRule": lambda finding: (
            "LoneAnonymousOperationViolation",
            "Anonymous operation with other operations.",
        ),
        "NoFragmentCyclesRule": lambda finding: ("FragmentCycle", "Fragment cycles not allowed"),
        "NoUndefinedVariablesRule": _quoting("UndefinedVariable", "Undefined variable {}"),
        "NoUnusedFragmentsRule": _quoting("UnusedFragment", "Unused fragment {}"),
        "NoUnusedVariablesRule": _quoting("UnusedVariable", "Unused variable {}"),
        "VariablesAreInputTypesRule": _quoting("NonInputTypeOnVariable", "Input variable {} has no input type"),
        "FragmentsOnCompositeTypesRule": lambda finding: (
            "FragmentTypeConditionInvalid",
            "Invalid type condition " + finding.quoted(-1),
        ),
        "UniqueOperationNamesRule": _quoting("DuplicateOperationName", "There can be only one operation named '{}'"),
        "UniqueFragmentNamesRule": _quoting("DuplicateFragmentName", "There can be only one fragment named '{}'"),
        "UniqueVariableNamesRule": _quoting("DuplicateVariableName", "There can be only one variable named '{}'"),
        "UniqueArgumentNamesRule": _quoting("DuplicateArgumentNames", "There can be only one argument named '{}'"),
        "UniqueInputFieldNamesRule": _quoting("DuplicateInputFieldName", "There can be only one input field '{}'"),
        "UniqueDirectivesPerLocationRule": _duplicate_directive,
        "ExecutableDefinitionsRule": lambda finding: (
            "NonExecutableDefinition",
            f"The {finding.quoted(0)} definition is not executable.",
        ),
        "KnownOperationTypesRule": lambda finding: ("UnknownOperation", finding.error.message.rstrip(".")),
        "SingleFieldSubscriptionsRule": lambda finding: (
            "SubscriptionMultipleRootFields",
            "A subscription operation must have exactly one root field",
        ),
    }
)
