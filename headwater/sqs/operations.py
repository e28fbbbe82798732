"""The operations of SQS on queues and on messages, except for waiting."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from headwater.errors import ServiceError
from headwater.sqs import messages, permissions
from headwater.sqs.message import (
    Message,
    MessageAttribute,
    check_body,
    check_token,
    chosen_attributes,
    md5_of,
    md5_of_attributes,
    parse_attributes,
    parse_trace_header,
    size_of,
)
from headwater.sqs.messages import Received
from headwater.sqs.queue import (
    DATABASE,
    MAX_MESSAGE_BYTES,
    Queue,
    QueueCatalog,
    check_attributes,
    check_name,
    describe,
    invalid,
    missing,
    number_in,
    out_of_range,
    queue_name,
    texts_in,
    with_attributes,
)
from headwater.values.transaction import ReadTransaction, WriteTransaction

Request = Mapping[str, Any]

MAX_BATCH = 10
MAX_TAGS = 50
MAX_VISIBILITY_S = 43_200
_NUMBER_KEY = b"i"
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_VISIBILITY_REASON = f"Must be between 0 and {MAX_VISIBILITY_S}, if provided."
_WRONG_TYPE_REASON = "The request include parameter that is not valid for this queue type."


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends and when; `message_ids` has an unused id for each message of the request."""

    sender_id: str
    now_ms: int
    message_ids: Sequence[str]


def create_queue(transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int) -> Queue:
    """Creating a queue again with the same attributes gives the queue.

    Raises: ServiceError `QueueNameExists` if an attribute differs.
    """
    raw = request.get("Attributes") or {}
    is_fifo = isinstance(raw, Mapping) and str(raw.get("FifoQueue")).lower() == "true"
    attributes = check_attributes(raw, is_fifo=is_fifo)
    name = check_name(request.get("QueueName"), attributes)
    _check_dead_letter_queue(transaction, catalog, attributes)
    existing = catalog.find(transaction, name)
    if existing is not None:
        shown = describe(existing, catalog, ["All"], (0, 0, 0))
        for attribute, text in attributes.items():
            if shown.get(attribute) != text:
                raise ServiceError(
                    "QueueNameExists",
                    "A queue already exists with the same name and a different value for attribute " + attribute,
                )
        return existing
    stored = transaction.get(DATABASE, _NUMBER_KEY)
    number = int.from_bytes(stored, "big") + 1 if stored is not None else 1
    transaction.put(DATABASE, _NUMBER_KEY, number.to_bytes(8, "big"))
    queue = with_attributes(Queue(name, number, now_ms, now_ms), attributes, now_ms=now_ms)
    queue = replace(queue, tags=_tags(request.get("tags"), name))
    catalog.put(transaction, queue)
    return queue


def _check_dead_letter_queue(
    transaction: ReadTransaction, catalog: QueueCatalog, attributes: Mapping[str, str]
) -> None:
    policy = attributes.get("RedrivePolicy")
    arn = json.loads(policy)["deadLetterTargetArn"] if policy else None
    if arn is not None and catalog.find(transaction, queue_name(arn)) is None:
        raise out_of_range(policy, "RedrivePolicy", "Dead letter target does not exist.")


