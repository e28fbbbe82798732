"""Flow 7/8: publish a batch of table changes to subscribers, through signed GraphQL mutations."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http.client import HTTPException
from typing import Any, Protocol

from aws_lambda_powertools import Logger

from streams.aws.connection import KeptAliveConnection
from streams.aws.environment import credentials, required, service
from streams.aws.signing import signed_headers
from streams.batch import BatchResponse, Entry, response
from streams.coalesce import Publish, publishes
from streams.interest import ALL_TENANTS, SKIPPED, Interests, interest_query, read_interests
from streams.publish import PublishRequest, failed_publishes, requests


class Sender(Protocol):
    """Posts one request body and returns status and body; raises OSError or HTTPException when that fails."""

    def __call__(self, body: bytes) -> tuple[int, bytes]: ...


Wanted = Callable[[Sequence[Publish]], Sequence[Publish]]
CallEach = Callable[[str, Sequence[Mapping[str, Any]]], list[dict[str, Any] | Exception]]


def publish_batch(
    event: Mapping[str, Any], send: Sender, wanted: Wanted | None = None
) -> tuple[BatchResponse, list[tuple[Publish, str]]]:
    """Publish one batch; the answer names the first stream record whose change reached nobody.

    `wanted` leaves out what nobody waits for; it is asked once, when every change of the batch is in the table.
    Requests go one after the other and a device stops at its first failure, so that no client sees a device's changes
    in another order than the table. Once AppSync cannot be reached, the rest of the batch is not tried.
    """
    records = event["Records"]
    failures: list[tuple[Publish, str]] = []
    stopped: set[str] = set()
    waiting = publishes(records)
    if wanted is not None:
        waiting = list(wanted(waiting))
    while waiting:
        open_publishes = [publish for publish in waiting if publish.device_id not in stopped]
        failures += [
            (publish, "an earlier change of the device failed") for publish in waiting if publish.device_id in stopped
        ]
        batch = requests(open_publishes)
        waiting = []
        for place, request in enumerate(batch):
            failed, is_reachable = _send(request, send)
            failures += failed
            rest = [publish for later in batch[place + 1 :] for publish in later.publishes]
            if not is_reachable:
                failures += [(publish, "an earlier request could not be sent") for publish in rest]
                break
            if failed:
                stopped.update(publish.device_id for publish, _ in failed)
                waiting = rest
                break
    failed_entries = [
        Entry(position, records[position]["dynamodb"]["SequenceNumber"], publish.device_id, publish)
        for publish, _ in failures
        for position in publish.positions
    ]
    return response(failed_entries), failures


def _send(request: PublishRequest, send: Sender) -> tuple[list[tuple[Publish, str]], bool]:
    try:
        status, answer = send(request.body)
    except (OSError, HTTPException) as error:
        return [(publish, f"{type(error).__name__}: {error}") for publish in request.publishes], False
    return failed_publishes(request, status, answer), status < 500


class Demand:
    """Knows what subscribers wait for, by the rows their subscriptions left in the table."""

    def __init__(self, call_each: CallEach, table: str, *, clock: Callable[[], float]) -> None:
        self._call_each = call_each
        self._table = table
        self._clock = clock

    def wanted(self, waiting: Sequence[Publish]) -> list[Publish]:
        """Leave out what nobody waits for. Where that cannot be told, nothing is left out."""
        tenants = sorted({publish.input["tenantId"] for publish in waiting if publish.mutation in SKIPPED})
        if not tenants:
            return list(waiting)
        owners = [ALL_TENANTS, *tenants]
        outcomes = self._call_each("Query", [interest_query(self._table, owner) for owner in owners])
        known = {owner: self._interests(owner, outcome) for owner, outcome in zip(owners, outcomes, strict=True)}

        def is_wanted(publish: Publish) -> bool:
            if publish.mutation not in SKIPPED:
                return True
            found = (known[ALL_TENANTS], known[publish.input["tenantId"]])
            return any(interests is None or interests.cover(publish) for interests in found)

        return [publish for publish in waiting if is_wanted(publish)]

    def _interests(self, owner: str, outcome: dict[str, Any] | Exception) -> Interests | None:
        if isinstance(outcome, Exception):
            reason = f"{type(outcome).__name__}: {outcome}"
        else:
            try:
                return read_interests(outcome, self._clock())
            except ValueError as error:
                reason = str(error)
        logger.warning("published to all", extra={"tenant_id": owner or "services", "reason": reason})
        return None


def signed_sender(url: str, *, region: str, clock: Callable[[], float] = time.time) -> Sender:
    """Post to an AppSync GraphQL endpoint with the function's role, over one connection."""
    connection = KeptAliveConnection(url, timeout_s=30.0)

    def send(body: bytes) -> tuple[int, bytes]:
        headers = signed_headers(
            credentials(),
            region=region,
            service="appsync",
            host=connection.host,
            path=connection.path,
            headers={"content-type": "application/json"},
            body=body,
            now_s=clock(),
        )
        return connection.post(headers, body)

    return send


@cache
def _sender() -> Sender:
    return signed_sender(required("GRAPHQL_URL"), region=required("AWS_REGION"))


@cache
def _demand() -> Demand | None:
    if os.environ.get("DEMAND_AWARE") != "true":
        return None
    return Demand(service("dynamodb").call_each, required("TABLE_NAME"), clock=time.time)


logger = Logger(service="fanout")


def handler(event: Mapping[str, Any], context: object) -> BatchResponse:
    """Take one batch of the table's stream (event source mapping with ReportBatchItemFailures)."""
    demand = _demand()
    answer, failures = publish_batch(event, _sender(), None if demand is None else demand.wanted)
    for publish, reason in failures[:10]:
        logger.warning(
            "not published", extra={"device_id": publish.device_id, "mutation": publish.mutation, "reason": reason}
        )
    return answer
