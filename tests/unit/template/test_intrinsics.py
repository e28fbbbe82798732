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
        ({"Fn::ImportValue": "other"}, "no other stack"),
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
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "'c' is not one of ['a', 'b']"),
        ({"Type": "Number", "MinValue": 2}, "1", "outside 2"),
        ({"Type": "Number"}, "one", "not a number"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "A", "does not match"),
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, "x", "SSM"),
    ],
)
def test_parameters_are_held_to_their_declaration(declared: dict[str, Any], given: str | None, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        stack({}, {"N": given} if given is not None else {}, Parameters={"N": declared})

    assert says in str(refused.value)


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(TemplateError, match=r"no parameter Stge; it has \['Stage'\]"):
        stack({}, {"Stge": "x"}, Parameters={"Stage": {"Type": "String", "Default": "d"}})


def test_ids_stay_the_same_over_restarts() -> None:
    body = {"Resources": {"Api": {"Type": "AWS::AppSync::GraphQLApi", "Properties": {"Name": "a"}}}}

    first, second = (Stack(TemplateDocument(body), StackEnvironment()).physical_id("Api") for _ in range(2))

    assert first == second
    assert len(first) == 26
