"""A command's life: sent by a person, closed once, by the device's reply or by its timeout."""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from streams.items import SCHEMA_VERSION, Item, command_key, plain_item
from streams.json_values import JsonValueError, checked_json, json_attributes, parse_json, stored_json
from streams.record import PermanentRecordError, is_device_id

CommandOutcome = Literal["SUCCEEDED", "FAILED", "TIMED_OUT"]
MAX_TIMEOUT_S = 86_400
DEFAULT_TIMEOUT_S = 30
MAX_PARAMETERS_BYTES = 100 * 1024
MAX_REPLY_BYTES = 100 * 1024


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to send; times in epoch milliseconds. `command_id` sorts by time."""

    device_id: str
    command_id: str
    tenant_id: str
    name: str
    parameters: Any
    sent_at: int
    timeout_at: int

    @property
    def topic(self) -> str:
        return f"devices/{self.device_id}/commands/{self.command_id}"


def command_id(now_ms: int, random_hex: str) -> str:
    """Name a command so that text order is time order."""
    return f"{now_ms:013d}-{random_hex}"


def command_put(table: str, command: NewCommand, *, retention_s: int) -> dict[str, Any]:
    """Build the PutItem request that comes before anything is sent, so that the fastest reply finds its command."""
    item: Item = {
        **command_key(command.device_id, command.command_id),
        "commandId": {"S": command.command_id},
        "deviceId": {"S": command.device_id},
        "tenantId": {"S": command.tenant_id},
        "name": {"S": command.name},
        **json_attributes("parameters", command.parameters),
        "status": {"S": "SENT"},
        "sentAt": {"N": str(command.sent_at)},
        "timeoutAt": {"N": str(command.timeout_at)},
        "version": {"N": "1"},
        "ttl": {"N": str(command.sent_at // 1000 + retention_s)},
        "schemaVersion": SCHEMA_VERSION,
    }
    return {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}


def stored_command(item: Mapping[str, Any]) -> NewCommand:
    """Read a command back as it was sent."""
    fields = plain_item(item)
    return NewCommand(
        device_id=fields["deviceId"],
        command_id=fields["commandId"],
        tenant_id=fields["tenantId"],
        name=fields["name"],
        parameters=stored_json(fields, "parameters"),
        sent_at=fields["sentAt"],
        timeout_at=fields["timeoutAt"],
    )


def command_publish(command: NewCommand) -> tuple[str, bytes]:
    """Build path and body of the IoT data plane's Publish: what the device receives."""
    payload = {
        "commandId": command.command_id,
        "name": command.name,
        "parameters": command.parameters,
        "timeoutAt": command.timeout_at,
    }
    return f"/topics/{quote(command.topic, safe='')}", json.dumps(payload, separators=(",", ":")).encode()


def command_close(
    table: str, device_id: str, command_id: str, outcome: CommandOutcome, *, now_ms: int, reply: Any = None
) -> dict[str, Any]:
    """Build the UpdateItem request that closes a command; the condition lets the first of reply and timeout win."""
    ((reply_name, reply_attribute),) = json_attributes("reply", reply).items()
    return {
        "TableName": table,
        "Key": command_key(device_id, command_id),
        "UpdateExpression": "SET #status = :outcome, closedAt = :now, #reply = :reply, #version = #version + :one",
        "ConditionExpression": "#status = :sent",
        "ExpressionAttributeNames": {"#status": "status", "#version": "version", "#reply": reply_name},
        "ExpressionAttributeValues": {
            ":outcome": {"S": outcome},
            ":now": {"N": str(now_ms)},
            ":reply": reply_attribute,
            ":one": {"N": "1"},
            ":sent": {"S": "SENT"},
        },
    }


class RefusedReply(PermanentRecordError):
    """A device answered what cannot be kept; `outcome` is what it said, FAILED where that cannot be read."""

    def __init__(self, reason: str, detail: str, outcome: CommandOutcome = "FAILED") -> None:
        super().__init__(reason, detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class CommandReply:
    """What a device answered; `received_at` in epoch milliseconds."""

    device_id: str
    command_id: str
    outcome: CommandOutcome
    result: Any
    received_at: int


def parse_reply(event: Mapping[str, Any]) -> CommandReply:
    """Read the rule's event: the device's payload in base64, with deviceId and commandId from the topic.

    The payload comes as the device sent it: the rule's SQL cannot read all JSON there is, and a dead letter without the
    payload explains nothing.
    Raises: PermanentRecordError for a topic that is no command's; RefusedReply for a payload that is not the device's
    `{status, result}`, or whose result cannot be kept.
    """
    device_id, name = event.get("deviceId"), event.get("commandId")
    if not isinstance(device_id, str) or not is_device_id(device_id) or not isinstance(name, str):
        raise PermanentRecordError("InvalidDeviceId", f"topic of device {device_id!r}, command {name!r}")
    try:
        payload = parse_json(b64decode(event["payload"]))
    except JsonValueError as error:
        raise RefusedReply("MalformedJson", f"the reply is {error}") from error
    if not isinstance(payload, dict):
        raise RefusedReply("WrongType", f"the reply is {str(payload)[:80]!r}, expected an object")
    status = payload.get("status")
    if status not in ("SUCCEEDED", "FAILED"):
        raise RefusedReply("WrongType", f"status is {str(status)[:80]!r}, expected 'SUCCEEDED' or 'FAILED'")
    try:
        result = checked_json(payload.get("result"), MAX_REPLY_BYTES)
    except JsonValueError as error:
        raise RefusedReply("Oversized", f"the result is {error}", status) from error
    return CommandReply(device_id, name, status, result, int(event["receivedAt"]))
