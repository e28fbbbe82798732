"""Flow 5/8: write a Kinesis batch to the table; what never can be, to the dead-letter queue."""

import random
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from typing import Any

from aws_lambda_powertools import Logger

from streams import items
from streams.alerting import AlertOpened, AlertRule, Decision, alert_rule, decide, opening_put, resolving_update
from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service
from streams.batch import BatchResponse, Entry, by_key, response, through_first_failure
from streams.dead_letters import DeadLetter, send_requests
from streams.history import packed_item, packs
from streams.metrics import count_dead_letters
from streams.record import PermanentRecordError, Telemetry, parse_telemetry
from streams.state import STATE_PROJECTION, StoredState, newer_than, state_update, stored_state

AUTO_TENANT = "demo"
_WRITE_BATCH = 25
_READ_BATCH = 100
_WRITE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template decides."""

    table: str
    dead_letter_queue_url: str
    auto_register: bool
    retention_s: int
    packs_history: bool = False
    rules_ttl_s: float = 15.0


Accepted = Entry[Telemetry]
CallEach = Callable[[str, Sequence[Mapping[str, Any]]], list[dict[str, Any] | Exception]]


@dataclass(frozen=True, slots=True)
class _Advance:
    """What one batch does to one device, and the records it comes from."""

    stored: StoredState
    written: Sequence[Accepted]
    decision: Decision
    update: dict[str, Any]


class RuleCache:
    """The alert rules of the tenants seen lately, each read again after `ttl_s`: a new rule works within that time."""

    def __init__(
        self, table: Service, table_name: str, *, ttl_s: float, clock: Callable[[], float], limit: int = 1000
    ) -> None:
        self._table = table
        self._table_name = table_name
        self._ttl_s = ttl_s
        self._clock = clock
        self._limit = limit
        self._known: dict[str, tuple[float, tuple[AlertRule, ...]]] = {}

    def of_tenant(self, tenant_id: str) -> tuple[AlertRule, ...]:
        now = self._clock()
        known = self._known.get(tenant_id)
        if known is not None and now < known[0]:
            return known[1]
        rules = tuple(self._read(tenant_id))
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[tenant_id] = (now + self._ttl_s, rules)
        return rules

    def _read(self, tenant_id: str) -> Iterable[AlertRule]:
        query: dict[str, Any] = {
            "TableName": self._table_name,
            "KeyConditionExpression": "PK = :pk AND begins_with(SK, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": items.tenant_partition(tenant_id)}, ":sk": {"S": "RULE#"}},
        }
        while True:
            page = self._table.call("Query", query)
            yield from (alert_rule(item) for item in page.get("Items", []))
            if "LastEvaluatedKey" not in page:
                return
            query = {**query, "ExclusiveStartKey": page["LastEvaluatedKey"]}


class Ingestion:
    """Takes Kinesis batches; everything it does twice ends as if it were done once."""

    def __init__(
        self,
        settings: Settings,
        table: Service,
        queue: Service,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        uniform: Callable[[float, float], float],
        call_each: CallEach | None = None,
    ) -> None:
        """`call_each` does calls to the table whose order does not count; without it they go one by one."""
        self._settings = settings
        self._table = table
        self._call_each = call_each or self._one_by_one
        self._queue = queue
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform
        self._rules = RuleCache(table, settings.table, ttl_s=settings.rules_ttl_s, clock=clock)

    def take(self, event: Mapping[str, Any]) -> tuple[BatchResponse, list[DeadLetter]]:
        """Write one batch; the answer names the first record that must come again.

        Order of the writes: history and alerts before the state, because the state says what was seen. A batch that
        stops half-way is taken up again at the same state, so nothing is decided twice and nothing is left out.
        """
        entries = _entries(event)
        accepted, dead = self._read_records(entries)
        failed: list[Entry[Any]] = []
        groups = by_key(accepted)
        states = self._states(list(groups))
        for device_id in list(groups):
            refusal = self._refusal(device_id, states)
            if refusal is not None:
                dead += [DeadLetter(entries[entry.position], *refusal) for entry in groups.pop(device_id)]
        unwritten = self._write_history(groups, states)
        advances: list[_Advance] = []
        for device_id, group in groups.items():
            written = through_first_failure(group, unwritten)
            failed += group[len(written) :]
            advance = self._advance(states[device_id], written)
            if advance is not None:
                advances.append(advance)
        failed += self._advance_all(advances)
        failed += self._bury(dead)
        return response(failed), dead

    def _read_records(self, entries: Sequence[Entry[Mapping[str, Any]]]) -> tuple[list[Accepted], list[DeadLetter]]:
        accepted: list[Accepted] = []
        dead: list[DeadLetter] = []
        for entry in entries:
            kinesis = entry.content["kinesis"]
            arrival_ms = kinesis["approximateArrivalTimestamp"] * 1000
            try:
                telemetry = parse_telemetry(
                    entry.key, b64decode(kinesis["data"]), arrival_ms, retention_s=self._settings.retention_s
                )
            except PermanentRecordError as error:
                dead.append(DeadLetter(entry, error.reason, error.detail))
            else:
                accepted.append(Entry(entry.position, entry.sequence_number, entry.key, telemetry))
        return accepted, dead

    def _states(self, device_ids: Sequence[str]) -> dict[str, StoredState]:
        states: dict[str, StoredState] = {}
        for start in range(0, len(device_ids), _READ_BATCH):
            keys = [items.state_key(device_id) for device_id in device_ids[start : start + _READ_BATCH]]
            for attempt in range(_WRITE_ATTEMPTS):
                request = {"Keys": keys, "ConsistentRead": True, **STATE_PROJECTION}
                answer = self._table.call("BatchGetItem", {"RequestItems": {self._settings.table: request}})
                for item in answer["Responses"].get(self._settings.table, []):
                    # Without a tenant it is no registered device's.
                    if "tenantId" in item:
                        states[item["PK"]["S"].partition("#")[2]] = stored_state(item)
                keys = answer.get("UnprocessedKeys", {}).get(self._settings.table, {}).get("Keys", [])
                if not keys:
                    break
                self._pause(attempt)
            if keys:
                raise AwsError("UnprocessedKeys", f"{len(keys)} states left unread", status=200, document={})
        return states

    def _refusal(self, device_id: str, states: dict[str, StoredState]) -> tuple[str, str] | None:
        known = states.get(device_id)
        if known is not None:
            return ("DeviceRemoved", f"device {device_id!r} was removed") if known.is_removed else None
        if not self._settings.auto_register:
            return "UnknownDevice", f"device {device_id!r} is not registered"
        self._register(device_id)
        # Registered now by us, or meanwhile by somebody else: read whose it is.
        states.update(self._states([device_id]))
        if device_id not in states:
            return "UnknownDevice", f"device {device_id!r} could not be registered"
        return None

    def _register(self, device_id: str) -> None:
        table, now_ms = self._settings.table, int(self._clock() * 1000)
        try:
            request = items.registration(
                table, device_id, AUTO_TENANT, now_ms=now_ms, retention_s=self._settings.retention_s
            )
            self._table.call("TransactWriteItems", request)
        except AwsError as error:
            if error.code != "TransactionCanceledException":
                raise
            return
        # It connected before it sent anything: that presence is its tenant's from now on.
        self._unless_done("UpdateItem", items.presence_adoption(table, device_id, AUTO_TENANT, None))

    def _write_history(
        self, groups: Mapping[str, Sequence[Accepted]], states: Mapping[str, StoredState]
    ) -> frozenset[int]:
        """Put every payload into history; returns the batch positions of those the table did not take."""
        waiting: list[tuple[items.Item, list[int]]] = []
        for device_id, group in groups.items():
            # A payload that came twice is one reading: one request may name a key once.
            positions: dict[tuple[int, int], list[int]] = {}
            records: dict[tuple[int, int], Telemetry] = {}
            for entry in group:
                records.setdefault(entry.content.order, entry.content)
                positions.setdefault(entry.content.order, []).append(entry.position)
            once = records.values()
            for pack in packs(once) if self._settings.packs_history else ([record] for record in once):
                item = packed_item(pack, states[device_id].tenant_id, self._settings.retention_s)
                waiting.append((item, [place for record in pack for place in positions[record.order]]))
        left: list[int] = []
        for start in range(0, len(waiting), _WRITE_BATCH):
            chunk = waiting[start : start + _WRITE_BATCH]
            unprocessed = self._put_all([item for item, _ in chunk])
            if unprocessed:
                left += [
                    place
                    for item, places in chunk
                    if (item["PK"]["S"], item["SK"]["S"]) in unprocessed
                    for place in places
                ]
        return frozenset(left)

    def _put_all(self, new_items: Sequence[items.Item]) -> set[tuple[str, str]]:
        requests = [{"PutRequest": {"Item": item}} for item in new_items]
        for attempt in range(_WRITE_ATTEMPTS):
            answer = self._table.call("BatchWriteItem", {"RequestItems": {self._settings.table: requests}})
            requests = answer.get("UnprocessedItems", {}).get(self._settings.table, [])
            if not requests:
                return set()
            self._pause(attempt)
        return {(put["PutRequest"]["Item"]["PK"]["S"], put["PutRequest"]["Item"]["SK"]["S"]) for put in requests}

    def _advance(self, stored: StoredState, written: Sequence[Accepted]) -> "_Advance | None":
        """Decide what a device's new telemetry does to its alerts and its latest state; None if nothing is new."""
        fresh = newer_than(stored, [entry.content for entry in written])
        if not fresh:
            return None
        rules = self._rules.of_tenant(stored.tenant_id)
        decision = decide(rules, fresh, stored.alerting, site_id=stored.site_id, pending=stored.pending)
        update = state_update(self._settings.table, stored.tenant_id, fresh, decision.alerting, decision.pending)
        return _Advance(stored, written, decision, update)

    def _advance_all(self, advances: Sequence["_Advance"]) -> list[Accepted]:
        """Raise alerts and move latest states; returns the records of devices whose turn must come again.

        Each device is here once, so that updates under way at the same time are of different devices.
        """
        failed: list[Accepted] = []
        ready: list[_Advance] = []
        for advance in advances:
            try:
                self._apply(advance.decision, advance.stored)
                ready.append(advance)
            except (AwsError, OSError, HTTPException):
                failed += advance.written
        outcomes = self._call_each("UpdateItem", [advance.update for advance in ready])
        for advance, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, Exception) and not _is_done(outcome):
                failed += advance.written
        return failed

    def _apply(self, decision: Decision, stored: StoredState) -> None:
        table = self._settings.table
        for change in decision.changes:
            if isinstance(change, AlertOpened):
                put = opening_put(
                    table, change, stored.tenant_id, site_id=stored.site_id, retention_s=self._settings.retention_s
                )
                self._unless_done("PutItem", put)
            else:
                self._unless_done("UpdateItem", resolving_update(table, change))

    def _unless_done(self, operation: str, request: Mapping[str, Any]) -> None:
        try:
            self._table.call(operation, request)
        except AwsError as error:
            if not _is_done(error):
                raise

    def _one_by_one(self, operation: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Exception]:
        outcomes: list[dict[str, Any] | Exception] = []
        for request in requests:
            try:
                outcomes.append(self._table.call(operation, request))
            except (AwsError, OSError, HTTPException) as error:
                outcomes.append(error)
        return outcomes

    def _bury(self, dead: Sequence[DeadLetter]) -> list[Entry[Any]]:
        """Send dead letters; returns the records whose letter the queue did not take."""
        failed: list[Entry[Any]] = []
        for request, letters in send_requests(self._settings.dead_letter_queue_url, dead):
            try:
                answer = self._queue.call("SendMessageBatch", request)
            except (AwsError, OSError, HTTPException):
                failed += [letter.entry for letter in letters]
                continue
            failed += [letters[int(refused["Id"])].entry for refused in answer.get("Failed", [])]
        return failed

    def _pause(self, attempt: int) -> None:
        self._sleep(self._uniform(0, 0.05 * 2**attempt))


