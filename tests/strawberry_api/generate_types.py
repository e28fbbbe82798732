"""Write tests/strawberry_api/types.py from schema.graphql: `python -m tests.strawberry_api.generate_types`."""

import keyword
from pathlib import Path

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    Undefined,
    build_schema,
    get_named_type,
)

from tests.template.schema_file import schema_text

TARGET = Path(__file__).with_name("types.py")
ROOTS = ("Query", "Mutation", "Subscription")
SCALARS = {"ID": "strawberry.ID", "String": "str", "Int": "int", "Float": "float", "Boolean": "bool"}
HEAD = '''"""Strawberry types of schema.graphql, written by tests/strawberry_api/generate_types.py: do not edit."""

from collections.abc import AsyncGenerator
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from tests.strawberry_api.scalars import AWSJSON, AWSDateTime
'''


def python_type(kind: GraphQLType) -> str:
    if isinstance(kind, GraphQLNonNull):
        return python_type(kind.of_type).removesuffix(" | None")
    if isinstance(kind, GraphQLList):
        return f"list[{python_type(kind.of_type)}] | None"
    name = get_named_type(kind).name
    return f"{SCALARS.get(name, name)} | None"


def enum_text(kind: GraphQLEnumType) -> str:
    members = "".join(f'    {name} = "{name}"\n' for name in kind.values)
    return f"@strawberry.enum\nclass {kind.name}(Enum):\n{members}"


def input_text(kind: GraphQLInputObjectType) -> str:
    # Fields that may be left out come last, as dataclasses want it.
    fields = sorted(kind.fields.items(), key=lambda entry: not isinstance(entry[1].type, GraphQLNonNull))
    lines = ""
    for name, field in fields:
        default = "" if isinstance(field.type, GraphQLNonNull) else " = strawberry.UNSET"
        lines += f"    {name}: {python_type(field.type)}{default}\n"
    return f"@strawberry.input\nclass {kind.name}:\n{lines}"


def resolved_field(parent: str, name: str, field: GraphQLField) -> str:
    arguments = "".join(
        f", {argument_text(argument, spec)}"
        for argument, spec in sorted(
            field.args.items(), key=lambda entry: not isinstance(entry[1].type, GraphQLNonNull)
        )
    )
    result = python_type(field.type)
    given = ", ".join(f'"{name}": {name}_' if keyword.iskeyword(name) else f'"{name}": {name}' for name in field.args)
    if parent == "Subscription":
        return (
            f"    @strawberry.subscription\n    async def {name}(self, info: Info[Any, Any]{arguments})"
            f" -> AsyncGenerator[{result}, None]:\n"
            f"        async for event in info.context.subscribe(info, {{{given}}}):\n            yield event\n"
        )
    return (
        f"    @strawberry.field\n    def {name}(self, info: Info[Any, Any]{arguments}) -> {result}:\n"
        f"        found: {result} = info.context.resolve(info, self, {{{given}}})\n        return found\n"
    )


def argument_text(name: str, spec: GraphQLArgument) -> str:
    default = "" if isinstance(spec.type, GraphQLNonNull) else " = strawberry.UNSET"
    assert spec.default_value is Undefined
    if keyword.iskeyword(name):
        return f'{name}_: Annotated[{python_type(spec.type)}, strawberry.argument(name="{name}")]{default}'
    return f"{name}: {python_type(spec.type)}{default}"


def object_text(kind: GraphQLObjectType, resolved: frozenset[tuple[str, str]]) -> str:
    body = ""
    for name, field in kind.fields.items():
        if (kind.name, name) in resolved or kind.name in ROOTS:
            body += "\n" + resolved_field(kind.name, name, field)
        else:
            body += f"    {name}: {python_type(field.type)}\n"
    return f"@strawberry.type\nclass {kind.name}:\n{body}"


def ordered_objects(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    """Objects after those they hold, so that annotations need no quotes."""
    done: list[GraphQLObjectType] = []

    def visit(kind: GraphQLObjectType) -> None:
        if kind in done:
            return
        for field in kind.fields.values():
            inner = get_named_type(field.type)
            if isinstance(inner, GraphQLObjectType):
                visit(inner)
        done.append(kind)

    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            visit(kind)
    return done


def types_text() -> str:
    """The whole module, ready to be compared or written."""
    schema = build_schema(schema_text())
    kinds = [kind for name, kind in schema.type_map.items() if not name.startswith("__")]
    resolved = frozenset({("Device", "state"), ("Device", "presence"), ("DeviceChange", "device")})
    parts = [HEAD]
    parts += [enum_text(kind) for kind in kinds if isinstance(kind, GraphQLEnumType)]
    inputs = [kind for kind in kinds if isinstance(kind, GraphQLInputObjectType)]
    # Leaves first: an input is written after those it holds.
    inputs.sort(
        key=lambda kind: any(isinstance(get_named_type(f.type), GraphQLInputObjectType) for f in kind.fields.values())
    )
    inputs.sort(key=lambda kind: kind.name == "DeviceStateInput")
    parts += [input_text(kind) for kind in inputs]
    parts += [object_text(kind, resolved) for kind in ordered_objects(schema)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(types_text(), encoding="utf-8")
