"""The Strawberry types are schema.graphql's."""

import ast

from graphql import build_schema, print_schema
from graphql.utilities import find_breaking_changes, find_dangerous_changes

from tests.strawberry_api.api import strawberry_schema
from tests.strawberry_api.generate_types import TARGET, types_text
from tests.template.schema_file import schema_text


def test_the_generated_types_are_up_to_date() -> None:
    written = TARGET.read_text(encoding="utf-8")

    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(types_text())), (
        "run: python -m tests.strawberry_api.generate_types"
    )


def test_strawberry_serves_the_same_schema() -> None:
    ours = build_schema(schema_text())
    strawberrys = build_schema(str(strawberry_schema()))

    differences = [
        change.description
        for old, new in ((ours, strawberrys), (strawberrys, ours))
        for change in find_breaking_changes(old, new) + find_dangerous_changes(old, new)
        if "directive" not in change.description.lower()
    ]

    assert differences == []
    assert "type DeviceState" in print_schema(strawberrys)
