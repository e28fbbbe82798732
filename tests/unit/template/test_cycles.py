"""Circular dependencies between resources of a template."""

import pytest

from headwater.template.attributes import StackEnvironment
from headwater.template.cycles import circular_dependencies
from headwater.template.document import parse_template
from headwater.template.intrinsics import Stack

QUEUE = "Type: AWS::SQS::Queue"


def cycles(text: str) -> list[list[str]]:
    return circular_dependencies(Stack(parse_template(text), StackEnvironment()))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("DependsOn: B", "DependsOn: [A]"),
        ("Properties: {QueueName: !Ref B}", "DependsOn: A"),
        ("Properties: {QueueName: !GetAtt B.Arn}", "Properties: {QueueName: !Sub 'x${A}'}"),
        ("Properties: {Tags: [{Value: !Sub '${B.Arn}'}]}", "Properties: {QueueName: {'Fn::Join': ['', [!Ref A]]}}"),
        ("Properties: {QueueName: !Sub ['${x}', {x: !Ref B}]}", "Properties: {QueueName: !Ref A}"),
    ],
)
def test_a_cycle_is_found_whatever_refers(a: str, b: str) -> None:
    assert cycles(f"Resources:\n  A: {{{QUEUE}, {a}}}\n  B: {{{QUEUE}, {b}}}\n") == [["A", "B", "A"]]


def test_a_diamond_is_no_cycle() -> None:
    text = f"""Resources:
  A: {{{QUEUE}, DependsOn: [B, C]}}
  B: {{{QUEUE}, DependsOn: D}}
  C: {{{QUEUE}, DependsOn: D}}
  D: {{{QUEUE}}}
"""

    assert cycles(text) == []


def test_only_the_branch_that_is_taken_counts() -> None:
    text = f"""Conditions: {{Never: !Equals [a, b]}}
Resources:
  A: {{{QUEUE}, Properties: {{QueueName: !If [Never, !Ref B, a]}}}}
  B: {{{QUEUE}, DependsOn: A}}
"""

    assert cycles(text) == []


def test_a_resource_that_is_not_there_locally_counts_for_nothing() -> None:
    text = f"""Conditions: {{Never: !Equals [a, b]}}
Resources:
  A: {{{QUEUE}, DependsOn: B}}
  B: {{{QUEUE}, Condition: Never, DependsOn: A}}
"""

    assert cycles(text) == []


def test_a_literal_dollar_and_a_name_of_itself_are_no_references() -> None:
    assert cycles(f"Resources:\n  A: {{{QUEUE}, Properties: {{QueueName: !Sub '${{!A}}-${{A}}'}}}}\n") == []


def test_each_of_two_cycles_is_told_once() -> None:
    text = "Resources:\n" + "".join(
        f"  {name}: {{{QUEUE}, DependsOn: {needed}}}\n" for name, needed in ("AB", "BA", "CD", "DE", "EC")
    )

    assert cycles(text) == [["A", "B", "A"], ["C", "D", "E", "C"]]


def test_a_chain_of_500_resources_is_walked() -> None:
    text = "Resources:\n" + "".join(f"  R{n}: {{{QUEUE}, DependsOn: R{n + 1}}}\n" for n in range(500))

    assert cycles(text + f"  R500: {{{QUEUE}, DependsOn: R0}}\n") == [[*(f"R{n}" for n in range(501)), "R0"]]
