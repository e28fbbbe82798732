"""A queue as it is stored, and the rules of its attributes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from headwater.errors import ServiceError
from headwater.values.arn import is_arn
from headwater.values.transaction import ReadTransaction, WriteTransaction

DATABASE = "sqs"
MAX_MESSAGE_BYTES = 1_048_576

_MAX_NAME = 80
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
# Attribute to its default and its range; source: API Reference, SetQueueAttributes.
_NUMBERS: Mapping[str, tuple[int, int, int]] = {
    "VisibilityTimeout": (30, 0, 43_200),
    "MessageRetentionPeriod": (345_600, 60, 1_209_600),
    "MaximumMessageSize": (MAX_MESSAGE_BYTES, 1024, MAX_MESSAGE_BYTES),
    "DelaySeconds": (0, 0, 900),
    "ReceiveMessageWaitTimeSeconds": (0, 0, 20),
    "KmsDataKeyReusePeriodSeconds": (300, 60, 86_400),
}
_SHOWN_NUMBERS = tuple(name for name in _NUMBERS if name != "KmsDataKeyReusePeriodSeconds")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "FifoQueue": ("true", "false"),
    "ContentBasedDeduplication": ("true", "false"),
    "SqsManagedSseEnabled": ("true", "false"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_THROUGHPUT = frozenset({"DeduplicationScope", "FifoThroughputLimit"})
_FIFO_ONLY = frozenset({"ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"})
_DOCUMENTS = frozenset({"Policy", "RedriveAllowPolicy", "RedrivePolicy"})
_TEXTS = frozenset({"KmsMasterKeyId"})
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
_COMPUTED = (*_COUNTS, "CreatedTimestamp", "LastModifiedTimestamp", "QueueArn")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's metadata; `attributes` holds what was set, as text; `number` is unique among all queues ever."""

    name: str
    number: int
    created_ms: int
    modified_ms: int
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def is_fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def number_of(self, attribute: str) -> int:
        """The value of a numeric attribute, set or default."""
        value = self.attributes.get(attribute)
        return int(value) if value is not None else _NUMBERS[attribute][0]

    def is_set(self, attribute: str) -> bool:
        return self.attributes.get(attribute) == "true"

    def redrive(self) -> tuple[str, int] | None:
        """The ARN of the dead-letter queue and the receives a message may have; None without a redrive policy."""
        text = self.attributes.get("RedrivePolicy")
        if not text:
            return None
        policy = json.loads(text)
        return policy["deadLetterTargetArn"], int(policy["maxReceiveCount"])


class QueueCatalog:
    """Reads and writes queues; a queue that did not change since is not decoded again."""

    def __init__(self, *, region: str, account_id: str) -> None:
        self.region = region
        self.account_id = account_id
        self._decoder = msgspec.json.Decoder(Queue)
        self._queues: dict[str, tuple[bytes, Queue]] = {}

    def arn(self, name: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account_id}:{name}"

    def find(self, transaction: ReadTransaction, name: str) -> Queue | None:
        if len(name) > _MAX_NAME:
            return None  # above what a key may be long
        raw = transaction.get(DATABASE, b"q/" + name.encode())
        if raw is None:
            self._queues.pop(name, None)
            return None
        cached = self._queues.get(name)
        if cached is None or cached[0] != raw:
            cached = self._queues[name] = (raw, self._decoder.decode(raw))
        return cached[1]

    def get(self, transaction: ReadTransaction, url_or_arn: object) -> Queue:
        """Raises: ServiceError `QueueDoesNotExist`, `MissingParameter`."""
        if not isinstance(url_or_arn, str) or not url_or_arn:
            raise missing("QueueUrl")
        found = self.find(transaction, queue_name(url_or_arn))
        if found is None:
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return found

    def put(self, transaction: WriteTransaction, queue: Queue) -> None:
        transaction.put(DATABASE, b"q/" + queue.name.encode(), msgspec.json.encode(queue))

    def names(self, transaction: ReadTransaction, *, prefix: str = "", after: str = "") -> list[str]:
        """All names with a prefix, above `after`, sorted."""
        start = b"q/" + (after[:_MAX_NAME].encode() + b"\x00" if after else prefix[:_MAX_NAME].encode())
        names = (key[2:].decode() for key, _ in transaction.scan(DATABASE, start, b"q0"))
        return [name for name in names if name.startswith(prefix)]

    def sources(self, transaction: ReadTransaction, dead_letter_arn: str, *, after: str = "") -> Iterator[str]:
        """The names, above `after` and sorted, of the queues whose redrive policy names a queue."""
        for name in self.names(transaction, after=after):
            queue = self.find(transaction, name)
            redrive = queue.redrive() if queue is not None else None
            if redrive is not None and redrive[0] == dead_letter_arn:
                yield name


def queue_name(url_or_arn: str) -> str:
    """The name in a queue URL, whatever host it names, or in an ARN."""
    return url_or_arn.rsplit(":", 1)[-1] if is_arn(url_or_arn) else url_or_arn.rstrip("/").rsplit("/", 1)[-1]


