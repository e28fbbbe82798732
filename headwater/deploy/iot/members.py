"""Members of requests to the `iot` API, checked, and pages of its answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headwater.deploy.iot.limits import invalid, page_size
from headwater.deploy.iot.operations import Call

Answer = Mapping[str, Any]
Handler = Callable[[Call], Awaitable[Answer]]


def page(member: str, rows: list[Any], token_member: str, token: str) -> Answer:
    return {member: rows, token_member: token} if token else {member: rows}


def marker_of(call: Call) -> str:
    return call.query.get("marker", "")


def size_of(call: Call, name: str) -> int | None:
    return page_size(call.query.get(name, ""))


def token_of(call: Call) -> str:
    return call.query.get("nextToken", "")


def object_of(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise invalid(f"{name} is an object, found {type(value).__name__}")
    return value or {}


def text_of(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} is text, found {type(value).__name__}")
    return value


def integer_of(value: object, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise invalid(f"{name} is an integer, found {value!r}")
    return value


def number_in_query(call: Call, name: str) -> int | None:
    """A version the caller expects. Raises: ServiceError InvalidRequestException."""
    given = call.query.get(name)
    return integer_of(int(given) if given is not None and given.isdecimal() and len(given) < 20 else given, name)


def texts_of(body: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of texts. Raises: ServiceError InvalidRequestException."""
    found = object_of(body, name)
    for member in found:
        text_of(found, member)
    return {member: value for member, value in found.items() if value is not None}


def names_of(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts; empty where it is missing. Raises: ServiceError InvalidRequestException."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise invalid(f"{name} is a list of texts")
    return value
