"""Flow 7/8: publish a batch of table changes to subscribers, through signed GraphQL mutations."""

import time
from collections.abc import Callable, Mapping
from functools import cache
from http.client import HTTPException
from typing import Any, Protocol

from aws_lambda_powertools import Logger

from streams.aws.connection import KeptAliveConnection
from streams.aws.environment import credentials, required
from streams.aws.signing import signed_headers
from streams.batch import BatchResponse, Entry, response
from streams.coalesce import Publish, publishes
from streams.publish import PublishRequest, failed_publishes, requests


class Sender(Protocol):
    """Posts one request body and returns status and body; raises OSError or HTTPException when that fails."""

    def __call__(self, body: bytes) -> tuple[int, bytes]: ...


def publish_batch(event: Mapping[str, Any], send: Sender) -> tuple[BatchResponse, list[tuple[Publish, str]]]:
    """Publish one batch; the answer names the first stream record whose change reached nobody.

    Requests go one after the other and a device stops at its first failure, so that no client sees a device's changes
    in another order than the table. Once AppSync cannot be reached, the rest of the batch is not tried.
    """
    records = event["Records"]
    failures: list[tuple[Publish, str]] = []
    stopped: set[str] = set()
    waiting = publishes(records)
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


logger = Logger(service="fanout")


def handler(event: Mapping[str, Any], context: object) -> BatchResponse:
    """Take one batch of the table's stream (event source mapping with ReportBatchItemFailures)."""
    answer, failures = publish_batch(event, _sender())
    for publish, reason in failures[:10]:
        logger.warning(
            "not published", extra={"device_id": publish.device_id, "mutation": publish.mutation, "reason": reason}
        )
    return answer
