"""Provisioning templates: what is understood, what is refused, and what comes out for a device."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.deploy.provisioning.body import ProvisioningBody
from headwater.errors import ServiceError

CERTIFICATE = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
}


def body(*, configuration: Any = None, thing: Any = None, **sections: Any) -> str:
    resources: dict[str, Any] = {"certificate": CERTIFICATE}
    if thing is not None:
        resources["thing"] = {"Type": "AWS::IoT::Thing", "Properties": thing}
    document = {"Parameters": {"Serial": {"Type": "String"}}, "Resources": resources, **sections}
    if configuration is not None:
        document["DeviceConfiguration"] = configuration
    return json.dumps(document)


def configured(value: Any, **parameters: str) -> Any:
    parsed = ProvisioningBody.parse(
        body(configuration={"v": value}, Mappings={"Sites": {"north": {"Url": "n", "Ports": ["1", "2"]}}})
    )
    given_values = {"Serial": "s-1", "AWS::IoT::Certificate::Id": "a" * 64, **parameters}
    return parsed.evaluate(given_values).configuration["v"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (5, 5),
        (["a", {"Ref": "Serial"}], ["a", "s-1"]),
        ({"Ref": "Serial"}, "s-1"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Serial"}, "b"]]}, "a-s-1-b"),
        ({"Fn::Join": ["", []]}, ""),
        ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
        ({"Fn::Select": [0, {"Fn::Split": ["-", {"Ref": "Serial"}]}]}, "s"),
        ({"Fn::Split": ["|", "a|b"]}, ["a", "b"]),
        ({"Fn::FindInMap": ["Sites", "north", "Url"]}, "n"),
        ({"Fn::Select": [1, {"Fn::FindInMap": ["Sites", "north", "Ports"]}]}, "2"),
        ({"Fn::Sub": "id=${Serial}"}, "id=s-1"),
        ({"Fn::Sub": ["${x}/${Serial}/${!x}", {"x": {"Fn::Join": ["", ["1", "2"]]}}]}, "12/s-1/${x}"),
        ({"Ref": "Serial", "other": 1}, {"Ref": "Serial", "other": 1}),
    ],
)
def test_functions_give_what_the_guide_says(value: Any, expected: Any) -> None:
    assert configured(value) == expected


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"Ref": "AWS::Region"}, "Cannot resolve reference value: AWS::Region"),
        ({"Ref": 5}, "Cannot resolve reference value: 5"),
        ({"Fn::Join": "a"}, "takes a list of 2"),
        ({"Fn::Join": ["", "a"]}, "a delimiter and a list"),
        ({"Fn::Join": ["", [1]]}, "is text"),
        ({"Fn::Select": ["2", ["a", "b"]]}, "no item '2'"),
        ({"Fn::Select": ["-1", ["a"]]}, "no item '-1'"),
        ({"Fn::Select": [0, [None]]}, "no item 0"),
        ({"Fn::FindInMap": ["Sites", "south", "Url"]}, "no 'south'"),
        ({"Fn::FindInMap": ["Sites", ["north"], "Url"]}, "Fn::FindInMap"),
        ({"Fn::Split": ["", "a"]}, "delimiter"),
        ({"Fn::Sub": "${Serial"}, "unclosed"),
        ({"Fn::Sub": "${Nobody}"}, "Cannot resolve"),
        ({"Fn::Sub": 5}, "takes text"),
    ],
)
def test_what_cannot_be_evaluated_names_itself(value: Any, fault: str) -> None:
    with pytest.raises(ServiceError, match=fault) as refused:
        configured(value)

    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "is text"),
        ("", "is text"),
        ("{", "not JSON"),
        ("[]", "is an object"),
        ('{"Resources": {}, "x": "\ud800"}'.encode("ascii", "backslashreplace").decode(), "not JSON"),
        (json.dumps({"Resources": {}, "pad": "x" * 10_240}), "limit is 10240"),
        ("[" * 5000, "not JSON"),
        ("{}", "Resources is an object"),
        (body(Outputs={}), "templateBody.Outputs"),
        (body(Parameters={"a": {"Type": "Number"}}), "expected 'String'"),
        (body(Parameters={"a": {"Type": "String", "Default": 1}}), "Default is text"),
        (body(configuration={"v": {"Fn::If": []}}), "Fn::If is no function"),
        (body(configuration={"v": {"Fn::Join": ["", []], "b": 1}}), "Fn::Join is no function"),
        (body(thing={"ThingName": "t", "Colour": "red"}), "thing.Colour"),
        (body(thing={"ThingName": "t", "BillingGroup": "b"}), "billing groups"),
        (body(Resources={"c": CERTIFICATE, "d": CERTIFICATE}), "more than one"),
        (body(Resources={"c": {"Type": "AWS::S3::Bucket"}}), "expected one of"),
        (body(Resources={"c": {**CERTIFICATE, "OverrideSettings": {"Status": "MERGE"}}}), "expected DO_NOTHING"),
        (body(Resources={"c": {**CERTIFICATE, "OverrideSettings": {"Size": "FAIL"}}}), "only of Status"),
        (body(Resources={"c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": "x"}}}), "other auth"),
    ],
)
def test_what_is_not_understood_is_refused_when_it_is_stored(text: object, fault: str) -> None:
    with pytest.raises(ServiceError, match=fault) as refused:
        ProvisioningBody.parse(text)

    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize("configuration", [{"Ref": "Serial"}, {"Fn::Join": ["", []]}, {"Fn::Split": ["-", "a-b"]}])
def test_a_configuration_that_becomes_no_object_is_refused_before_anything_is_registered(configuration: Any) -> None:
    parsed = ProvisioningBody.parse(body(configuration=configuration))

    with pytest.raises(ServiceError, match="DeviceConfiguration is an object"):
        parsed.evaluate({"Serial": "s-1", "AWS::IoT::Certificate::Id": "a" * 64})


def test_functions_inside_of_functions_cannot_multiply_a_text_without_end() -> None:
    joined: Any = {"Ref": "Serial"}
    for _ in range(9):
        joined = {"Fn::Sub": ["${x}" * 100, {"x": joined}]}
    split = {"Fn::Join": ["x" * 1000, {"Fn::Split": ["s", {"Ref": "Serial"}]}]}

    for value in (joined, split):
        with pytest.raises(ServiceError, match="characters; the limit is 131072"):
            configured(value, Serial="s" * 1000)


def test_a_fleets_certificate_is_the_one_the_device_was_given() -> None:
    by_csr = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateSigningRequest": "x"}}

    for resources in ({}, {"c": by_csr}):
        with pytest.raises(ServiceError, match="AWS::IoT::Certificate"):
            ProvisioningBody.parse(body(Resources=resources)).check_for_fleets()
    ProvisioningBody.parse(body()).check_for_fleets()


@pytest.mark.parametrize(
    ("thing", "fault"),
    [
        ({}, "ThingName is text"),
        ({"ThingName": ["a"]}, "ThingName is text"),
        ({"ThingName": "t", "AttributePayload": {"a": 1}}, "AttributePayload.a"),
        ({"ThingName": "t", "ThingGroups": "g"}, "ThingGroups is a list"),
        ({"ThingName": "t", "ThingTypeName": 3}, "ThingTypeName is text"),
    ],
)
def test_a_thing_of_wrong_shape_is_refused_when_it_is_evaluated(thing: Any, fault: str) -> None:
    with pytest.raises(ServiceError, match=fault):
        ProvisioningBody.parse(body(thing=thing)).evaluate({"AWS::IoT::Certificate::Id": "a"})


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ({}, "either PolicyName or PolicyDocument"),
        ({"PolicyName": "p", "PolicyDocument": "{}"}, "either PolicyName or PolicyDocument"),
        ({"PolicyDocument": {"Version": "2012-10-17"}}, "Malformed"),
    ],
)
def test_a_policy_is_named_or_written_out(policy: Any, fault: str) -> None:
    resources = {"certificate": CERTIFICATE, "p": {"Type": "AWS::IoT::Policy", "Properties": policy}}

    with pytest.raises(ServiceError, match=fault):
        ProvisioningBody.parse(body(Resources=resources)).evaluate({"AWS::IoT::Certificate::Id": "a"})


def test_parameters_without_a_default_are_the_ones_a_device_gives() -> None:
    parameters = {
        "A": {"Type": "String"},
        "B": {"Type": "String", "Default": ""},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    }

    assert ProvisioningBody.parse(body(Parameters=parameters)).wanted_parameters == ["A"]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=5), st.sampled_from(["Serial", "Sites"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub", "Fn::FindInMap", "x"]),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JSON, JSON)
def test_whatever_a_template_holds_it_is_refused_or_evaluated(value: Any, thing: Any) -> None:
    with contextlib.suppress(ServiceError):
        parsed = ProvisioningBody.parse(
            body(configuration={"v": value}, thing={"ThingName": "t", "ThingGroups": thing})
        )
        parsed.evaluate({"Serial": "s", "AWS::IoT::Certificate::Id": "a"})
