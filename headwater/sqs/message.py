"""An SQS message: what may be in it, its checksums, and how a receiver sees it."""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import ServiceError
from headwater.sqs.queue import invalid, missing

MAX_ATTRIBUTES = 10
_ALL_ATTRIBUTES = frozenset({"All", ".*", "*"})
_BAD_TEXT = re.compile(r"[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_ATTRIBUTE_NAME = re.compile(r"(?!(?:aws|amazon)\.)(?!.*\.\.)[\w-](?:[\w.-]{0,254}[\w-])?", re.I)
_ATTRIBUTE_TYPE = re.compile(r"(String|Number|Binary)(\..{1,249})?")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_TOKEN = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


@dataclass(frozen=True, slots=True)
class MessageAttribute:
    """One attribute; exactly one of the two values is there."""

    data_type: str
    text: str | None = None
    data: bytes | None = None

    @property
    def size_bytes(self) -> int:
        value = self.data if self.data is not None else (self.text or "").encode()
        return len(self.data_type) + len(value)

    def to_wire(self) -> dict[str, Any]:
        if self.data is not None:
            return {"DataType": self.data_type, "BinaryValue": self.data}
        return {"DataType": self.data_type, "StringValue": self.text}

    def to_event(self) -> dict[str, Any]:
        """As a Lambda function sees it."""
        event: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": self.data_type}
        if self.data is not None:
            event["binaryValue"] = base64.b64encode(self.data).decode()
        else:
            event["stringValue"] = self.text
        return event


@dataclass(frozen=True, slots=True)
class Message:
    """What a sender sent; none of it changes while the message is in a queue."""

    message_id: str
    body: str
    sent_ms: int
    sender_id: str
    attributes: dict[str, MessageAttribute] = field(default_factory=dict)
    trace_header: str | None = None
    group_id: str | None = None
    deduplication_id: str | None = None
    dead_letter_source: str | None = None


def check_body(body: object) -> str:
    """Raises: ServiceError `MissingParameter`, `InvalidMessageContents`."""
    if not isinstance(body, str) or not body:
        raise missing("MessageBody")
    if _BAD_TEXT.search(body):
        raise ServiceError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    return body


def parse_attributes(raw: object) -> dict[str, MessageAttribute]:
    """The `MessageAttributes` of a request. Raises: ServiceError `InvalidParameterValue`."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ServiceError("SerializationException", "MessageAttributes is a map")
    if len(raw) > MAX_ATTRIBUTES:
        raise invalid(f"Number of message attributes [{len(raw)}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].")
    return {name: _parse_attribute(name, value) for name, value in raw.items()}


def _parse_attribute(name: str, raw: Any) -> MessageAttribute:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise invalid(
            f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore "
            "(_), hyphen (-), and period (.) characters."
        )
    if not isinstance(raw, Mapping) or not isinstance(raw.get("DataType"), str) or not raw["DataType"]:
        raise invalid(f"The message attribute '{name}' must contain non-empty message attribute type.")
    kind = _ATTRIBUTE_TYPE.fullmatch(raw["DataType"])
    if kind is None:
        raise invalid(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
            "prefixes is Binary, Number, and String."
        )
    value = raw.get("BinaryValue" if kind[1] == "Binary" else "StringValue")
    if not value:
        raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind[1]}'.")
    if kind[1] == "Binary":
        return MessageAttribute(raw["DataType"], data=_blob(name, value))
    if not isinstance(value, str) or _BAD_TEXT.search(value):
        raise invalid(f"The message attribute '{name}' has an invalid value.")
    if kind[1] == "Number" and not _NUMBER.fullmatch(value):
        raise invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return MessageAttribute(raw["DataType"], text=value)


def _blob(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"The message attribute '{name}' has a binary value that is not base64.") from error


def parse_trace_header(raw: object) -> str | None:
    """The one message system attribute that a sender may set. Raises: ServiceError `InvalidParameterValue`."""
    if not raw:
        return None
    if not isinstance(raw, Mapping) or set(raw) != {"AWSTraceHeader"}:
        raise invalid("Message system attribute names other than AWSTraceHeader are not supported.")
    value = raw["AWSTraceHeader"]
    text = value.get("StringValue") if isinstance(value, Mapping) else None
    if not isinstance(text, str) or not text:
        raise invalid("The message system attribute 'AWSTraceHeader' must contain a non-empty String value.")
    return text


def check_token(value: object, parameter: str) -> str:
    """A group or deduplication id. Raises: ServiceError `InvalidParameterValue`."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise invalid(
            f"Value {value} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric "
            "and punctuation characters. 1 to 128 in length."
        )
    return value


def size_of(body: str, attributes: Mapping[str, MessageAttribute]) -> int:
    """Bytes that count against the maximum: the body, and name, type and value of each attribute."""
    return len(body.encode()) + sum(len(name.encode()) + a.size_bytes for name, a in attributes.items())


def md5_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, MessageAttribute]) -> str:
    """Source: SQS Developer Guide, "Calculating the MD5 message digest for message attributes"."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for text in (name, attribute.data_type):
            digest.update(_framed(text.encode()))
        is_binary = attribute.data is not None
        digest.update(b"\x02" if is_binary else b"\x01")
        digest.update(_framed(attribute.data if attribute.data is not None else (attribute.text or "").encode()))
    return digest.hexdigest()


def _framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def chosen_attributes(attributes: Mapping[str, MessageAttribute], wanted: Sequence[str]) -> dict[str, MessageAttribute]:
    """Those a receiver asked for: `All`, `.*`, `*`, a name, or a prefix followed by `.*`."""
    if not _ALL_ATTRIBUTES.isdisjoint(wanted):
        return dict(attributes)
    prefixes = tuple(n[:-2] for n in wanted if n.endswith(".*"))
    return {n: a for n, a in attributes.items() if n in wanted or (prefixes and n.startswith(prefixes))}
