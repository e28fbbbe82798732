"""The directives of a schema: AppSync's own, Amplify's, which only its transformer knows, and unknown ones."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from graphql import DefinitionNode, DirectiveDefinitionNode, DirectiveNode, Node, OperationType, parse

from headwater.errors import TemplateError

# The service accepts the authorization directives on every kind of type, though its guide names only OBJECT and
# FIELD_DEFINITION; on the kinds below they are enforced, elsewhere they have no effect.
_ENFORCED: Final = "OBJECT | FIELD_DEFINITION | INTERFACE | UNION"
_MERGED: Final = f"{_ENFORCED} | SCALAR | ENUM | INPUT_OBJECT | INPUT_FIELD_DEFINITION"
DIRECTIVES: Final = f"""
directive @aws_subscribe(mutations: [String]) on FIELD_DEFINITION
directive @aws_publish(subscriptions: [String]) on FIELD_DEFINITION
directive @aws_api_key on {_ENFORCED}
directive @aws_iam on {_ENFORCED}
directive @aws_oidc on {_ENFORCED}
directive @aws_lambda on {_ENFORCED}
directive @aws_cognito_user_pools(cognito_groups: [String]) on {_ENFORCED}
directive @aws_auth(cognito_groups: [String]) on {_ENFORCED}
directive @canonical on {_MERGED}
directive @hidden on {_MERGED}
directive @renamed(to: String!) on {_MERGED}
"""
_LOCATIONS: Final = {
    definition.name.value: frozenset(location.value for location in definition.locations)
    for definition in parse(DIRECTIVES, no_location=True).definitions
    if isinstance(definition, DirectiveDefinitionNode)
}
# The specification's own; graphql-core checks where they stand.
_SPECIFIED: Final = frozenset({"deprecated", "specifiedBy", "oneOf"})
# Source: Amplify documentation, "GraphQL Transformer", both versions of the transformer and Gen 2.
AMPLIFY: Final = frozenset(
    "model key connection auth function http versioned searchable predictions primaryKey index hasOne hasMany "
    "belongsTo manyToMany default mapsTo refersTo sql conversation generation ttl validate".split()
)
_KINDS: Final = {
    "object_type_definition": "OBJECT",
    "object_type_extension": "OBJECT",
    "interface_type_definition": "INTERFACE",
    "interface_type_extension": "INTERFACE",
    "union_type_definition": "UNION",
    "union_type_extension": "UNION",
    "scalar_type_definition": "SCALAR",
    "enum_type_definition": "ENUM",
    "enum_type_extension": "ENUM",
    "enum_value_definition": "ENUM_VALUE",
    "input_object_type_definition": "INPUT_OBJECT",
    "input_object_type_extension": "INPUT_OBJECT",
    "field_definition": "FIELD_DEFINITION",
    "input_value_definition": "INPUT_FIELD_DEFINITION",
    "schema_definition": "SCHEMA",
    "schema_extension": "SCHEMA",
}
_MOST_LINES: Final = 5


def is_own_definition(definition: DefinitionNode) -> bool:
    """Whether it defines one of AppSync's directives, which editors like to see in the file."""
    return isinstance(definition, DirectiveDefinitionNode) and definition.name.value in _LOCATIONS


def directive_notes(definitions: Sequence[DefinitionNode]) -> tuple[str, ...]:
    """What the schema's author should know about directives that have no effect, one sentence each.

    The service takes directives it does not know and leaves them without effect: AWS's own serverless-patterns has
    one misspelled (appsync-dynamodb-singletable-cdk, `@aws_apikey`).
    Raises: TemplateError for a directive definition ("Directive definitions are not supported", says the service,
    awslabs/graphql-schema-utilities#25), and for Amplify's directives, whose schema is not what Amplify deploys.
    """
    for definition in definitions:
        if isinstance(definition, DirectiveDefinitionNode):
            raise TemplateError(
                f"schema line {_line(definition)}: directive @{definition.name.value} is defined here; AppSync does "
                "not support directive definitions, remove it"
            )
    idle: dict[str, list[int]] = defaultdict(list)
    subscriptions = _subscription_root(definitions)
    for owner, kind, directive in _directives(definitions):
        name = directive.name.value
        if name in AMPLIFY and name not in _SPECIFIED:
            raise TemplateError(_amplify_source(directive))
        if name not in _LOCATIONS and name not in _SPECIFIED:
            idle[f"@{name} is none of AppSync's directives"].append(_line(directive))
        elif name in _LOCATIONS and kind not in _LOCATIONS[name]:
            idle[f"@{name} on {kind.lower().replace('_', ' ')}s"].append(_line(directive))
        elif name == "aws_subscribe" and owner != subscriptions:
            idle[f"@{name} on fields of {owner}, not of {subscriptions}"].append(_line(directive))
    return tuple(f"schema {_lines(lines)}: {what}: it has no effect, on AWS neither" for what, lines in idle.items())


def _amplify_source(directive: DirectiveNode) -> str:
    return (
        f"schema line {_line(directive)}: Unknown directive '@{directive.name.value}': it is Amplify's, so this is the "
        "source from which Amplify builds the schema that it deploys. Give the built one: "
        "amplify/backend/api/<name>/build/schema.graphql after `amplify push`, or for any deployed API `aws appsync "
        "get-introspection-schema --format SDL --include-directives --api-id <id> schema.graphql`"
    )


def _subscription_root(definitions: Sequence[DefinitionNode]) -> str:
    for definition in definitions:
        for operation in getattr(definition, "operation_types", None) or ():
            if operation.operation is OperationType.SUBSCRIPTION:
                return str(operation.type.name.value)
    return "Subscription"


def _directives(definitions: Sequence[DefinitionNode]) -> Iterator[tuple[str, str, DirectiveNode]]:
    """Every use of a directive with the definition it is in and the kind of what carries it."""
    for definition in definitions:
        name = getattr(definition, "name", None)
        for node in _carriers(definition):
            for directive in getattr(node, "directives", None) or ():
                yield name.value if name else "schema", _KINDS.get(node.kind, node.kind), directive


def _carriers(node: Any) -> Iterator[Node]:
    yield node
    for children in ("fields", "values", "arguments"):
        for child in getattr(node, children, None) or ():
            yield from _carriers(child)


def _line(node: Node) -> int:
    return node.loc.start_token.line if node.loc else 0


def _lines(lines: list[int]) -> str:
    shown = sorted(dict.fromkeys(lines))
    if len(shown) == 1:
        return f"line {shown[0]}"
    more = f" and {len(shown) - _MOST_LINES} more" if len(shown) > _MOST_LINES else ""
    return f"lines {', '.join(map(str, shown[:_MOST_LINES]))}{more}"
