"""The AWS JSON and CBOR protocols: request bodies to values, answers and errors to bytes."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import cbor2
import orjson

from headwater.errors import ServiceError
from headwater.values.http import HttpResponse

PLAIN_JSON = "application/json"
JSON_TYPES = ("application/x-amz-json-1.0", "application/x-amz-json-1.1", PLAIN_JSON)
CBOR_TYPE = "application/x-amz-cbor-1.1"
_MAX_CBOR_DEPTH = 64
_CORAL = "com.amazon.coral.service#"
_CORAL_CODES = frozenset(
    {
        "AccessDeniedException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SerializationException",
        "UnknownOperationException",
        "UnrecognizedClientException",
    }
)


@dataclass(frozen=True, slots=True)
class WireForm:
    """How one service spells its answers.

    `prefix` and `coral_prefix` lead the `__type` of its own and of the common errors, `query_codes` maps codes to
    those of the older query protocol, which SDKs still show to their callers. `has_long_ids`: request ids of 52
    capital letters and digits. `coral_names` are codes that the JSON protocol spells otherwise than
    the query protocol did; with `has_full_error_type` the header of an error names its namespace too.
    """

    content_type: str
    prefix: str = ""
    validation_prefix: str = ""
    coral_prefix: str = ""
    has_crc32: bool = False
    is_bodiless_without_output: bool = False
    bodiless_operations: frozenset[str] = frozenset()
    has_long_ids: bool = False
    query_codes: Mapping[str, str] | None = None
    coral_names: Mapping[str, str] = field(default_factory=dict)
    has_full_error_type: bool = False


_SQS_CODES = {
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "ReceiptHandleIsInvalid": "ReceiptHandleIsInvalid",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
    "AccessDeniedException": "AccessDenied",
}
_DYNAMODB = WireForm(
    "application/x-amz-json-1.0",
    prefix="com.amazonaws.dynamodb.v20120810#",
    validation_prefix="com.amazon.coral.validate#",
    coral_prefix=_CORAL,
    has_crc32=True,
    bodiless_operations=frozenset({"TagResource", "UntagResource"}),
    has_long_ids=True,
)
_FORMS: Mapping[str, WireForm] = {
    "DynamoDB_20120810": _DYNAMODB,
    "DynamoDBStreams_20120810": _DYNAMODB,
    "Kinesis_20131202": WireForm("application/x-amz-json-1.1", is_bodiless_without_output=True),
    "AmazonSQS": WireForm(
        "application/x-amz-json-1.0",
        prefix="com.amazonaws.sqs#",
        coral_prefix=_CORAL,
        query_codes=_SQS_CODES,
        coral_names={
            "InvalidParameterValue": "InvalidParameterValueException",
            "MissingParameter": "MissingRequiredParameterException",
        },
        has_full_error_type=True,
    ),
}
_OTHER = WireForm("application/x-amz-json-1.1")


def form_of(target_prefix: str) -> WireForm:
    """The wire form of a service; the plain one for a service that is not known."""
    return _FORMS.get(target_prefix, _OTHER)


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def decode_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Raises: ServiceError `SerializationException` unless the body is one JSON or CBOR object."""
    try:
        value = _decode_cbor(body) if content_type == CBOR_TYPE else orjson.loads(body)
    except (orjson.JSONDecodeError, cbor2.CBORError) as error:
        raise ServiceError("SerializationException", "") from error
    if not isinstance(value, dict):
        raise ServiceError("SerializationException", "")
    return value


def _decode_cbor(body: bytes) -> Any:
    # The SDKs' points in time are tag 1 with milliseconds, not the seconds of RFC 8949.
    value = cbor2.loads(body, max_depth=_MAX_CBOR_DEPTH, semantic_decoders={1: _seconds_of})
    _require_json_like(value, _MAX_CBOR_DEPTH)
    return value


def _require_json_like(value: Any, depth: int) -> None:
    """CBOR has keys, types and cycles that no service knows. Raises: ServiceError `SerializationException`."""
    is_map = type(value) is dict
    if depth < 0 or (is_map and not all(type(key) is str for key in value)):
        raise ServiceError("SerializationException", "")
    if is_map or type(value) is list:
        for item in value.values() if is_map else value:
            _require_json_like(item, depth - 1)
    elif not isinstance(value, str | bytes | int | float | None):
        raise ServiceError("SerializationException", "")


