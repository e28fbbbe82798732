"""infra/template.yaml against the tree: handlers import, resolvers name fields, files are there."""

import importlib
from typing import Any

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema

from tests.template.schema_file import schema_text
from tests.template.template_file import ROOT, load_template, resources_of_type

TEMPLATE = load_template()
RESOLVERS = resources_of_type(TEMPLATE, "AWS::AppSync::Resolver")
FUNCTIONS = resources_of_type(TEMPLATE, "AWS::Serverless::Function")


def schema_fields(type_name: str) -> Any:
    schema = build_schema(schema_text())
    found = schema.get_type(type_name)
    assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType)
    return found.fields


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_functions_handler_imports_and_is_packaged_by_make(logical_id: str) -> None:
    module_name, _, name = FUNCTIONS[logical_id]["Handler"].rpartition(".")

    handler = getattr(importlib.import_module(module_name), name)

    assert callable(handler)
    assert TEMPLATE["Resources"][logical_id]["Metadata"] == {"BuildMethod": "makefile"}
    assert TEMPLATE["Globals"]["Function"]["CodeUri"] == ".."
    assert FUNCTIONS[logical_id]["Timeout"] > 0
    assert FUNCTIONS[logical_id]["MemorySize"] > 0
    assert FUNCTIONS[logical_id]["Role"] == {"Fn::GetAtt": [f"{logical_id.removesuffix('Function')}Role", "Arn"]}


@pytest.mark.parametrize("logical_id", RESOLVERS)
def test_a_resolver_names_a_field_of_the_schema_and_its_own_file(logical_id: str) -> None:
    resolver = RESOLVERS[logical_id]
    type_name, field_name = resolver["TypeName"], resolver["FieldName"]

    assert field_name in schema_fields(type_name)
    if "CodeS3Location" in resolver:
        assert resolver["CodeS3Location"] == f"../resolvers/{type_name}.{field_name}.js"
        assert (ROOT / "resolvers" / f"{type_name}.{field_name}.js").is_file()
        assert resolver["Runtime"] == {"Name": "APPSYNC_JS", "RuntimeVersion": "1.0.0"}


@pytest.mark.parametrize("type_name", ["Query", "Mutation", "Subscription"])
def test_every_root_field_has_one_resolver(type_name: str) -> None:
    resolved = [resolver["FieldName"] for resolver in RESOLVERS.values() if resolver["TypeName"] == type_name]

    assert sorted(resolved) == sorted(schema_fields(type_name))


def test_every_resolver_file_is_in_the_template() -> None:
    steps = resources_of_type(TEMPLATE, "AWS::AppSync::FunctionConfiguration")
    named = {each.get("CodeS3Location") for each in (*RESOLVERS.values(), *steps.values())}

    files = {f"../resolvers/{path.name}" for path in (ROOT / "resolvers").glob("*.js")}

    assert files <= named


def test_the_fan_out_may_call_the_publish_mutations_and_nothing_else() -> None:
    statements = TEMPLATE["Resources"]["FanoutRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    (graphql,) = [statement for statement in statements if statement["Action"] == "appsync:GraphQL"]

    publishes = [name for name in schema_fields("Mutation") if name.startswith("publish")]

    assert [resource["Fn::Sub"] for resource in graphql["Resource"]] == [
        f"${{Api.Arn}}/types/Mutation/fields/{name}" for name in publishes
    ]


def test_people_cannot_write_their_tenant() -> None:
    pool = TEMPLATE["Resources"]["UserPool"]["Properties"]
    client = TEMPLATE["Resources"]["UserPoolClient"]["Properties"]

    (tenant,) = [attribute for attribute in pool["Schema"] if attribute["Name"] == "tenantId"]

    assert tenant["Mutable"] is False
    assert "custom:tenantId" not in client["WriteAttributes"]
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