def _is_done(error: Exception) -> bool:
    """Done before by this very payload, or overtaken by a newer one: both are what we want."""
    return isinstance(error, AwsError) and error.code == "ConditionalCheckFailedException"


def _entries(event: Mapping[str, Any]) -> list[Entry[Mapping[str, Any]]]:
    return [
        Entry(position, record["kinesis"]["sequenceNumber"], record["kinesis"]["partitionKey"], record)
        for position, record in enumerate(event["Records"])
    ]


@cache
def _ingestion() -> Ingestion:
    settings = Settings(
        table=required("TABLE_NAME"),
        dead_letter_queue_url=required("DEAD_LETTER_QUEUE_URL"),
        auto_register=required("AUTO_REGISTER") == "true",
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
        packs_history=required("PACK_HISTORY") == "true",
    )
    table = service("dynamodb")
    return Ingestion(
        settings,
        table,
        service("sqs"),
        clock=time.time,
        sleep=time.sleep,
        uniform=random.uniform,
        call_each=table.call_each,
    )


logger = Logger(service="ingest")


def handler(event: Mapping[str, Any], context: object) -> BatchResponse:
    """Take one batch of the telemetry stream (event source mapping with ReportBatchItemFailures)."""
    answer, dead = _ingestion().take(event)
    for letter in dead:
        logger.warning(
            "dead letter", extra={"device_id": letter.entry.key, "reason": letter.reason, "detail": letter.detail}
        )
    count_dead_letters("ingest", (letter.reason for letter in dead))
    if answer["batchItemFailures"]:
        logger.warning("batch is to come again", extra={"batch_item_failures": answer["batchItemFailures"]})
    return answer
