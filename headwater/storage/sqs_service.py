"""SQS on the store: the JSON protocol, long polling, and queues as event sources."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from headwater.errors import ServiceError
from headwater.sqs import messages, operations
from headwater.sqs.message import md5_of, md5_of_attributes
from headwater.sqs.messages import Received
from headwater.sqs.move_tasks import MoveTask, MoveTasks
from headwater.sqs.operations import ReceiveRequest, Sender
from headwater.sqs.queue import DATABASE, Queue, QueueCatalog, missing, queue_name
from headwater.storage.store import Store
from headwater.values.identity import AwsPrincipal
from headwater.values.transaction import ReadTransaction, WriteTransaction

Request = Mapping[str, Any]
Writing = Callable[[WriteTransaction, QueueCatalog, Request, int], dict[str, Any]]

_SWEEP_AT_MOST = 2000
_BLOCKED_GROUP_POLL_S = 0.25
_FAILURES = {"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue"}
_WRITES: Mapping[str, Writing] = {
    "AddPermission": operations.add_permission,
    "RemovePermission": operations.remove_permission,
    "ChangeMessageVisibility": operations.change_visibility,
    "ChangeMessageVisibilityBatch": operations.change_visibility_batch,
    "DeleteMessage": operations.delete_message,
    "DeleteMessageBatch": operations.delete_message_batch,
    "SetQueueAttributes": operations.set_attributes,
    "TagQueue": lambda t, c, r, n: operations.tag_queue(t, c, r),
    "UntagQueue": lambda t, c, r, n: operations.untag_queue(t, c, r),
}
_SENDS = {"SendMessage": operations.send_message, "SendMessageBatch": operations.send_message_batch}
# After these a message may be receivable that was not before.
_WAKING = frozenset({"ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage", "DeleteMessageBatch"})


class SqsService:
    """Every answered send and delete is committed; `clock` gives epoch seconds.

    Queue URLs are `<base url>/<account>/<name>`; any URL that ends so is understood.
    """

    target_prefix = "AmazonSQS"

    def __init__(
        self,
        store: Store,
        *,
        region: str,
        account_id: str,
        clock: Callable[[], float] = time.time,
        base_url: str = "http://localhost",
    ) -> None:
        self._store = store
        self._catalog = QueueCatalog(region=region, account_id=account_id)
        self._clock = clock
        self._base_url = base_url.rstrip("/")
        self._moves = MoveTasks(self._catalog)
        self._moving: set[asyncio.Task[None]] = set()
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def set_base_url(self, base_url: str) -> None:
        """Where the endpoint listens, once that is known: it leads every queue URL."""
        self._base_url = base_url.rstrip("/")

    def queue_url(self, name: str) -> str:
        return f"{self._base_url}/{self._catalog.account_id}/{name}"

    async def call(self, operation: str, request: Request, principal: AwsPrincipal | None = None) -> dict[str, Any]:
        """One operation of the API; binary values are base64 text or bytes in the request and bytes in the answer.

        Raises: ServiceError.
        """
        if operation in _SENDS:
            return await self._send(operation, request, principal)
        if operation == "ReceiveMessage":
            return await self._receive_message(request)
        writing = _WRITES.get(operation)
        if writing is not None:
            now_ms = self._now_ms()
            answer = await self._store.write(lambda t: writing(t, self._catalog, request, now_ms))
            if operation in _WAKING:
                self._wake([queue_name(str(request.get("QueueUrl")))])
            return answer
        return await self._manage(operation, request)

    async def _manage(self, operation: str, request: Request) -> dict[str, Any]:
        catalog, now_ms = self._catalog, self._now_ms()
        if operation == "CreateQueue":
            queue = await self._store.write(lambda t: operations.create_queue(t, catalog, request, now_ms))
            return {"QueueUrl": self.queue_url(queue.name)}
        if operation == "GetQueueUrl":
            return self._get_queue_url(request)
        if operation == "ListQueues":
            return self._store.read(lambda t: operations.list_queues(t, catalog, request, self.queue_url))
        if operation == "ListDeadLetterSourceQueues":
            return self._store.read(lambda t: operations.list_source_queues(t, catalog, request, self.queue_url))
        if operation == "GetQueueAttributes":
            return self._store.read(lambda t: operations.get_attributes(t, catalog, request, now_ms))
        if operation == "ListQueueTags":
            queue = self._store.read(lambda t: catalog.get(t, request.get("QueueUrl")))
            return {"Tags": queue.tags} if queue.tags else {}
        if operation == "DeleteQueue":
            await self._store.write(lambda t: operations.delete_queue(t, catalog, request))
            await self._sweep_deleted()
            return {}
        if operation == "PurgeQueue":
            return await self._purge(request)
        return await self._manage_moves(operation, request)

    def _get_queue_url(self, request: Request) -> dict[str, Any]:
        name, owner = request.get("QueueName"), request.get("QueueOwnerAWSAccountId")
        if not name:
            raise missing("QueueName")
        if owner not in (None, self._catalog.account_id):
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        queue = self._store.read(lambda t: self._catalog.get(t, name))
        return {"QueueUrl": self.queue_url(queue.name)}

    async def _manage_moves(self, operation: str, request: Request) -> dict[str, Any]:
        if operation == "StartMessageMoveTask":
            return await self._move(request)
        if operation == "ListMessageMoveTasks":
            return self._store.read(lambda t: self._moves.list(t, request))
        if operation == "CancelMessageMoveTask":
            return self._store.read(lambda t: self._moves.cancel(t, request))
        raise ServiceError("UnknownOperationException", f"The SQS operation {operation} does not exist")

    async def send(
        self,
        queue_url_or_arn: str,
        body: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        sender_id: str = "",
        trace_header: str | None = None,
    ) -> str:
        """Send one message in process; `attributes` as in the API. Returns the message id after the commit.

        Raises: ServiceError as SendMessage does.
        """
        request: dict[str, Any] = {"QueueUrl": queue_url_or_arn, "MessageBody": body}
        if attributes:
            request["MessageAttributes"] = attributes
        if group_id is not None:
            request["MessageGroupId"] = group_id
        if deduplication_id is not None:
            request["MessageDeduplicationId"] = deduplication_id
        if trace_header:
            value = {"DataType": "String", "StringValue": trace_header}
            request["MessageSystemAttributes"] = {"AWSTraceHeader": value}
        principal = AwsPrincipal(sender_id or self._catalog.account_id, self._catalog.account_id)
        answer = await self._send("SendMessage", request, principal)
        return str(answer["MessageId"])

    async def _send(self, operation: str, request: Request, principal: AwsPrincipal | None) -> dict[str, Any]:
        entries = request.get("Entries")
        count = len(entries) if operation == "SendMessageBatch" and isinstance(entries, list) else 1
        sender = Sender(
            sender_id=principal.access_key_id if principal is not None else self._catalog.account_id,
            now_ms=self._now_ms(),
            message_ids=[str(uuid4()) for _ in range(count)],
        )
        sending = _SENDS[operation]
        answer = await self._store.write(lambda t: sending(t, self._catalog, request, sender))
        self._wake([queue_name(str(request["QueueUrl"]))])
        return answer

    async def _receive_message(self, request: Request) -> dict[str, Any]:
        queue = self._store.read(lambda t: self._catalog.get(t, request.get("QueueUrl")))
        asked = ReceiveRequest.parse(queue, request)
        received = await self.receive(
            queue.name, at_most=asked.at_most, visibility_s=asked.visibility_s, wait_s=asked.wait_s
        )
        shown = [operations.describe_received(r, asked, queue) for r in received]
        return {"Messages": shown} if shown else {}

    async def receive(self, name: str, *, at_most: int, visibility_s: int, wait_s: float) -> list[Received]:
        """Take messages, waiting for the first one up to `wait_s`.

        Raises: ServiceError `QueueDoesNotExist`.
        """
        deadline = asyncio.get_running_loop().time() + wait_s
        changed = asyncio.Event()
        unlisten = self.listen(name, changed.set)
        try:
            while True:
                changed.clear()
                # Reading costs no commit, so an empty queue is polled for nothing.
                next_ms = self._next_visible_ms(name)
                if next_ms is not None and next_ms <= self._now_ms():
                    received = await self._take(name, at_most, visibility_s)
                    if received:
                        return received
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= 0:
                    return []
                if next_ms is not None:
                    # In the past: a FIFO group has a message in flight, whose delete wakes us; its timeout does not.
                    ahead_s = next_ms / 1000 - self._clock()
                    left_s = min(left_s, ahead_s if ahead_s > 0 else _BLOCKED_GROUP_POLL_S)
                await _wait(changed, left_s)
        finally:
            unlisten()

    async def _take(self, name: str, at_most: int, visibility_s: int) -> list[Received]:
        now_ms = self._now_ms()

        def take(transaction: WriteTransaction) -> tuple[list[Received], set[str]]:
            queue = self._catalog.get(transaction, name)
            return messages.receive(
                transaction, self._catalog, queue, at_most=at_most, visibility_s=visibility_s, now_ms=now_ms
            )

        received, dead_letter_queues = await self._store.write(take)
        self._wake(dead_letter_queues)
        return received

    def queue_source(self, arn: str) -> "QueueSource":
        """A queue for an event source mapping. Raises: ServiceError `QueueDoesNotExist`."""
        queue = self._store.read(lambda t: self._catalog.get(t, arn))
        return QueueSource(self, self._catalog, queue)

    def listen(self, name: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every commit that may have made a message receivable; returns the way to stop."""
        self._listeners.setdefault(name, []).append(wake)

        def unlisten() -> None:
            listeners = self._listeners.get(name, [])
            if wake in listeners:
                listeners.remove(wake)
            if not listeners:
                self._listeners.pop(name, None)

        return unlisten

    def next_visible_s(self, name: str) -> float | None:
        """When the next message can be received, in epoch seconds; None for an empty queue."""
        next_ms = self._next_visible_ms(name)
        return None if next_ms is None else next_ms / 1000

    async def sweep(self) -> None:
        """Delete what has expired and what belonged to deleted queues, in small commits; call it now and then."""
        await self._sweep_deleted()
        for name in self._store.read(self._catalog.names):
            while await self._store.write(partial(self._drop_expired, name=name)):
                pass

    def _drop_expired(self, transaction: WriteTransaction, name: str) -> bool:
        queue = self._catalog.find(transaction, name)
        now_ms = self._now_ms()
        return queue is not None and messages.drop_expired(transaction, queue, now_ms=now_ms, at_most=_SWEEP_AT_MOST)

    async def _sweep_deleted(self) -> None:
        for number in self._store.read(operations.doomed_queues):
            while not await self._store.write(partial(_sweep_queue, number=number)):
                pass

    async def _purge(self, request: Request) -> dict[str, Any]:
        queue = self._store.read(lambda t: self._catalog.get(t, request.get("QueueUrl")))
        while not await self._store.write(lambda t: messages.purge(t, queue, at_most=_SWEEP_AT_MOST)):
            pass
        return {}

    async def _move(self, request: Request) -> dict[str, Any]:
        """Without a rate the move is done when it is answered; with one it goes on behind the answer."""
        now_ms = self._now_ms()

        def start(transaction: ReadTransaction) -> tuple[MoveTask, Queue, Queue | None]:
            source = self._moves.source(transaction, request)
            count = messages.count_messages(transaction, source, now_ms=now_ms)[0]
            return self._moves.start(transaction, request, count=count, now_ms=now_ms)

        task, source, target = self._store.read(start)
        if task.rate is None:
            await self._run_move(task, source, target)
        else:
            moving = asyncio.get_running_loop().create_task(self._run_move(task, source, target))
            self._moving.add(moving)
            moving.add_done_callback(self._moving.discard)
        return {"TaskHandle": task.handle}

    async def _run_move(self, task: MoveTask, source: Queue, target: Queue | None) -> None:
        while task.status == "RUNNING" and not self._store.is_closed:
            try:
                moved, woken = await self._store.write(
                    partial(self._move_some, source=source, target=target, at_most=task.rate or _SWEEP_AT_MOST)
                )
            except ServiceError as error:
                task.status, task.failure = "FAILED", _FAILURES.get(error.code, error.code)
                return
            self._wake(woken)
            task.moved += moved
            if not moved:
                task.status = "COMPLETED"
            elif task.rate is not None:
                await asyncio.sleep(moved / task.rate)

    def _move_some(
        self, transaction: WriteTransaction, source: Queue, target: Queue | None, at_most: int
    ) -> tuple[int, set[str]]:
        # Either may have been deleted, or made again, since the task began.
        for queue in (source, target):
            if queue is not None and self._catalog.get(transaction, queue.name).number != queue.number:
                raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return messages.move_all(transaction, self._catalog, source, target, now_ms=self._now_ms(), at_most=at_most)

    def _next_visible_ms(self, name: str) -> int | None:
        def read(transaction: ReadTransaction) -> int | None:
            return messages.next_visible_ms(transaction, self._catalog.get(transaction, name))

        return self._store.read(read)

    def _wake(self, names: Sequence[str] | set[str]) -> None:
        for name in names:
            for wake in tuple(self._listeners.get(name, ())):
                wake()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


