"""Template text to document."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import TemplateError
from headwater.template import parse_template

RESOURCES = "Resources:\n  Table:\n    Type: AWS::DynamoDB::Table\n"


def test_short_tags_become_their_long_form() -> None:
    text = (
        RESOURCES
        + "    Properties:\n      A: !Ref B\n      C: !GetAtt D.E.F\n      G: !Sub 'x${H}'\n      I: !If [J, 1, 2]\n"
    )

    properties = parse_template(text).resources["Table"]["Properties"]

    assert properties == {
        "A": {"Ref": "B"},
        "C": {"Fn::GetAtt": ["D", "E.F"]},
        "G": {"Fn::Sub": "x${H}"},
        "I": {"Fn::If": ["J", 1, 2]},
    }


def test_dates_stay_text() -> None:
    document = parse_template("AWSTemplateFormatVersion: 2010-09-09\n" + RESOURCES)

    assert document.body["AWSTemplateFormatVersion"] == "2010-09-09"


def test_the_line_of_each_resource_is_kept() -> None:
    assert parse_template("# a comment\n" + RESOURCES).lines == {"Table": 3}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "mapping with a Resources section"),
        ("[1, 2]", "mapping with a Resources section"),
        ("a: b", "no Resources"),
        ("Resources: {}", "no Resources"),
        ("Resources: {A: {}}", "A: a resource is a mapping with a Type"),
        ("Resources: {A: {Type: X, Properties: [1]}}", "A: Properties must be a mapping"),
        ("a: [", "line 1: not valid YAML"),
        ("a: !Reff b", "unknown tag !Reff"),
        (RESOURCES + "  Table:\n    Type: X\n", "line 4: the key 'Table' is given twice"),
        ("x" * 1_000_001, "more than 1000000 bytes"),
        ("? [1]\n: 2", "a key must be text"),
    ],
)
def test_faulty_text_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse_template(text)

    assert says in str(refused.value)


def test_aliases_cannot_multiply_without_bound() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )

    with pytest.raises(TemplateError, match="after aliases are expanded"):
        parse_template(bomb + RESOURCES)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse_template(text)