def add_permission(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    catalog.put(transaction, permissions.add_permission(queue, catalog.arn(queue.name), request, now_ms=now_ms))
    return {}


def remove_permission(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    catalog.put(transaction, permissions.remove_permission(queue, request, now_ms=now_ms))
    return {}


def delete_queue(transaction: WriteTransaction, catalog: QueueCatalog, request: Request) -> Queue:
    """The name is free at once; the messages go later, see `doomed_queues`."""
    queue = catalog.get(transaction, request.get("QueueUrl"))
    transaction.delete(DATABASE, b"q/" + queue.name.encode())
    transaction.put(DATABASE, doomed_key(queue.number), b"")
    return queue


def doomed_key(number: int) -> bytes:
    """The mark of a deleted queue whose messages are still there."""
    return b"x" + number.to_bytes(8, "big")


def doomed_queues(transaction: ReadTransaction) -> list[int]:
    """The numbers of the deleted queues whose messages are still there."""
    return [int.from_bytes(key[1:], "big") for key, _ in transaction.scan(DATABASE, b"x", b"y")]


def list_queues(
    transaction: ReadTransaction, catalog: QueueCatalog, request: Request, url_of: Callable[[str], str]
) -> dict[str, Any]:
    """Pages only if MaxResults is given."""
    prefix = str(request.get("QueueNamePrefix") or "")
    page, token = _page(request, catalog.names(transaction, prefix=prefix, after=_token(request)), 1000)
    return {"QueueUrls": [url_of(name) for name in page], **token} if page else {}


def list_source_queues(
    transaction: ReadTransaction, catalog: QueueCatalog, request: Request, url_of: Callable[[str], str]
) -> dict[str, Any]:
    """The queues whose redrive policy names a queue."""
    arn = catalog.arn(catalog.get(transaction, request.get("QueueUrl")).name)
    page, token = _page(request, list(catalog.sources(transaction, arn, after=_token(request))), None)
    return {"queueUrls": [url_of(name) for name in page], **token}


def _token(request: Request) -> str:
    return str(request.get("NextToken") or "")


def _page(request: Request, names: list[str], most: int | None) -> tuple[list[str], dict[str, str]]:
    """The first MaxResults of the names after the token, and the token of those that are left: the page's last name.

    Without MaxResults there is no token, and the page has `most` names.
    """
    limit = number_in(request, "MaxResults", 1, 1000, "Must be between 1 and 1000, if provided.")
    page = names[: limit or most]
    return page, {"NextToken": page[-1]} if limit is not None and len(names) > limit else {}


def get_attributes(
    transaction: ReadTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    counts = messages.count_messages(transaction, queue, now_ms=now_ms)
    shown = describe(queue, catalog, texts_in(request, "AttributeNames"), counts)
    return {"Attributes": shown} if shown else {}


def set_attributes(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    if not request.get("Attributes"):
        raise missing("Attribute.Name")
    changed = check_attributes(request["Attributes"], is_fifo=queue.is_fifo)
    _check_dead_letter_queue(transaction, catalog, changed)
    catalog.put(transaction, with_attributes(queue, changed, now_ms=now_ms))
    return {}


def tag_queue(transaction: WriteTransaction, catalog: QueueCatalog, request: Request) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    if not request.get("Tags"):
        raise missing("Tags")
    catalog.put(transaction, replace(queue, tags={**queue.tags, **_tags(request["Tags"], queue.name)}))
    return {}


def untag_queue(transaction: WriteTransaction, catalog: QueueCatalog, request: Request) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    gone = texts_in(request, "TagKeys")
    if not gone:
        raise invalid("Tag keys must be between 1 and 128 characters in length.")
    catalog.put(transaction, replace(queue, tags={k: v for k, v in queue.tags.items() if k not in gone}))
    return {}


def _tags(raw: object, name: str) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise invalid("Tags is a map of keys to values")
    if len(raw) > MAX_TAGS:
        raise invalid(f"Too many tags added for queue {name}.")
    return {str(key): str(value) for key, value in raw.items()}


def send_message(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, sender: Sender
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    return send(transaction, queue, *prepare(queue, request, sender, sender.message_ids[0]), sender.now_ms)


def prepare(queue: Queue, request: Request, sender: Sender, message_id: str) -> tuple[Message, int]:
    """Check one message; returns it with its delay in seconds. Raises: ServiceError."""
    body = check_body(request.get("MessageBody"))
    attributes = parse_attributes(request.get("MessageAttributes"))
    limit = queue.number_of("MaximumMessageSize")
    if size_of(body, attributes) > limit:
        what = "cannot be validated" if "Id" in request else "are invalid"
        raise invalid(f"One or more parameters {what}. Reason: Message must be shorter than {limit} bytes.")
    delay_s = number_in(request, "DelaySeconds", 0, 900, "DelaySeconds must be >= 0 and <= 900.")
    group, deduplication = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
    if queue.is_fifo:
        if delay_s:
            raise out_of_range(delay_s, "DelaySeconds", _WRONG_TYPE_REASON)
        if group is None:
            raise missing("MessageGroupId")
        if deduplication is None and not queue.is_set("ContentBasedDeduplication"):
            raise _no_deduplication()
        deduplication = sha256(body.encode()).hexdigest() if deduplication is None else deduplication
    elif deduplication is not None:
        raise out_of_range(deduplication, "MessageDeduplicationId", _WRONG_TYPE_REASON)
    message = Message(
        message_id=message_id,
        body=body,
        sent_ms=sender.now_ms,
        sender_id=sender.sender_id,
        attributes=attributes,
        trace_header=parse_trace_header(request.get("MessageSystemAttributes")),
        group_id=None if group is None else check_token(group, "MessageGroupId"),
        deduplication_id=None if deduplication is None else check_token(deduplication, "MessageDeduplicationId"),
    )
    # A FIFO queue knows no delay but its own, and takes 0 for none given.
    has_own = delay_s is None or queue.is_fifo
    return message, queue.number_of("DelaySeconds") if has_own else delay_s or 0


def send(transaction: WriteTransaction, queue: Queue, message: Message, delay_s: int, now_ms: int) -> dict[str, Any]:
    """Add a checked message; in a FIFO queue a duplicate is answered as the first one was, and not added."""
    answer: dict[str, Any] = {"MessageId": message.message_id, "MD5OfMessageBody": md5_of(message.body)}
    if message.attributes:
        answer["MD5OfMessageAttributes"] = md5_of_attributes(message.attributes)
    if message.trace_header is not None:
        header = {"AWSTraceHeader": MessageAttribute("String", text=message.trace_header)}
        answer["MD5OfMessageSystemAttributes"] = md5_of_attributes(header)
    scope = _deduplication_scope(queue, message)
    if scope is not None:
        duplicate = messages.find_duplicate(transaction, queue, scope, now_ms=now_ms)
        if duplicate is not None:
            return {**answer, "MessageId": duplicate[0], "SequenceNumber": messages.sequence_number(duplicate[1])}
    sequence = messages.enqueue(transaction, queue, message, visible_ms=now_ms + delay_s * 1000, is_delayed=delay_s > 0)
    if scope is not None:
        messages.remember_deduplication(
            transaction, queue, scope, sequence=sequence, message_id=message.message_id, now_ms=now_ms
        )
        answer["SequenceNumber"] = messages.sequence_number(sequence)
    return answer


def _deduplication_scope(queue: Queue, message: Message) -> str | None:
    if not queue.is_fifo:
        return None
    is_by_group = queue.attributes.get("DeduplicationScope") == "messageGroup"
    return f"{message.group_id}\n{message.deduplication_id}" if is_by_group else message.deduplication_id


def send_message_batch(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, sender: Sender
) -> dict[str, Any]:
    """Entries fail one by one; an entry that fails writes nothing."""
    queue = catalog.get(transaction, request.get("QueueUrl"))
    entries = check_entries(request, "SendMessageBatchRequestEntry")
    # The whole has the service's limit; the queue's own is each entry's.
    size_bytes = sum(_entry_size(entry) for entry in entries)
    if size_bytes > MAX_MESSAGE_BYTES:
        raise ServiceError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {size_bytes} bytes.",
        )
    if queue.is_fifo:
        _check_fifo_entries(queue, entries)
    ids = iter(sender.message_ids)

    def one(entry: Request) -> dict[str, Any]:
        return send(transaction, queue, *prepare(queue, entry, sender, next(ids)), sender.now_ms)

    return _each(entries, one)


def _entry_size(entry: Request) -> int:
    body = entry.get("MessageBody")
    try:
        attributes = parse_attributes(entry.get("MessageAttributes"))
    except ServiceError:  # the entry is refused by itself in a moment
        attributes = {}
    return size_of(body, attributes) if isinstance(body, str) else 0


def _check_fifo_entries(queue: Queue, entries: list[Mapping[str, Any]]) -> None:
    """What is missing in one entry of a FIFO queue fails the whole request, as recorded on the service."""
    for entry in entries:
        if entry.get("MessageGroupId") is None:
            raise invalid("The request must contain the parameter MessageGroupId.")
        if entry.get("MessageDeduplicationId") is None and not queue.is_set("ContentBasedDeduplication"):
            raise _no_deduplication()


def _no_deduplication() -> ServiceError:
    return invalid(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )


def delete_message(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    messages.delete_received(transaction, queue, request.get("ReceiptHandle"), now_ms=now_ms)
    return {}


def delete_message_batch(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))

    def one(entry: Request) -> dict[str, Any]:
        messages.delete_received(transaction, queue, entry.get("ReceiptHandle"), now_ms=now_ms)
        return {}

    return _each(check_entries(request, "DeleteMessageBatchRequestEntry"), one)


def change_visibility(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))
    _change_visibility(transaction, queue, request, now_ms)
    return {}


def change_visibility_batch(
    transaction: WriteTransaction, catalog: QueueCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    queue = catalog.get(transaction, request.get("QueueUrl"))

    def one(entry: Request) -> dict[str, Any]:
        _change_visibility(transaction, queue, entry, now_ms)
        return {}

    return _each(check_entries(request, "ChangeMessageVisibilityBatchRequestEntry"), one)


def _change_visibility(transaction: WriteTransaction, queue: Queue, request: Request, now_ms: int) -> None:
    timeout_s = number_in(request, "VisibilityTimeout", 0, MAX_VISIBILITY_S, _VISIBILITY_REASON)
    if timeout_s is None:
        raise missing("VisibilityTimeout")
    messages.change_visibility(transaction, queue, request.get("ReceiptHandle"), timeout_s=timeout_s, now_ms=now_ms)


def check_entries(request: Request, kind: str) -> list[Mapping[str, Any]]:
    """The entries of a batch. Raises: ServiceError for none, too many, or ids that are malformed or repeated."""
    entries = request.get("Entries")
    if not isinstance(entries, list) or not entries:
        raise ServiceError("EmptyBatchRequest", f"There should be at least one {kind} in the request.")
    if len(entries) > MAX_BATCH:
        raise ServiceError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MAX_BATCH}. You have sent {len(entries)}.",
        )
    seen: set[str] = set()
    for entry in entries:
        entry_id = entry.get("Id") if isinstance(entry, Mapping) else None
        if not isinstance(entry_id, str) or not _ENTRY_ID.fullmatch(entry_id):
            raise ServiceError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if entry_id in seen:
            raise ServiceError("BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")
        seen.add(entry_id)
    return entries


def _each(entries: list[Mapping[str, Any]], one: Callable[[Request], dict[str, Any]]) -> dict[str, Any]:
    successful, failed = [], []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **one(entry)})
        except ServiceError as error:
            is_senders = error.status < 500
            failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": is_senders})
    # Without failures there is no list of them, as recorded on the service.
    return {"Successful": successful, "Failed": failed} if failed else {"Successful": successful}