def _seconds_of(value: Any, is_immutable: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a point in time is a number, found {type(value).__name__}")
    return value / 1000


def encode_answer(
    value: Mapping[str, Any], form: WireForm, content_type: str, request_id: str, *, is_bodiless: bool = False
) -> HttpResponse:
    """An answer in the form of its request; Kinesis answers an empty body for an operation without output."""
    if is_bodiless or (not value and form.is_bodiless_without_output):
        kind = CBOR_TYPE if content_type == CBOR_TYPE else form.content_type
        checksum = (("x-amz-crc32", "0"),) if form.has_crc32 else ()
        return HttpResponse(200, (("content-type", kind), *checksum), b"", (("x-amzn-requestid", request_id),))
    return _respond(200, value, form, content_type, request_id)


_CAPITAL_MESSAGE = frozenset({"SerializationException", "AccessDeniedException", "TransactionCanceledException"})


def encode_error(error: ServiceError, form: WireForm, content_type: str, request_id: str) -> HttpResponse:
    """The error document of a service; the message's key is spelled as the service spells it."""
    is_coral = error.code in _CORAL_CODES or error.code in form.coral_names
    kind = form.coral_names.get(error.code, error.code)
    if "#" not in kind:
        prefix = form.coral_prefix if is_coral else form.prefix
        kind = (form.validation_prefix if kind == "ValidationException" else prefix) + kind
    code = kind.rpartition("#")[2]
    document: dict[str, Any] = {"__type": kind, **error.fields}
    if error.message:
        document["Message" if code in _CAPITAL_MESSAGE else "message"] = error.message
    extra: tuple[tuple[str, str], ...] = (("x-amzn-errortype", kind if form.has_full_error_type else code),)
    if form.query_codes is not None:
        fault = "Sender" if error.status < 500 else "Receiver"
        extra += (("x-amzn-query-error", f"{form.query_codes.get(error.code, error.code)};{fault}"),)
    return _respond(error.status, document, form, content_type, request_id, extra)


def encode_xml_error(error: ServiceError, request_id: str) -> HttpResponse:
    """The error document of the query protocol."""
    code = error.code.removesuffix("Exception") if error.code == "AccessDeniedException" else error.code
    text = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return xml_response(error.status, text, request_id)


def xml_response(status: int, text: str, request_id: str) -> HttpResponse:
    return HttpResponse(status, (("content-type", "text/xml"),), text.encode(), (("x-amzn-requestid", request_id),))


def _respond(
    status: int,
    value: Mapping[str, Any],
    form: WireForm,
    content_type: str,
    request_id: str,
    extra: tuple[tuple[str, str], ...] = (),
) -> HttpResponse:
    if content_type == CBOR_TYPE:
        body = cbor2.dumps(_in_milliseconds(value))
    else:
        # DynamoDB answers plain JSON to whoever sends it.
        if content_type != PLAIN_JSON or not form.has_crc32:
            content_type = form.content_type
        body = orjson.dumps(value, default=_base64_text)
    unique: tuple[tuple[str, str], ...] = (("x-amzn-requestid", request_id),)
    if form.has_crc32:
        unique += (("x-amz-crc32", str(zlib.crc32(body))),)
    return HttpResponse(status, (("content-type", content_type), *extra), body, unique)


def _base64_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"cannot answer a {type(value).__name__}")


def _in_milliseconds(value: Any) -> Any:
    """Points in time are seconds in JSON and whole milliseconds, with tag 1, in CBOR; their members' names end alike.

    Source: recorded on the service (LocalStack, test_subscribe_to_shard_with_at_timestamp_cbor).
    """
    if isinstance(value, Mapping):
        return {
            name: cbor2.CBORTag(1, round(item * 1000))
            if name.endswith("Timestamp") and isinstance(item, int | float)
            else _in_milliseconds(item)
            for name, item in value.items()
        }
    return [_in_milliseconds(item) for item in value] if isinstance(value, list) else value
