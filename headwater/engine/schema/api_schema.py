"""Load an AppSync schema: AWS scalars and directives are known, `@aws_subscribe` links are checked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from graphql import (
    DefinitionNode,
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InterfaceTypeDefinitionNode,
    ListValueNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    build_ast_schema,
    parse,
    validate_schema,
)
from graphql.validation import KnownDirectivesRule
from graphql.validation.specified_rules import specified_sdl_rules
from graphql.validation.validate import validate_sdl

from headwater.engine.scalars import AWS_SCALARS, SCALARS
from headwater.engine.schema.directives import DIRECTIVES, directive_notes, is_own_definition
from headwater.engine.schema.parsing import parse_sdl
from headwater.errors import TemplateError

# Source: AWS General Reference, "AWS AppSync endpoints and quotas".
MAX_SCHEMA_BYTES: Final = 1_048_576
# Where directives stand is judged by `directives`, as the service does.
_SDL_RULES: Final = tuple(rule for rule in specified_sdl_rules if rule is not KnownDirectivesRule)
_INTROSPECTION_RESULT: Final = re.compile(r'\s*\{[^{}]*\{?\s*"__schema"')


@dataclass(frozen=True, slots=True)
class ApiSchema:
    """A loaded schema.

    `subscribed` maps each Subscription field with `@aws_subscribe` to its mutation fields; `publishing` is the
    inverse. `directives` holds the directives of a type under `(type, "")` and of a field under `(type, field)`.
    `notes` are sentences about what in it has no effect.
    """

    graphql: GraphQLSchema
    subscribed: Mapping[str, tuple[str, ...]]
    publishing: Mapping[str, tuple[str, ...]]
    directives: Mapping[tuple[str, str], tuple[DirectiveNode, ...]]
    notes: tuple[str, ...] = ()

    def has_field(self, type_name: str, field_name: str) -> bool:
        """Whether an object type has the field, for checking what resolvers are attached to."""
        named = self.graphql.type_map.get(type_name)
        return isinstance(named, GraphQLObjectType) and field_name in named.fields

    def return_type(self, type_name: str, field_name: str) -> str:
        """The type of an object type's field, as the schema writes it; empty if there is no such field."""
        named = self.graphql.type_map.get(type_name)
        if not isinstance(named, GraphQLObjectType) or field_name not in named.fields:
            return ""
        return str(named.fields[field_name].type)


def load_schema(sdl: str, file: str = "") -> ApiSchema:
    """Build the schema of an API from its SDL text, which `file` holds if it is a file's.

    Definitions of AWS's own scalars and directives, which editors like to see in the file, are dropped.
    Raises: TemplateError, one line for each fault, naming its line (as `file:line` if there is a file) and cause.
    """
    try:
        schema = _load(sdl)
    except TemplateError as error:
        raise TemplateError(_in_file(error.message, file)) from error
    return replace(schema, notes=tuple(_in_file(note, file) for note in schema.notes))


def _in_file(text: str, file: str) -> str:
    return re.sub(r"(?m)^schema(?: lines? (\d+))?", lambda found: _place(file, found.group(1)), text) if file else text


def _place(file: str, line: str | None) -> str:
    return f"{file}:{line}" if line else file


