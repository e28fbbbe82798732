"""Turn a query text into a validated document, or into the errors the service answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    Node,
    OperationDefinitionNode,
    ValidationRule,
    VariableDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from graphql.language.visitor import VisitorAction
from graphql.validation import ASTValidationRule

from headwater.engine.calls import Limits, RequestRefused
from headwater.engine.execution.faults import document_error, request_error
from headwater.engine.validation.wording import Finding, describe

_FRAGMENT_RULES: Final = frozenset(
    {
        "FragmentsOnCompositeTypesRule",
        "KnownFragmentNamesRule",
        "NoFragmentCyclesRule",
        "NoUnusedFragmentsRule",
        "PossibleFragmentSpreadsRule",
        "UniqueFragmentNamesRule",
    }
)
_DIRECTIVE_RULES: Final = frozenset(
    {
        "DeferStreamDirectiveLabel",
        "DeferStreamDirectiveOnRootField",
        "DeferStreamDirectiveOnValidOperationsRule",
        "KnownDirectivesRule",
        "StreamDirectiveOnListField",
        "UniqueDirectivesPerLocationRule",
    }
)


class DocumentValidator:
    """The rules of one schema, each reporting with what the words need: its name and the types around the node.

    With a `clock`, in seconds, `times` tells when the last document began, was parsed and was validated.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or _no_clock
        self.times: tuple[float, float, float] | None = None
        self._schema = schema
        self._limits = limits
        # Validation does not wait, so one trail serves all documents, one after the other.
        self._trail = _Trail()
        rules: list[type[ASTValidationRule]] = [*specified_rules]
        if not limits.is_introspection_enabled:
            rules.append(NoSchemaIntrospection)
        reporting = [(rule.__name__, _reporting(rule, self._trail)) for rule in rules]
        # By whether a document may have fragments and directives. Every rule is asked at every node: what cannot find
        # anything is left out: a sixth of the time for a mutation of many aliases.
        self._rules = {
            (has_fragments, has_directives): [
                _tracking(self._trail),
                *(
                    rule
                    for name, rule in reporting
                    if (has_fragments or name not in _FRAGMENT_RULES)
                    and (has_directives or name not in _DIRECTIVE_RULES)
                ),
            ]
            for has_fragments in (False, True)
            for has_directives in (False, True)
        }

    def document(self, query: str) -> DocumentNode:
        """Parse and validate. Raises: RequestRefused with the service's errors and status."""
        began = self._clock()
        document = self._parse(query)
        parsed = self._clock()
        self._trail.holder = None
        self._trail.findings.clear()
        rules = self._rules["..." in query or "fragment" in query, "@" in query]
        errors = validate(self._schema, document, rules, hide_suggestions=True)
        self.times = began, parsed, self._clock()
        if errors:
            paths = _field_paths(document)
            known = {id(finding.error): finding for finding in self._trail.findings}
            raise RequestRefused([_worded(known.get(id(one)) or Finding("", one), paths) for one in errors])
        return document

    def _parse(self, query: str) -> DocumentNode:
        if len(query) > self._limits.max_query_bytes:
            raise RequestRefused([document_error("Maximum char length exceeded", None)])
        try:
            return parse(query, max_tokens=self._limits.max_query_tokens, allow_empty_selection_sets=False)
        except GraphQLSyntaxError as error:
            if "Document contains more than" in error.message:
                raise RequestRefused([document_error("Maximum char length exceeded", None)]) from error
            fault = request_error("Unable to parse GraphQL query.", "MalformedHttpRequestException")
            raise RequestRefused([fault], status=400, has_data_member=False) from error


# Findings that graphql-java makes at the end of a document or operation, where no field surrounds them.
_WITHOUT_PATH: Final = frozenset({"NoUnusedFragmentsRule", "NoUnusedVariablesRule", "LoneAnonymousOperationRule"})


