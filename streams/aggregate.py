"""Beside the main path: sum up history by minute, at the end of each tumbling window of the table's stream.

The window only says which minutes changed; the sums are read from history, where a redelivered payload is one item.
So a window that is processed twice, a batch that fails half-way and telemetry that comes late all end in the same
aggregates.
"""

import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service
from streams.history import single_readings
from streams.minutes import MINUTE_MS, Touched, aggregate_puts, history_query, runs_of, touched_minutes

# Lambda keeps at most 1 MB of state; a device with one minute takes about 40 bytes of it.
MAX_TOUCHED_DEVICES = 10_000
MAX_TOUCHED_MINUTES = 40_000


def aggregate_batch(
    event: Mapping[str, Any], *, table: Service, table_name: str, retention_s: int
) -> tuple[dict[str, Any], int]:
    """Take one batch of a tumbling window; returns Lambda's answer and how many minutes were written.

    Raises: AwsError and OSError; the batch comes again with the state it had.
    """
    keys = [record["dynamodb"]["Keys"] for record in event.get("Records", [])]
    touched = touched_minutes(keys, (event.get("state") or {}).get("touched", {}))
    is_over = event.get("isFinalInvokeForWindow") or event.get("isWindowTerminatedEarly") or "window" not in event
    if not is_over and not _is_full(touched):
        return {"state": {"touched": touched}, "batchItemFailures": []}, 0
    written = 0
    for device_id, minutes in touched.items():
        for first, last in runs_of(minutes):
            items = _history(table, history_query(table_name, device_id, first, last))
            history = [one for one in single_readings(items) if first <= int(one["ts"]["N"]) // MINUTE_MS <= last]
            for put in aggregate_puts(table_name, device_id, history, retention_s=retention_s):
                _unless_done(table, put)
                written += 1
    return {"state": {}, "batchItemFailures": []}, written


def _is_full(touched: Touched) -> bool:
    return len(touched) > MAX_TOUCHED_DEVICES or sum(map(len, touched.values())) > MAX_TOUCHED_MINUTES


def _history(table: Service, query: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    while True:
        page = table.call("Query", query)
        yield from page.get("Items", [])
        if "LastEvaluatedKey" not in page:
            return
        query = {**query, "ExclusiveStartKey": page["LastEvaluatedKey"]}


def _unless_done(table: Service, put: Mapping[str, Any]) -> None:
    try:
        table.call("PutItem", put)
    except AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise


@cache
def _table() -> Service:
    return service("dynamodb")


logger = Logger(service="aggregate")


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Take one batch of history (event source mapping with a tumbling window)."""
    started = time.monotonic()
    answer, written = aggregate_batch(
        event,
        table=_table(),
        table_name=required("TABLE_NAME"),
        retention_s=int(required("AGGREGATE_RETENTION_DAYS")) * 86_400,
    )
    if written:
        logger.info("minutes written", extra={"count": written, "duration_s": round(time.monotonic() - started, 3)})
    return answer
