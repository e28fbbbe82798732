"""Flow 3/8: what a rule that fired asks other services to do.

Nothing is done here: an action turns a publish into an `ActionRequest`, and whoever owns the services carries it
out. Source: AWS IoT Core Developer Guide, "AWS IoT rule actions"; CloudFormation AWS::IoT::TopicRule Action.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from headwater.errors import TemplateError
from headwater.rules.compiler import Environment
from headwater.rules.message import Message
from headwater.rules.rule import SubstitutionTemplate, compile_template

ActionKind = Literal["Lambda", "Kinesis", "Republish", "Sqs", "DynamoDB", "DynamoDBv2", "S3", "CloudwatchLogs"]

# Action -> its parameters: required ones, then those that may be left out.
_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Lambda": (("FunctionArn",), ()),
    "Kinesis": (("StreamName", "RoleArn"), ("PartitionKey",)),
    "Republish": (("Topic", "RoleArn"), ("Qos", "Headers")),
    "Sqs": (("QueueUrl", "RoleArn"), ("UseBase64",)),
    "DynamoDB": (
        ("TableName", "HashKeyField", "HashKeyValue", "RoleArn"),
        ("HashKeyType", "RangeKeyField", "RangeKeyValue", "RangeKeyType", "PayloadField"),
    ),
    "DynamoDBv2": (("PutItem",), ("RoleArn",)),
    "S3": (("BucketName", "Key", "RoleArn"), ("CannedAcl",)),
}
# Parameters in which substitution templates mean nothing.
_VERBATIM = frozenset(("RoleArn", "FunctionArn", "UseBase64", "HashKeyType", "RangeKeyType", "CannedAcl"))


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """One thing to do: `parameters` are the action's, rendered for this publish; `payload` is the rule's result."""

    kind: str
    parameters: Mapping[str, Any]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Action:
    """A compiled action of a rule."""

    kind: str
    _fixed: dict[str, Any]
    _rendered: tuple[tuple[tuple[str, ...], SubstitutionTemplate], ...]

    @property
    def resource(self) -> str:
        """What an error document names as `failedResource`."""
        names = ("FunctionArn", "StreamName", "Topic", "QueueUrl", "TableName", "BucketName")
        if self.kind == "DynamoDBv2":
            return str(self._fixed["PutItem"]["TableName"])
        return next((str(self._fixed[name]) for name in names if name in self._fixed), "")

    def request(self, environment: Environment, payload: bytes) -> ActionRequest:
        """The request for one publish."""
        if not self._rendered:
            return ActionRequest(self.kind, self._fixed, payload)
        parameters = dict(self._fixed)
        for path, template in self._rendered:
            holder = parameters
            for name in path[:-1]:
                holder[name] = dict(holder[name])
                holder = holder[name]
            holder[path[-1]] = template.render(environment)
        return ActionRequest(self.kind, parameters, payload)


def compile_actions(actions: Sequence[Mapping[str, Any]], sql: str, version: str) -> tuple[Action, ...]:
    """Compile the `Actions` of a rule. Raises: TemplateError naming the parameter that is missing or unknown."""
    return tuple(compile_action(action, sql, version) for action in actions)


def compile_action(action: Mapping[str, Any], sql: str, version: str) -> Action:
    """Compile one action, `{Kind: {parameters}}`. An object with several kinds is refused, as the service does."""
    kinds = [kind for kind in action if action[kind] is not None]
    if len(kinds) != 1:
        raise TemplateError(f"an action has exactly one kind, found {kinds}")
    kind = kinds[0]
    if kind not in _PARAMETERS:
        raise TemplateError(f"the action {kind} does not work here; these do: {', '.join(_PARAMETERS)}")
    parameters = dict(action[kind])
    required, optional = _PARAMETERS[kind]
    for name in required:
        if name not in parameters:
            raise TemplateError(f"{kind}.{name} is missing")
    for name in parameters:
        if name not in (*required, *optional):
            raise TemplateError(f"{kind}.{name} is no parameter of this action")
    if kind == "DynamoDBv2" and "TableName" not in parameters["PutItem"]:
        raise TemplateError("DynamoDBv2.PutItem.TableName is missing")
    rendered = tuple(
        (path, compile_template(text, sql, version))
        for path, text in _texts(parameters, ())
        if "${" in text and path[0] not in _VERBATIM
    )
    return Action(kind, parameters, rendered)


def _texts(value: Mapping[str, Any], prefix: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    for name, child in value.items():
        if isinstance(child, Mapping):
            found.extend(_texts(child, (*prefix, name)))
        elif isinstance(child, str):
            found.append(((*prefix, name), child))
    return found


def error_document(rule_name: str, message: Message, failures: Sequence[tuple[str, str, str]]) -> bytes:
    """The payload an error action gets; `failures` are (action, resource, error message)."""
    return orjson.dumps(
        {
            "ruleName": rule_name,
            "topic": message.topic,
            "cloudwatchTraceId": message.trace_id or "",
            "clientId": message.client_id or "N/A",
            "base64OriginalPayload": base64.b64encode(message.payload).decode(),
            "failures": [
                {"failedAction": f"{action}Action", "failedResource": resource, "errorMessage": text}
                for action, resource, text in failures
            ],
        }
    )
