"""Template text, YAML or JSON, with CloudFormation's short tags, becomes one plain document."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from headwater.errors import TemplateError

# CloudFormation refuses bodies above 1 MB even from S3, so more is a mistake here too.
MAXIMUM_SIZE_BYTES = 1_000_000
# Aliases multiply: a nine-line document can name a billion nodes.
MAXIMUM_NODES = 200_000
_SHORT_TAGS = (
    "And Base64 Cidr Contains EachMemberEquals EachMemberIn Equals FindInMap GetAZs If ImportValue Join "
    "Length Not Or Select Split Sub ToJsonString Transform ValueOf ValueOfAll"
).split()


@dataclass(frozen=True, slots=True)
class TemplateDocument:
    """A parsed template; `lines` maps each logical id to its 1-based line, where the text told."""

    body: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        resources: dict[str, dict[str, Any]] = self.body.get("Resources") or {}
        return resources


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as CloudFormation reads it: dates stay text, short tags become their long form."""


def _construct_timestamp(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _construct_tag(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if suffix not in ("Ref", "Condition", "GetAtt", *_SHORT_TAGS):
        raise TemplateError(f"line {node.start_mark.line + 1}: unknown tag !{suffix}")
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the third node kind
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool)):
            raise TemplateError(f"line {key_node.start_mark.line + 1}: a key must be text, found {key!r}")
        if key in result:
            raise TemplateError(f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


def _refuse_tag(loader: _Loader, node: yaml.Node) -> None:
    raise TemplateError(f"line {node.start_mark.line + 1}: the YAML tag {node.tag} has no value that JSON has")


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_timestamp)
for _name in ("binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _refuse_tag)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_multi_constructor("!", _construct_tag)


def _count_nodes(value: Any, budget: int) -> int:
    if budget < 0:
        raise TemplateError(f"more than {MAXIMUM_NODES} values after aliases are expanded")
    if isinstance(value, dict):
        for child in value.values():
            budget = _count_nodes(child, budget - 1)
    elif isinstance(value, list):
        for child in value:
            budget = _count_nodes(child, budget - 1)
    return budget


def _resource_lines(root: yaml.Node | None) -> dict[str, int]:
    if not isinstance(root, yaml.MappingNode):
        return {}
    for key_node, value_node in root.value:
        if key_node.value == "Resources" and isinstance(value_node, yaml.MappingNode):
            return {str(key.value): key.start_mark.line + 1 for key, _ in value_node.value}
    return {}


def _load(text: str) -> tuple[dict[str, int], Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return _resource_lines(root), loader.construct_document(root) if root is not None else None
    finally:
        loader.dispose()


def parse_template(text: str) -> TemplateDocument:
    """Parse a template.

    Raises: TemplateError with the line for text that is no YAML, and for a document without `Resources`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAXIMUM_SIZE_BYTES:
        raise TemplateError(f"the template has more than {MAXIMUM_SIZE_BYTES} bytes")
    try:
        lines, body = _load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise TemplateError(f"{line}not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TemplateError(f"not valid YAML: {error}") from error
    if not isinstance(body, dict):
        raise TemplateError(f"a template is a mapping with a Resources section, found {type(body).__name__}")
    _count_nodes(body, MAXIMUM_NODES)
    _check_resources(body)
    return TemplateDocument(body, lines)


def _check_resources(body: dict[str, Any]) -> None:
    resources = body.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise TemplateError("the template has no Resources section, or an empty one")
    for logical_id, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise TemplateError("a resource is a mapping with a Type", logical_id=str(logical_id))
        properties = resource.get("Properties")
        if properties is not None and not isinstance(properties, dict):
            raise TemplateError(
                f"Properties must be a mapping, found {type(properties).__name__}", logical_id=str(logical_id)
            )