def _sweep_queue(transaction: WriteTransaction, number: int) -> bool:
    gone = Queue(name="", number=number, created_ms=0, modified_ms=0)
    is_done = messages.purge(transaction, gone, at_most=_SWEEP_AT_MOST)
    if is_done:
        transaction.delete(DATABASE, b"n" + number.to_bytes(8, "big"))
        transaction.delete(DATABASE, operations.doomed_key(number))
    return is_done


class QueueSource:
    """One queue as an event source mapping reads it."""

    kind: Literal["sqs"] = "sqs"

    def __init__(self, service: SqsService, catalog: QueueCatalog, queue: Queue) -> None:
        self._service = service
        self._region = catalog.region
        self._queue = queue
        self.arn = catalog.arn(queue.name)
        self.is_fifo = queue.is_fifo
        self.visibility_timeout_s = queue.number_of("VisibilityTimeout")

    async def receive(
        self, max_messages: int, visibility_timeout_s: int | None = None, *, wait_s: float = 0.0
    ) -> list[dict[str, Any]]:
        """Up to `max_messages` (10 at most in one call) as records of the Lambda event."""
        visibility_s = self.visibility_timeout_s if visibility_timeout_s is None else visibility_timeout_s
        received = await self._service.receive(
            self._queue.name, at_most=min(max_messages, 10), visibility_s=visibility_s, wait_s=wait_s
        )
        return [self._record(r) for r in received]

    async def delete(self, receipt_handles: Sequence[str]) -> None:
        """Delete messages that were processed; a handle that is out of date has no effect."""
        await self._batches("DeleteMessageBatch", [{"ReceiptHandle": h} for h in receipt_handles])

    async def change_visibility(self, receipt_handles: Sequence[str], timeout_s: int) -> None:
        """Hide messages for another while, or with 0 give them back; a handle that is out of date has no effect."""
        entries = [{"ReceiptHandle": h, "VisibilityTimeout": timeout_s} for h in receipt_handles]
        await self._batches("ChangeMessageVisibilityBatch", entries)

    def next_visible_s(self) -> float | None:
        """When the next message can be received, in epoch seconds; None for an empty queue."""
        return self._service.next_visible_s(self._queue.name)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every commit that may have made a message receivable; returns the way to stop."""
        return self._service.listen(self._queue.name, wake)

    async def _batches(self, operation: str, entries: list[dict[str, Any]]) -> None:
        for start in range(0, len(entries), 10):
            batch = [{"Id": str(n), **entry} for n, entry in enumerate(entries[start : start + 10])]
            await self._service.call(operation, {"QueueUrl": self.arn, "Entries": batch})

    def _record(self, received: Received) -> dict[str, Any]:
        message = received.message
        digest = {"md5OfMessageAttributes": md5_of_attributes(message.attributes)} if message.attributes else {}
        return {
            "messageId": message.message_id,
            "receiptHandle": received.receipt_handle,
            "body": message.body,
            "attributes": dict(operations.system_attributes(received, self._queue)),
            "messageAttributes": {name: a.to_event() for name, a in message.attributes.items()},
            **digest,
            "md5OfBody": md5_of(message.body),
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": self._region,
        }
