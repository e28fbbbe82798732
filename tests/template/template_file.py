"""Read infra/template.yaml as data, its intrinsic functions as single-key objects."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    pass


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load_template() -> dict[str, Any]:
    """The template, the caller's own copy: reading it takes a second."""
    return deepcopy(_template())


@cache
def _template() -> dict[str, Any]:
    with (ROOT / "infra" / "template.yaml").open(encoding="utf-8") as file:
        template: dict[str, Any] = yaml.load(file, _Loader)
    return template


def resources_of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id."""
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}


def chosen(value: Any, true_conditions: frozenset[str]) -> Any:
    """Take each Fn::If's branch, and leave out what is AWS::NoValue."""
    if isinstance(value, list):
        return [chosen(member, true_conditions) for member in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        condition, then, otherwise = value["Fn::If"]
        return chosen(then if condition in true_conditions else otherwise, true_conditions)
    members = {name: chosen(member, true_conditions) for name, member in value.items()}
    return {name: member for name, member in members.items() if member != {"Ref": "AWS::NoValue"}}
