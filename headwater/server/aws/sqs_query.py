"""The query protocol of SQS, which SDKs of before November 2023 speak: forms in, XML out.

Source: SQS API Reference, version 2012-11-05; names of lists as in botocore 1.29's model.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from headwater.errors import ServiceError
from headwater.server.aws.wire import form_of, xml_response
from headwater.values.http import HttpRequest, HttpResponse

NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
MAX_PARAMETERS = 5000
_TARGET = "AmazonSQS"
_NUMBERS = frozenset(
    {
        "DelaySeconds",
        "MaxNumberOfMessages",
        "MaxNumberOfMessagesPerSecond",
        "MaxResults",
        "VisibilityTimeout",
        "WaitTimeSeconds",
    }
)
# The flattened name in a form, and the member of the JSON protocol.
_LISTS = {
    "AWSAccountId": "AWSAccountIds",
    "ActionName": "Actions",
    "AttributeName": "AttributeNames",
    "MessageAttributeName": "MessageAttributeNames",
    "MessageSystemAttributeName": "MessageSystemAttributeNames",
    "TagKey": "TagKeys",
}
_MAPS = {
    "Attribute": ("Attributes", "Name"),
    "MessageAttribute": ("MessageAttributes", "Name"),
    "MessageSystemAttribute": ("MessageSystemAttributes", "Name"),
    "Tag": ("Tags", "Key"),
}
_EMPTY = frozenset({*_LISTS.values(), *(member for member, _ in _MAPS.values()), "Entries"})
_ENTRIES = "RequestEntry"
# What a queue's own URL does not answer.
_NOT_OF_A_QUEUE = frozenset({"CreateQueue", "ListQueues"})
Tree = dict[str, Any]


def parse_request(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """The operation and its request as the JSON protocol has it; the queue may be named by the path.

    Raises: ServiceError `MissingAction`, `MalformedQueryString`.
    """
    try:
        pairs = parse_qsl(request.raw_query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        pairs += parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise ServiceError("MalformedQueryString", f"The form cannot be read: {error}") from error
    tree: Tree = {}
    for name, value in pairs:
        _insert(tree, name.split("."), value)
    operation = tree.get("Action")
    if not isinstance(operation, str) or not operation:
        raise ServiceError("MissingAction", "The request must contain the parameter Action.")
    if operation in _NOT_OF_A_QUEUE and request.raw_path.count("/") >= 2:
        raise _no_action(operation)
    body = _members(tree)
    if operation == "CreateQueue" and "Tags" in body:
        body["tags"] = body.pop("Tags")
    if "QueueUrl" not in body and request.raw_path.count("/") >= 2:
        body["QueueUrl"] = request.raw_path
    return operation, body


def _insert(tree: Tree, path: list[str], value: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise ServiceError("MalformedQueryString", f"{step} is given as a value and as a structure")
    if isinstance(tree.get(path[-1]), dict):
        raise ServiceError("MalformedQueryString", f"{path[-1]} is given as a value and as a structure")
    tree[path[-1]] = value


def _members(tree: Tree) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in tree.items():
        if value == "" and name in _EMPTY:
            continue  # how botocore writes a list or a map without elements
        if name in _LISTS:
            members[_LISTS[name]] = list(_numbered(value))
        elif name in _MAPS:
            member, key = _MAPS[name]
            entries = [entry for entry in _numbered(value) if isinstance(entry, dict)]
            members[member] = {str(entry.get(key, "")): entry.get("Value", "") for entry in entries}
        elif name.endswith(_ENTRIES):
            members["Entries"] = [_members(entry) for entry in _numbered(value) if isinstance(entry, dict)]
        else:
            members[name] = _number(value) if name in _NUMBERS else value
    return members


def _numbered(value: object) -> Iterator[Any]:
    """The elements of a flattened list in their order."""
    if not isinstance(value, dict) or not all(key.isascii() and key.isdecimal() for key in value):
        raise ServiceError("MalformedQueryString", "The elements of a list are numbered from 1")
    yield from (value[key] for key in sorted(value, key=lambda key: int(key[:9])))


def _number(value: object) -> object:
    text = str(value)
    return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdecimal() and len(text) < 12 else value


def encode_answer(operation: str, answer: Mapping[str, Any], request_id: str) -> HttpResponse:
    """The XML document of an answer; an operation without output has no result element."""
    inner = "".join(_elements(operation, answer))
    result = f"<{operation}Result>{inner}</{operation}Result>" if answer else ""
    if operation in ("ReceiveMessage", "ListQueues", "ListQueueTags", "GetQueueAttributes") and not answer:
        result = f"<{operation}Result/>"
    text = (
        f'<?xml version="1.0"?><{operation}Response xmlns="{NAMESPACE}">{result}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return xml_response(200, text, request_id)


def _no_action(operation: str) -> ServiceError:
    return ServiceError("InvalidAction", f"The action {operation} is not valid for this endpoint.")


def encode_error(error: ServiceError, request_id: str, operation: str = "") -> HttpResponse:
    """The error document, with the codes and words of the query protocol."""
    codes = form_of(_TARGET).query_codes or {}
    code, message = codes.get(error.code, error.code), error.message
    if error.code == "QueueDoesNotExist":
        message = "The specified queue does not exist for this wsdl version."
    elif error.code == "UnknownOperationException":
        return encode_error(_no_action(operation), request_id)
    kind = "Sender" if error.status < 500 else "Receiver"
    text = (
        f'<?xml version="1.0"?><ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{kind}</Type><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message><Detail/></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return xml_response(error.status, text, request_id)


def _elements(operation: str, members: Mapping[str, Any]) -> Iterator[str]:
    lists: Mapping[str, str] = {
        "Successful": f"{operation}ResultEntry",
        "Failed": "BatchResultErrorEntry",
        "Messages": "Message",
        "QueueUrls": "QueueUrl",
        "queueUrls": "QueueUrl",
        "Results": "ListMessageMoveTasksResultEntry",
    }
    for name, value in members.items():
        if name in lists:
            for item in value:
                inner = "".join(_elements(operation, item)) if isinstance(item, Mapping) else escape(_text(item))
                yield f"<{lists[name]}>{inner}</{lists[name]}>"
        elif name in ("Attributes", "Tags"):
            tag, key = ("Tag", "Key") if name == "Tags" else ("Attribute", "Name")
            for item, text in value.items():
                yield f"<{tag}><{key}>{escape(item)}</{key}><Value>{_escaped(text)}</Value></{tag}>"
        elif name == "MessageAttributes":
            for item, attribute in value.items():
                inner = "".join(_elements(operation, attribute))
                yield f"<MessageAttribute><Name>{escape(item)}</Name><Value>{inner}</Value></MessageAttribute>"
        else:
            yield f"<{name}>{_escaped(value)}</{name}>"


def _escaped(value: object) -> str:
    # A parser makes a line feed of a carriage return that is not written as a reference.
    return escape(_text(value), {"\r": "&#xD;", '"': "&quot;"})


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
