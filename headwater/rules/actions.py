"""Flow 3/8: what a rule that fired asks other services to do.

Nothing is done here: an action turns a publish into an `ActionRequest`, and whoever owns the services carries it
out. Source: AWS IoT Core Developer Guide, "AWS IoT rule actions"; CloudFormation AWS::IoT::TopicRule Action.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from headwater.errors import TemplateError
from headwater.rules.compiler import Environment
from headwater.rules.message import Message
from headwater.rules.rule import SubstitutionTemplate, compile_template

# Action -> its parameters: required ones, then those that may be left out.
_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Lambda": (("FunctionArn",), ()),
    "Kinesis": (("StreamName", "RoleArn"), ("PartitionKey",)),
    "Republish": (("Topic", "RoleArn"), ("Qos", "Headers")),
    "Sqs": (("QueueUrl", "RoleArn"), ("UseBase64",)),
    "Sns": (("TargetArn", "RoleArn"), ("MessageFormat",)),
    "DynamoDB": (
        ("TableName", "HashKeyField", "HashKeyValue", "RoleArn"),
        ("HashKeyType", "RangeKeyField", "RangeKeyValue", "RangeKeyType", "PayloadField"),
    ),
    "DynamoDBv2": (("PutItem",), ("RoleArn",)),
    "S3": (("BucketName", "Key", "RoleArn"), ("CannedAcl",)),
    "CloudwatchLogs": (("LogGroupName", "RoleArn"), ("BatchMode",)),
    "CloudwatchMetric": (
        ("MetricName", "MetricNamespace", "MetricUnit", "MetricValue", "RoleArn"),
        ("MetricTimestamp",),
    ),
}
_HEADERS = frozenset(
    ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData", "MessageExpiry", "UserProperties")
)
# Parameters in which substitution templates mean nothing.
_VERBATIM = frozenset(
    ("RoleArn", "FunctionArn", "UseBase64", "MessageFormat", "HashKeyType", "RangeKeyType", "CannedAcl")
)
_MESSAGE_FORMATS = ("RAW", "JSON")


class ActionRequest(msgspec.Struct, frozen=True, gc=False):
    """One thing to do: `parameters` are the action's, rendered for this publish; `payload` is the rule's result."""

    kind: str
    parameters: Mapping[str, Any]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Action:
    """A compiled action of a rule; `external` names the functions in it that ask other services."""

    kind: str
    external: tuple[str, ...]
    _fixed: dict[str, Any]
    _flat: tuple[tuple[str, SubstitutionTemplate], ...]
    _nested: tuple[tuple[str, Any], ...]

    @property
    def resource(self) -> str:
        """What an error document names as `failedResource`."""
        names = (
            "FunctionArn",
            "StreamName",
            "Topic",
            "QueueUrl",
            "TargetArn",
            "TableName",
            "BucketName",
            "LogGroupName",
            "MetricName",
        )
        if self.kind == "DynamoDBv2":
            return str(self._fixed["PutItem"]["TableName"])
        return next((str(self._fixed[name]) for name in names if name in self._fixed), "")

    def request(self, environment: Environment, payload: bytes) -> ActionRequest:
        """The request for one publish."""
        if not self._flat and not self._nested:
            return ActionRequest(self.kind, self._fixed, payload)
        parameters = self._fixed.copy()
        for name, template in self._flat:
            parameters[name] = template.render(environment)
        for name, tree in self._nested:
            parameters[name] = _render(tree, environment)
        return ActionRequest(self.kind, parameters, payload)


def compile_actions(actions: Sequence[Mapping[str, Any]], sql: str, version: str) -> tuple[Action, ...]:
    """Compile the `Actions` of a rule. Raises: TemplateError naming the parameter that is missing or unknown."""
    return tuple(compile_action(action, sql, version) for action in actions)


def compile_action(action: Mapping[str, Any], sql: str, version: str, *, no_external: str = "") -> Action:
    """Compile one action, `{Kind: {parameters}}`; `no_external` as for `compile_rule`.

    Raises: TemplateError; also for an object with several kinds, which the service refuses too.
    """
    kinds = [kind for kind in action if action[kind] is not None]
    if len(kinds) != 1:
        raise TemplateError(f"an action has exactly one kind, found {kinds}")
    kind = kinds[0]
    if kind not in _PARAMETERS:
        raise TemplateError(f"the action {kind} does not work here; these do: {', '.join(_PARAMETERS)}")
    parameters = dict(action[kind])
    _check(kind, parameters)
    compiled = {
        name: _compile(value, sql, version, no_external) for name, value in parameters.items() if name not in _VERBATIM
    }
    flat = tuple((name, tree) for name, tree in compiled.items() if isinstance(tree, SubstitutionTemplate))
    nested = tuple((n, tree) for n, tree in compiled.items() if isinstance(tree, (dict, list)) and _has_template(tree))
    external = tuple(name for template in _templates(compiled) for name in template.external)
    return Action(kind, external, parameters, flat, nested)


def _check(kind: str, parameters: Mapping[str, Any]) -> None:
    required, optional = _PARAMETERS[kind]
    for name in required:
        if name not in parameters:
            raise TemplateError(f"{kind}.{name} is missing")
    for name in parameters:
        if name not in (*required, *optional):
            raise TemplateError(f"{kind}.{name} is no parameter of this action")
    if kind == "DynamoDBv2" and "TableName" not in parameters["PutItem"]:
        raise TemplateError("DynamoDBv2.PutItem.TableName is missing")
    if kind == "Sns" and parameters.get("MessageFormat", "RAW") not in _MESSAGE_FORMATS:
        raise TemplateError(f"Sns.MessageFormat {parameters['MessageFormat']!r}, expected RAW or JSON")
    for name in parameters.get("Headers") or ():
        if name not in _HEADERS:
            raise TemplateError(f"{kind}.Headers.{name} is no header of this action")


def _compile(value: Any, sql: str, version: str, no_external: str) -> Any:
    """The same value with a SubstitutionTemplate for every text that holds one."""
    if isinstance(value, str):
        return compile_template(value, sql, version, no_external=no_external) if "${" in value else value
    if isinstance(value, Mapping):
        return {name: _compile(child, sql, version, no_external) for name, child in value.items()}
    if isinstance(value, list):
        return [_compile(child, sql, version, no_external) for child in value]
    return value


def _render(tree: Any, environment: Environment) -> Any:
    if isinstance(tree, SubstitutionTemplate):
        return tree.render(environment)
    if isinstance(tree, dict):
        return {name: _render(child, environment) for name, child in tree.items()}
    if isinstance(tree, list):
        return [_render(child, environment) for child in tree]
    return tree


def _templates(tree: Any) -> list[SubstitutionTemplate]:
    if isinstance(tree, SubstitutionTemplate):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [template for child in children for template in _templates(child)]


def _has_template(tree: Any) -> bool:
    return bool(_templates(tree))


def error_document(rule_name: str, message: Message, failures: Sequence[tuple[str, str, str]]) -> bytes:
    """The payload an error action gets; `failures` are (action, resource, error message)."""
    return orjson.dumps(
        {
            "ruleName": rule_name,
            "topic": message.topic,
            "cloudwatchTraceId": message.trace_id,
            "clientId": message.client_id or "N/A",
            "base64OriginalPayload": base64.b64encode(message.payload).decode(),
            "failures": [
                {"failedAction": f"{action}Action", "failedResource": resource, "errorMessage": text}
                for action, resource, text in failures
            ],
        }
    )
