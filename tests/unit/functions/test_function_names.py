"""Function references in every form the API takes."""

import pytest

from headwater.errors import ServiceError
from headwater.functions.admin.request import function_name_of
from headwater.functions.config import FunctionName, parse_function_name

ARN = "arn:aws:lambda:us-east-1:123456789012:function:my-fn"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("my-fn", FunctionName("my-fn")),
        ("my-fn:live", FunctionName("my-fn", "live")),
        ("my-fn:$LATEST", FunctionName("my-fn", "$LATEST")),
        ("my-fn:7", FunctionName("my-fn", "7")),
        ("123456789012:function:my-fn", FunctionName("my-fn", None, "123456789012")),
        ("123456789012:my-fn:live", FunctionName("my-fn", "live", "123456789012")),
        ("us-east-1:123456789012:function:my-fn", FunctionName("my-fn", None, "123456789012", "us-east-1")),
        ("function:my-fn", FunctionName("my-fn")),
        (ARN.removesuffix(":my-fn"), FunctionName("function", None, "123456789012", "us-east-1")),
        (ARN, FunctionName("my-fn", None, "123456789012", "us-east-1")),
        (f"{ARN}:live", FunctionName("my-fn", "live", "123456789012", "us-east-1")),
    ],
)
def test_reference_is_taken_apart(reference: str, expected: FunctionName) -> None:
    assert parse_function_name(reference) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "a b",
        "invalid:function:name",
        "arn:aws:sqs:us-east-1:123456789012:q",
        "arn:aws:lambda:nowhere:123456789012:function:f",
        "arn:aws:lambda::123456789012:function:f",
        "arn:aws:lambda:us-east-1::function:f",
        f"{ARN}:1:2",
        "f\n",
    ],
)
def test_other_text_is_refused(reference: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_function_name(reference)

    assert refusal.value.code == "ValidationException"


@pytest.mark.parametrize("given", [True, 1, 10**18, ["a"], {"a": 1}])
def test_a_new_function_is_named_by_text(given: object) -> None:
    with pytest.raises(ServiceError, match="FunctionName has the wrong type") as refused:
        function_name_of({"FunctionName": given}, region="us-east-1", account_id="123456789012")

    assert refused.value.code == "SerializationException"