def _load(sdl: str) -> ApiSchema:
    size_bytes = len(sdl.encode(errors="replace"))
    if size_bytes > MAX_SCHEMA_BYTES:
        raise TemplateError(f"schema: it has {size_bytes} bytes; AppSync takes {MAX_SCHEMA_BYTES}")
    document = _parse(sdl)
    own = tuple(definition for definition in document.definitions if not _is_predefined(definition))
    notes = directive_notes(own)
    _refuse_custom_scalars(own)
    _refuse_interface_inheritance(own)
    _refuse_reserved_names(own)
    used = _used_names(own)
    predefined = DIRECTIVES + "\n".join(f"scalar {name}" for name in AWS_SCALARS if name in used)
    whole = DocumentNode(definitions=(*own, *parse(predefined, no_location=True).definitions))
    _refuse(validate_sdl(whole, rules=_SDL_RULES))
    try:
        schema = build_ast_schema(whole, assume_valid_sdl=True)
    except (TypeError, GraphQLError) as error:
        raise TemplateError(f"schema: {error}") from error
    empty = _empty_types(own)
    errors = validate_schema(schema)
    notes += tuple(empty[error.message] for error in errors if error.message in empty)
    _refuse([error for error in errors if error.message not in empty])
    if errors:
        # What is passed over here would be found again by each query's validation.
        schema = build_ast_schema(whole, assume_valid=True)
    _install_scalars(schema)
    subscribed = _subscription_links(schema)
    publishing: dict[str, list[str]] = {}
    for subscription, mutations in subscribed.items():
        for mutation in mutations:
            publishing.setdefault(mutation, []).append(subscription)
    inverse = {mutation: tuple(fields) for mutation, fields in publishing.items()}
    return ApiSchema(schema, subscribed, inverse, _directives(schema), notes)


def _parse(sdl: str) -> DocumentNode:
    if _INTROSPECTION_RESULT.match(sdl):
        raise TemplateError(
            "schema: this is the result of an introspection query; give the schema as SDL, as `aws appsync "
            "get-introspection-schema --format SDL --include-directives` writes it"
        )
    try:
        return parse_sdl(sdl)
    except GraphQLError as error:
        raise _fault(error) from error


def _fault(error: GraphQLError) -> TemplateError:
    lines = sorted({location.line for location in error.locations or ()})
    message = error.message.removeprefix("Syntax Error: ")
    return TemplateError(f"schema line {lines[0]}: {message}" if lines else f"schema: {message}")


def _refuse(errors: list[GraphQLError]) -> None:
    if errors:
        raise TemplateError("\n".join(_fault(error).message for error in errors))


def _is_predefined(definition: DefinitionNode) -> bool:
    if isinstance(definition, ScalarTypeDefinitionNode):
        return definition.name.value in AWS_SCALARS
    return is_own_definition(definition)


def _empty_types(definitions: tuple[DefinitionNode, ...]) -> dict[str, str]:
    """A note for each object type without fields, by the complaint that graphql-core has about it."""
    return {
        f"Type {definition.name.value} must define one or more fields.": (
            f"schema line {definition.loc.start_token.line if definition.loc else 0}: type {definition.name.value} has "
            "no fields; AppSync takes it, code generators may not"
        )
        for definition in definitions
        if isinstance(definition, ObjectTypeDefinitionNode) and not definition.fields
    }


def _refuse_custom_scalars(definitions: tuple[DefinitionNode, ...]) -> None:
    for definition in definitions:
        if isinstance(definition, ScalarTypeDefinitionNode):
            line = definition.loc.start_token.line if definition.loc else 0
            raise TemplateError(
                f"schema line {line}: scalar {definition.name.value} is not one of AppSync's scalars, and it takes "
                f"no others; use one of {', '.join(SCALARS)}"
            )


def _refuse_interface_inheritance(definitions: tuple[DefinitionNode, ...]) -> None:
    """The service's parser takes no `interface A implements B` (aws-appsync-community#387)."""
    for definition in definitions:
        if isinstance(definition, InterfaceTypeDefinitionNode) and definition.interfaces:
            line = definition.loc.start_token.line if definition.loc else 0
            raise TemplateError(
                f"schema line {line}: interface {definition.name.value} implements "
                f"{definition.interfaces[0].name.value}; AppSync does not take interfaces that implement others, let "
                "the object types name both"
            )


def _refuse_reserved_names(definitions: tuple[DefinitionNode, ...]) -> None:
    """Source: AppSync Developer Guide, "Scalar types in GraphQL"."""
    for definition in definitions:
        if isinstance(definition, ObjectTypeDefinitionNode) and definition.name.value.startswith("AWS"):
            line = definition.loc.start_token.line if definition.loc else 0
            raise TemplateError(
                f"schema line {line}: type {definition.name.value}: names of object types may not begin with AWS"
            )


