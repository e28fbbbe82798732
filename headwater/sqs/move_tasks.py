"""Message move tasks: what StartMessageMoveTask started, as ListMessageMoveTasks and CancelMessageMoveTask see it.

Source: SQS API Reference; messages as recorded on the service (LocalStack, test_sqs_move_task.snapshot.json).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from headwater.errors import ServiceError
from headwater.sqs.queue import Queue, QueueCatalog, invalid, missing, number_in, queue_name
from headwater.values.transaction import ReadTransaction

MAX_KEPT = 10
_RATE_REASON = "Must be between 1 and 500, if provided."
_RESULTS_REASON = "Must be between 1 and 10, if provided."


@dataclass(slots=True)
class MoveTask:
    """One task; `status` is RUNNING, COMPLETED, CANCELLED or FAILED."""

    source_arn: str
    destination_arn: str | None
    rate: int | None
    started_ms: int
    to_move: int
    moved: int = 0
    status: str = "RUNNING"
    failure: str | None = None
    task_id: str = ""

    @property
    def handle(self) -> str:
        """Base64 of the task's id and source, which SDK users decode."""
        text = json.dumps({"taskId": self.task_id, "sourceArn": self.source_arn})
        return base64.b64encode(text.encode()).decode()

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = {
            "Status": self.status,
            "SourceArn": self.source_arn,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "StartedTimestamp": self.started_ms,
        }
        if self.status == "RUNNING":
            described["TaskHandle"] = self.handle
        optional = {
            "DestinationArn": self.destination_arn,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "FailureReason": self.failure,
        }
        return described | {name: value for name, value in optional.items() if value is not None}


class MoveTasks:
    """The tasks of this process, the newest ten of each source; a restart ends and forgets them."""

    def __init__(self, catalog: QueueCatalog) -> None:
        self._catalog = catalog
        self._tasks: dict[str, list[MoveTask]] = {}

    def start(
        self, transaction: ReadTransaction, request: Mapping[str, Any], *, count: int, now_ms: int
    ) -> tuple[MoveTask, Queue, Queue | None]:
        """A checked task with its source and its destination (None: where each message came from).

        Raises: ServiceError `ResourceNotFoundException`, `InvalidParameterValue`, `MissingParameter`.
        """
        source = self.source(transaction, request)
        arn = self._catalog.arn(source.name)
        target_arn = request.get("DestinationArn")
        target = self._find(transaction, target_arn, "DestinationArn") if target_arn is not None else None
        if next(self._catalog.sources(transaction, arn), None) is None:
            raise invalid("Source queue must be configured as a Dead Letter Queue.")
        rate = number_in(request, "MaxNumberOfMessagesPerSecond", 1, 500, _RATE_REASON)
        if any(task.status == "RUNNING" for task in self._tasks.get(arn, [])):
            raise invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given "
                "time."
            )
        task = MoveTask(arn, target_arn, rate, now_ms, count, task_id=str(uuid4()))
        self._tasks[arn] = [task, *self._tasks.get(arn, [])][:MAX_KEPT]
        return task, source, target

    def list(self, transaction: ReadTransaction, request: Mapping[str, Any]) -> dict[str, Any]:
        """The newest first, one unless MaxResults says otherwise. Raises: ServiceError."""
        arn = self._catalog.arn(self.source(transaction, request).name)
        limit = number_in(request, "MaxResults", 1, MAX_KEPT, _RESULTS_REASON) or 1
        return {"Results": [task.describe() for task in self._tasks.get(arn, [])[:limit]]}

    def cancel(self, transaction: ReadTransaction, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises: ServiceError `ResourceNotFoundException`, `InvalidParameterValue`."""
        task_id, source_arn = _parse_handle(request.get("TaskHandle"))
        self._find(transaction, source_arn, "SourceArn")
        found = [t for t in self._tasks.get(source_arn, []) if t.task_id == task_id and t.status == "RUNNING"]
        if not found:
            raise _not_found("Task does not exist.")
        found[0].status = "CANCELLED"
        return {"ApproximateNumberOfMessagesMoved": found[0].moved}

    def source(self, transaction: ReadTransaction, request: Mapping[str, Any]) -> Queue:
        """The queue that a request names as its source. Raises: ServiceError."""
        arn = request.get("SourceArn")
        if not isinstance(arn, str) or not arn:
            raise missing("SourceArn")
        return self._find(transaction, arn, "SourceArn")

    def _find(self, transaction: ReadTransaction, arn: object, parameter: str) -> Queue:
        queue = self._catalog.find(transaction, queue_name(str(arn)))
        if queue is None or self._catalog.arn(queue.name) != arn:
            raise _not_found(f"The resource that you specified for the {parameter} parameter doesn't exist.")
        return queue


def _parse_handle(handle: object) -> tuple[str, str]:
    if not isinstance(handle, str) or not handle:
        raise missing("TaskHandle")
    try:
        document = json.loads(base64.b64decode(handle, validate=True))
        return str(document["taskId"]), str(document["sourceArn"])
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise invalid("Value for parameter TaskHandle is invalid.") from error


def _not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message, status=404)