@dataclass(frozen=True, slots=True)
class ReceiveRequest:
    """A checked ReceiveMessage; times in seconds."""

    at_most: int
    visibility_s: int
    wait_s: int
    attribute_names: tuple[str, ...]
    message_attribute_names: tuple[str, ...]

    @classmethod
    def parse(cls, queue: Queue, request: Request) -> "ReceiveRequest":
        """Raises: ServiceError `InvalidParameterValue`."""
        at_most = number_in(request, "MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided.")
        visibility = number_in(request, "VisibilityTimeout", 0, MAX_VISIBILITY_S, _VISIBILITY_REASON)
        wait = number_in(request, "WaitTimeSeconds", 0, 20, "Must be >= 0 and <= 20, if provided.")
        attempt = request.get("ReceiveRequestAttemptId")
        if attempt is not None and not queue.is_fifo:
            raise out_of_range(attempt, "ReceiveRequestAttemptId", _WRONG_TYPE_REASON)
        if attempt is not None:
            raise ServiceError(
                "UnsupportedOperation",
                "ReceiveRequestAttemptId is not supported here: a receive that is repeated gives other messages",
            )
        names = [*texts_in(request, "AttributeNames"), *texts_in(request, "MessageSystemAttributeNames")]
        return cls(
            at_most=1 if at_most is None else at_most,
            visibility_s=queue.number_of("VisibilityTimeout") if visibility is None else visibility,
            wait_s=queue.number_of("ReceiveMessageWaitTimeSeconds") if wait is None else wait,
            attribute_names=tuple(names),
            message_attribute_names=tuple(texts_in(request, "MessageAttributeNames")),
        )


