"""Intrinsic functions, parameters and conditions."""

from typing import Any

import pytest

from headwater.errors import TemplateError
from headwater.template import Stack, StackEnvironment, TemplateDocument


def stack(properties: dict[str, Any], given: dict[str, str] | None = None, **sections: Any) -> Stack:
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}},
        "Subject": {"Type": "AWS::SQS::Queue", "Properties": properties},
    }
    return Stack(TemplateDocument({"Resources": resources, **sections}), StackEnvironment(), given or {})


def resolved(value: Any, **sections: Any) -> Any:
    return stack({"P": value}, **sections).resource("Subject").properties.get("P")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Queue"}, "http://127.0.0.1:8080/123456789012/jobs"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:aws:sqs:us-east-1:123456789012:jobs"),
        ({"Fn::GetAtt": "Queue.QueueName"}, "jobs"),
        ({"Fn::Sub": "${AWS::StackName}/${Queue.QueueName}/${!literal}"}, "headwater/jobs/${literal}"),
        ({"Fn::Sub": ["${a}-${b}", {"a": 1, "b": {"Ref": "AWS::AccountId"}}]}, "1-123456789012"),
        ({"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]}, "a-us-east-1"),
        ({"Fn::Select": [1, {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::FindInMap": ["M", "k", "v"]}, 7),
        ({"Fn::FindInMap": ["M", "x", "v", {"DefaultValue": 0}]}, 0),
        ({"Fn::Base64": "a"}, "YQ=="),
        ({"Fn::ToJsonString": {"a": [1]}}, '{"a":[1]}'),
        ({"Fn::Length": [1, 2]}, 2),
        ([1, {"Ref": "AWS::NoValue"}], [1]),
        ({"Ref": "AWS::NoValue"}, None),
    ],
)
def test_functions_resolve(value: Any, expected: Any) -> None:
    assert resolved(value, Mappings={"M": {"k": {"v": 7}}}) == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Ref": "Missing"}, "names neither a parameter nor a resource"),
        ({"Fn::GetAtt": ["Queue", "Color"]}, "has no attribute 'Color'"),
        ({"Fn::GetAtt": ["Missing", "Arn"]}, "no resource of the template"),
        ({"Fn::Select": [5, ["a"]]}, "outside"),
        ({"Fn::FindInMap": ["M", "k", "v"]}, "finds nothing"),
        ({"Fn::ImportValue": "other"}, "outside this template; give its value with --param 'other=…'"),
        ({"Fn::Unheard": 1}, "does not work here"),
        ({"Fn::If": ["Missing", 1, 2]}, "is not defined"),
        ({"Fn::Join": "x"}, "takes a list of 2 values"),
    ],
)
def test_faults_name_the_resource_and_what_was_expected(value: Any, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        resolved(value)

    assert str(refused.value).startswith("Subject")
    assert says in str(refused.value)


def test_conditions_choose_resources_and_values() -> None:
    sections: dict[str, Any] = {
        "Parameters": {"Stage": {"Type": "String", "Default": "dev"}},
        "Conditions": {
            "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "IsDev": {"Fn::Not": [{"Condition": "IsProd"}]},
        },
    }
    chosen = {"P": {"Fn::If": ["IsProd", "big", "small"]}}

    assert stack(chosen, **sections).resource("Subject").properties == {"P": "small"}
    assert stack(chosen, {"Stage": "prod"}, **sections).resource("Subject").properties == {"P": "big"}


@pytest.mark.parametrize(
    ("declared", "given", "says"),
    [
        ({"Type": "String"}, None, "no value: give one with --param N="),
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "'c' is not one of a, b"),
        ({"Type": "Number", "MinValue": 2}, "1", "outside 2"),
        ({"Type": "Number"}, "one", "not a number"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "A", "does not match"),
        ({"Type": "String", "AllowedPattern": "a|b"}, "bc", "does not match"),
        ({"Type": "String", "AllowedPattern": "(a+)+$"}, "a" * 60 + "b", "does not match"),
        ({"Type": "String", "AllowedPattern": r"(a+)+\1$"}, "a" * 60 + "b", "AllowedPattern"),
        ({"Type": "String", "AllowedPattern": "(a"}, "a", "the pattern ends too early"),
        ({"Type": "AWS::SSM::Parameter::Value<String>", "AllowedValues": ["a"]}, "x", "'x' is not one of"),
    ],
)
def test_parameters_are_held_to_their_declaration(declared: dict[str, Any], given: str | None, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        stack({}, {"N": given} if given is not None else {}, Parameters={"N": declared})

    assert says in str(refused.value)


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(TemplateError, match=r"no parameter Stge; it has Stage$"):
        stack({}, {"Stge": "x"}, Parameters={"Stage": {"Type": "String", "Default": "d"}})


def test_every_parameter_without_a_value_is_named_at_once() -> None:
    declared = {"A": {"Type": "String"}, "B": {"Type": "Number"}, "C": {"Type": "String", "Default": "c"}}

    with pytest.raises(TemplateError, match=r"2 have no value: give them with --param A=… --param B=…"):
        stack({}, {}, Parameters=declared)


STORED = {"Vpc": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/network/subnets"}}


def test_a_stored_parameter_is_needed_only_where_it_is_used() -> None:
    unused, used = stack({"a": 1}, Parameters=STORED), stack({"a": {"Ref": "Vpc"}}, Parameters=STORED)

    assert unused.resource("Subject").properties == {"a": 1}
    with pytest.raises(TemplateError, match=r"^Subject: .* what /network/subnets holds with --param Vpc=…"):
        used.resource("Subject")


def test_a_given_stored_parameter_is_what_the_store_holds() -> None:
    subject = stack({"a": {"Ref": "Vpc"}}, {"Vpc": "x, y"}, Parameters=STORED)

    assert subject.resource("Subject").properties == {"a": ["x", "y"]}


def test_exports_and_dynamic_references_are_given_by_name() -> None:
    properties = {
        "a": {"Fn::ImportValue": {"Fn::Sub": "${AWS::StackName}-Vpc"}},
        "b": "{{resolve:ssm:/db/url:2}}/x",
        "c": {"Fn::Sub": "{{resolve:secretsmanager:${AWS::StackName}:SecretString:password}}"},
    }
    given = {"headwater-Vpc": "vpc-1", "ssm:/db/url:2": "db", "secretsmanager:headwater:SecretString:password": "pw"}

    subject = stack(properties, given)

    assert subject.resource("Subject").properties == {"a": "vpc-1", "b": "db/x", "c": "pw"}
    subject.refuse_unused_names()


def test_a_dynamic_reference_without_a_value_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"^Subject: {{resolve:ssm:/a}}: .* --param 'ssm:/a=…'"):
        stack({"a": "{{resolve:ssm:/a}}"}).resource("Subject")


def test_a_given_name_that_nothing_asked_for_is_refused_after_all_is_resolved() -> None:
    subject = stack({"a": {"Fn::ImportValue": "Vpc"}}, {"Vpc": "1", "Vcp": "2"})
    subject.resource("Subject")

    with pytest.raises(TemplateError, match="no parameter Vcp"):
        subject.refuse_unused_names()


def test_an_attribute_that_needs_a_missing_property_names_it() -> None:
    resources = {
        "Subject": {"Type": "Test::Type", "Properties": {"a": {"Ref": "Field"}}},
        "Field": {"Type": "AWS::AppSync::Resolver", "Properties": {"ApiId": "x"}},
    }
    with pytest.raises(TemplateError, match=r"^Field\.TypeName: missing"):
        Stack(TemplateDocument({"Resources": resources}), StackEnvironment()).resource("Subject")


def test_ids_stay_the_same_over_restarts() -> None:
    body = {"Resources": {"Api": {"Type": "AWS::AppSync::GraphQLApi", "Properties": {"Name": "a"}}}}

    first, second = (Stack(TemplateDocument(body), StackEnvironment()).physical_id("Api") for _ in range(2))

    assert first == second
    assert len(first) == 26