class NoSchemaIntrospection(ValidationRule):
    """With introspection switched off, the types of `__schema` and `__type` have no fields.

    Source: the picture in the Developer Guide's "Configuring GraphQL run complexity, query depth, and introspection",
    and graphql-java's NoIntrospectionGraphqlFieldVisibility, whose words it shows.
    """

    def enter_field(self, node: FieldNode, *_: Any) -> VisitorAction:
        parent = self.context.get_parent_type()
        if parent is None or not parent.name.startswith("__") or node.name.value == "__typename":
            return None
        message = f"Cannot query field '{node.name.value}' on type '{parent.name}'."
        self.report_error(GraphQLError(message, node))
        return SKIP


def _no_clock() -> float:
    return 0.0


def select_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation to run. Raises: RequestRefused (400) if it cannot be told or does not exist."""
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if not operations:
        fault = request_error("Unable to parse GraphQL query.", "MalformedHttpRequestException")
        raise RequestRefused([fault], status=400, has_data_member=False)
    if not name:
        if len(operations) == 1:
            return operations[0]
        fault = request_error("Missing operation name.", "BadRequestException")
        raise RequestRefused([fault], status=400, has_data_member=False)
    for operation in operations:
        if operation.name and operation.name.value == name:
            return operation
    fault = request_error(f"Unknown operation named '{name}'.", "BadRequestException")
    raise RequestRefused([fault], status=400, has_data_member=False)


@dataclass(slots=True)
class _Trail:
    """What one validation finds; `holder` is the argument or variable definition the visit is in."""

    holder: ArgumentNode | VariableDefinitionNode | None = None
    findings: list[Finding] = field(default_factory=list)


def _tracking(trail: _Trail) -> type[ASTValidationRule]:
    """A rule that finds nothing; it goes first and keeps the trail up to date."""

    class Tracking(ValidationRule):
        def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
            trail.holder = node

        def leave_argument(self, *_: Any) -> None:
            trail.holder = None

        def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
            trail.holder = node

        def leave_variable_definition(self, *_: Any) -> None:
            trail.holder = None

    return Tracking


def _reporting(rule: type[ASTValidationRule], trail: _Trail) -> type[ASTValidationRule]:
    """A subclass of a rule that also notes what it reports, with the types graphql-core knows at that moment."""

    class Reporting(rule):  # type: ignore[valid-type,misc]  # the base class is a value
        def report_error(self, error: GraphQLError) -> None:
            # Rules on the whole document have no type information.
            output_type = getattr(self.context, "get_type", lambda: None)()
            argument = getattr(self.context, "get_argument", lambda: None)()
            holder_type = argument.type if argument else None
            trail.findings.append(Finding(rule.__name__, error, output_type, trail.holder, holder_type))
            super().report_error(error)

    return Reporting


def _field_paths(document: DocumentNode) -> dict[int, tuple[str, ...]]:
    """The names of the fields around every node, by its id; a fragment's name comes first within it."""
    paths: dict[int, tuple[str, ...]] = {}

    def walk(node: Node, path: tuple[str, ...]) -> None:
        if isinstance(node, FieldNode):
            path = (*path, node.name.value)
        paths[id(node)] = path
        for child in _children(node):
            walk(child, path)

    for definition in document.definitions:
        walk(definition, (definition.name.value,) if isinstance(definition, FragmentDefinitionNode) else ())
    return paths


def _children(node: Node) -> Iterator[Node]:
    for key in node.keys:
        value = getattr(node, key, None)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, Node))


def _worded(finding: Finding, paths: dict[int, tuple[str, ...]]) -> dict[str, Any]:
    kind, text = describe(finding)
    located = finding.node
    if finding.rule == "ValuesOfCorrectTypeRule" and finding.holder is not None:
        located = finding.holder
    elif finding.rule == "VariablesInAllowedPositionRule" and finding.error.nodes:
        # The use of the variable; graphql-core names its definition first.
        located = finding.error.nodes[-1]
    path = () if finding.rule in _WITHOUT_PATH else paths.get(id(located), ())
    suffix = f" @ '{'/'.join(path)}'" if path else ""
    start = located.loc.start_token if located is not None and located.loc else None
    locations = [{"line": start.line, "column": start.column, "sourceName": None}] if start else None
    return document_error(f"Validation error of type {kind}: {text}{suffix}", locations)