def check_name(name: object, attributes: Mapping[str, str]) -> str:
    """Raises: ServiceError for a name out of shape, or one that does not suit the queue's type."""
    is_fifo = attributes.get("FifoQueue") == "true"
    if not isinstance(name, str):
        raise missing("QueueName")
    if not is_fifo and not _NAME.fullmatch(name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    if is_fifo and not (_NAME.fullmatch(name) and name.endswith(".fifo")):
        raise invalid(
            "The queue name of a FIFO queue can only include alphanumeric characters, hyphens, or "
            "underscores, must end with .fifo suffix and be 1 to 80 in length."
        )
    if name.endswith(".fifo") and not is_fifo:
        raise invalid("The name of a FIFO queue can only end with .fifo if its attribute FifoQueue is true")
    return name


def check_attributes(attributes: object, *, is_fifo: bool) -> dict[str, str]:
    """The attributes of a request as text.

    Raises: ServiceError `InvalidAttributeName`, `InvalidAttributeValue`.
    """
    if attributes is None:
        return {}
    if not isinstance(attributes, Mapping):
        raise ServiceError("SerializationException", "Attributes is a map of strings")
    checked = {}
    for name, value in attributes.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if name in _CHOICES and text.lower() in ("true", "false"):
            text = text.lower()
        _check_attribute(name, text)
        if name in _THROUGHPUT and not is_fifo:
            message = f"You can specify the {name} only when FifoQueue is set to true."
            raise ServiceError("InvalidAttributeName", message)
        if (name == "FifoQueue" or name in _FIFO_ONLY) and not is_fifo:
            raise ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")
        if name == "FifoQueue" and text == "false":
            message = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
            raise ServiceError("InvalidAttributeValue", message)
        if name == "RedrivePolicy" and text:
            policy = json.loads(text)
            text = json.dumps({**policy, "maxReceiveCount": int(policy["maxReceiveCount"])})
        checked[name] = text
    return checked


def _check_attribute(name: str, text: str) -> None:
    is_right = True
    if name in _NUMBERS:
        _, low, high = _NUMBERS[name]
        is_right = text.isascii() and text.isdecimal() and low <= int(text[:9]) <= high
    elif name in _CHOICES:
        is_right = text in _CHOICES[name]
    elif name == "RedrivePolicy":
        is_right = not text or _is_redrive_policy(text)
    elif name in _DOCUMENTS:
        is_right = not text or isinstance(_json(text), dict)
    elif name not in _TEXTS:
        raise ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")
    if not is_right:
        raise ServiceError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")


def _is_redrive_policy(text: str) -> bool:
    policy = _json(text)
    if not isinstance(policy, dict) or not is_arn(str(policy.get("deadLetterTargetArn", ""))):
        return False
    count = str(policy.get("maxReceiveCount", ""))
    return count.isascii() and count.isdecimal() and 1 <= int(count[:5]) <= 1000


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def with_attributes(queue: Queue, changed: Mapping[str, str], *, now_ms: int) -> Queue:
    """The queue with attributes set; an empty document or key removes its attribute."""
    merged = {**queue.attributes, **changed}
    if changed.get("KmsMasterKeyId"):
        merged["SqsManagedSseEnabled"] = "false"  # a queue has one kind of encryption
    kept = {name: text for name, text in merged.items() if text or name not in _DOCUMENTS | _TEXTS}
    return replace(queue, attributes=kept, modified_ms=now_ms)


def describe(queue: Queue, catalog: QueueCatalog, wanted: list[str], counts: tuple[int, int, int]) -> dict[str, str]:
    """The attributes a request names; `counts` are visible, in flight and delayed messages.

    Raises: ServiceError `InvalidAttributeName`.
    """
    shown: dict[str, str] = {name: str(queue.number_of(name)) for name in _SHOWN_NUMBERS}
    shown |= dict(zip(_COUNTS, map(str, counts), strict=True))
    shown |= {
        "QueueArn": catalog.arn(queue.name),
        "CreatedTimestamp": str(queue.created_ms // 1000),
        "LastModifiedTimestamp": str(queue.modified_ms // 1000),
        "SqsManagedSseEnabled": "true",
    }
    if queue.is_fifo:
        shown |= {
            "FifoQueue": "true",
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "queue",
            "FifoThroughputLimit": "perQueue",
        }
    shown |= queue.attributes
    if "KmsMasterKeyId" not in shown:
        shown.pop("KmsDataKeyReusePeriodSeconds", None)
    known = {"All", *_NUMBERS, *_CHOICES, *_DOCUMENTS, *_TEXTS, *_COMPUTED}
    for name in wanted:
        if name not in known:
            raise ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")
    return {name: text for name, text in shown.items() if "All" in wanted or name in wanted}


def texts_in(request: Mapping[str, Any], parameter: str) -> list[str]:
    """An optional list of strings of a request. Raises: ServiceError `SerializationException`."""
    value = request.get(parameter)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ServiceError("SerializationException", f"{parameter} is a list of strings")
    return value


def invalid(message: str) -> ServiceError:
    """The error for a parameter with a wrong value."""
    return ServiceError("InvalidParameterValue", message)


def missing(parameter: str) -> ServiceError:
    """The error for a parameter that is not there."""
    return ServiceError("MissingParameter", f"The request must contain the parameter {parameter}.")


def out_of_range(value: object, parameter: str, reason: str) -> ServiceError:
    return invalid(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def number_in(request: Mapping[str, Any], parameter: str, low: int, high: int, reason: str) -> int | None:
    """An optional integer of a request within limits. Raises: ServiceError `InvalidParameterValue`."""
    value = request.get(parameter)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise out_of_range(value, parameter, reason)
    return value