def _used_names(definitions: tuple[DefinitionNode, ...]) -> set[str]:
    """Every word of the definitions' text: a cheap superset of the type names they refer to."""
    texts = (one.loc.source.body[one.loc.start : one.loc.end] for one in definitions if one.loc)
    return {word for text in texts for word in re.findall(r"\w+", text)}


def _install_scalars(schema: GraphQLSchema) -> None:
    """Give the AWS scalars their rules; the five built-in types are shared by all schemas and stay as they are."""
    for name in AWS_SCALARS:
        declared = schema.type_map.get(name)
        if isinstance(declared, GraphQLScalarType):
            scalar = SCALARS[name]
            declared.coerce_output_value = scalar.serialize
            declared.coerce_input_value = scalar.parse
            declared.coerce_input_literal = scalar.literal


def _nodes(holder: Any) -> Iterator[Any]:
    if holder.ast_node:
        yield holder.ast_node
    yield from getattr(holder, "extension_ast_nodes", ()) or ()


def _directives(schema: GraphQLSchema) -> dict[tuple[str, str], tuple[DirectiveNode, ...]]:
    found: dict[tuple[str, str], tuple[DirectiveNode, ...]] = {}
    for name, named in schema.type_map.items():
        own = tuple(directive for node in _nodes(named) for directive in node.directives or ())
        if own:
            found[name, ""] = own
        for field_name, field in getattr(named, "fields", {}).items():
            if field.ast_node and field.ast_node.directives:
                found[name, field_name] = tuple(field.ast_node.directives)
    return found


def _subscription_links(schema: GraphQLSchema) -> dict[str, tuple[str, ...]]:
    links: dict[str, tuple[str, ...]] = {}
    root = schema.subscription_type
    for name, field in root.fields.items() if root else ():
        for directive in (field.ast_node and field.ast_node.directives) or ():
            if directive.name.value == "aws_subscribe":
                links[name] = _checked_mutations(schema, name, directive)
    return links


def _checked_mutations(schema: GraphQLSchema, name: str, directive: DirectiveNode) -> tuple[str, ...]:
    line = directive.loc.start_token.line if directive.loc else 0
    mutations = string_list_argument(directive, "mutations")
    if not mutations:
        raise TemplateError(f"schema line {line}: @aws_subscribe on Subscription.{name} names no mutations")
    fields = schema.mutation_type.fields if schema.mutation_type else {}
    root = schema.subscription_type
    for mutation in mutations:
        if mutation not in fields:
            known = ", ".join(fields) or "none"
            raise TemplateError(
                f"schema line {line}: @aws_subscribe on Subscription.{name} names the mutation '{mutation}', which "
                f"does not exist (mutations: {known})"
            )
        subscribed = _nullable_text(root.fields[name].type) if root else ""
        published = _nullable_text(fields[mutation].type)
        if subscribed != published:
            raise TemplateError(
                f"schema line {line}: Subscription.{name} returns {subscribed}, but Mutation.{mutation}, named in "
                f"its @aws_subscribe, returns {published}; the types must be the same"
            )
    return tuple(dict.fromkeys(mutations))


def _nullable_text(output_type: Any) -> str:
    """The type without an outer `!`, in which the service lets both sides differ."""
    return str(output_type.of_type if isinstance(output_type, GraphQLNonNull) else output_type)


def string_list_argument(directive: DirectiveNode, name: str) -> tuple[str, ...]:
    """The strings of a directive's list argument; a lone string counts as a list of one."""
    for argument in directive.arguments or ():
        if argument.name.value == name:
            nodes = argument.value.values if isinstance(argument.value, ListValueNode) else (argument.value,)
            return tuple(node.value for node in nodes if isinstance(node, StringValueNode))
    return ()
