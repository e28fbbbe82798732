"""Second path: IoT rules hand a device's own events to these handlers, which write them to the table."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from iot.alarms import alarm_put, parse_alarm
from iot.commands import CommandOutcome, RefusedReply, command_close, parse_reply
from iot.presence import UNOWNED_RETENTION_S, parse_lifecycle, presence_update
from streams import items
from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service
from streams.metrics import count_dead_letters
from streams.record import PermanentRecordError

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeviceEvents:
    """Writes device events; each of them twice ends as once. True means that the event changed something."""

    table: Service
    table_name: str
    retention_s: int
    clock: Callable[[], float]

    def presence(self, event: Event) -> bool:
        """Store that a client came or went."""
        lifecycle = parse_lifecycle(event)
        state = self._state(lifecycle.client_id)
        tenant_id, site_id = _owner(state) or (None, None)
        expires_s = None if "tenantId" in state else int(self.clock()) + UNOWNED_RETENTION_S
        update = presence_update(self.table_name, lifecycle, tenant_id=tenant_id, site_id=site_id, expires_s=expires_s)
        return self._unless_done("UpdateItem", update)

    def reply(self, event: Event) -> bool:
        """Close a command with the device's answer; too late or twice changes nothing.

        An answer that cannot be kept closes it too, with the reason: nobody waits for a timeout that the device met.
        Raises: PermanentRecordError, so that the answer goes to the dead letters.
        """
        try:
            reply = parse_reply(event)
        except RefusedReply as error:
            note = {"error": f"not kept: {error}"}
            self._close(event["deviceId"], event["commandId"], error.outcome, int(event["receivedAt"]), note)
            raise
        return self._close(reply.device_id, reply.command_id, reply.outcome, reply.received_at, reply.result)

    def _close(self, device_id: str, command_id: str, outcome: CommandOutcome, now_ms: int, reply: Any) -> bool:
        close = command_close(self.table_name, device_id, command_id, outcome, now_ms=now_ms, reply=reply)
        return self._unless_done("UpdateItem", close)

    def timeout(self, event: Event) -> bool:
        """Close a command whose time is over, unless a reply did."""
        close = command_close(
            self.table_name, event["deviceId"], event["commandId"], "TIMED_OUT", now_ms=int(self.clock() * 1000)
        )
        return self._unless_done("UpdateItem", close)

    def alarm(self, event: Event) -> bool:
        """Store an alarm the device raised; raises PermanentRecordError for a device nobody registered."""
        alarm = parse_alarm(event, retention_s=self.retention_s)
        owner = _owner(self._state(alarm.device_id))
        if owner is None:
            raise PermanentRecordError("UnknownDevice", f"device {alarm.device_id!r} is not registered")
        put = alarm_put(self.table_name, alarm, owner[0], site_id=owner[1], retention_s=self.retention_s)
        return self._unless_done("PutItem", put)

    def _state(self, device_id: str) -> Mapping[str, Any]:
        read = {"TableName": self.table_name, "Key": items.state_key(device_id)}
        state: Mapping[str, Any] = self.table.call("GetItem", read).get("Item", {})
        return state

    def _unless_done(self, operation: str, request: Mapping[str, Any]) -> bool:
        try:
            self.table.call(operation, request)
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _owner(state: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Tenant and site of a registered device; None for one that is not, or no more."""
    if "tenantId" not in state or "removedAt" in state:
        return None
    return state["tenantId"]["S"], state.get("siteId", {}).get("S")


def bury(queue: Service, queue_url: str, event: Event, error: PermanentRecordError) -> None:
    """Put an event that can never succeed into the dead-letter queue; Lambda's two retries would not help it."""
    letter = {"reason": error.reason, "detail": error.detail, "deviceId": event.get("deviceId"), "event": event}
    queue.call("SendMessage", {"QueueUrl": queue_url, "MessageBody": json.dumps(letter, separators=(",", ":"))})


logger = Logger(service="device-events")


@cache
def _device_events() -> DeviceEvents:
    return DeviceEvents(
        table=service("dynamodb"),
        table_name=required("TABLE_NAME"),
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
        clock=time.time,
    )


@cache
def _queue() -> Service:
    return service("sqs")


def _take(work: Callable[[Event], bool], event: Event) -> None:
    try:
        if not work(event):
            logger.debug("nothing changed")
    except PermanentRecordError as error:
        logger.warning("dead letter", extra={"reason": error.reason, "detail": error.detail})
        count_dead_letters("device-events", [error.reason])
        bury(_queue(), required("DEAD_LETTER_QUEUE_URL"), event, error)


def on_presence(event: Event, context: object) -> None:
    """Take one lifecycle event of IoT Core (rule PresenceRule)."""
    _take(_device_events().presence, event)


def on_reply(event: Event, context: object) -> None:
    """Take one command reply (rule ReplyRule)."""
    _take(_device_events().reply, event)


def on_alarm(event: Event, context: object) -> None:
    """Take one alarm (rule AlarmRule)."""
    _take(_device_events().alarm, event)


def on_timeout(event: Event, context: object) -> None:
    """Take one command timeout (EventBridge Scheduler)."""
    _take(_device_events().timeout, event)