def describe_received(received: Received, asked: ReceiveRequest, queue: Queue) -> dict[str, Any]:
    """A message as ReceiveMessage answers it, with the attributes that were asked for."""
    message = received.message
    shown: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": md5_of(message.body),
        "Body": message.body,
    }
    system = {
        name: text
        for name, text in system_attributes(received, queue)
        if "All" in asked.attribute_names or name in asked.attribute_names
    }
    if system:
        shown["Attributes"] = system
    chosen = chosen_attributes(message.attributes, asked.message_attribute_names)
    if chosen:
        shown["MessageAttributes"] = {name: attribute.to_wire() for name, attribute in chosen.items()}
        shown["MD5OfMessageAttributes"] = md5_of_attributes(chosen)
    return shown


def system_attributes(received: Received, queue: Queue) -> Iterator[tuple[str, str]]:
    """Names and values of everything the service knows of a message."""
    message, state = received.message, received.state
    yield "SenderId", message.sender_id
    yield "SentTimestamp", str(message.sent_ms)
    yield "ApproximateReceiveCount", str(state.receive_count)
    yield "ApproximateFirstReceiveTimestamp", str(state.first_received_ms)
    if queue.is_fifo:
        yield "SequenceNumber", messages.sequence_number(received.sequence)
    optional = {
        "MessageDeduplicationId": message.deduplication_id,
        "MessageGroupId": message.group_id,
        "AWSTraceHeader": message.trace_header,
        "DeadLetterQueueSourceArn": message.dead_letter_source,
    }
    yield from ((name, text) for name, text in optional.items() if text is not None)
