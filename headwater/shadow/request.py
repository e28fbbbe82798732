"""What clients send to the Device Shadow service, held to its limits.

Source: AWS IoT Core Developer Guide, "Device Shadow service documents" and "Device Shadow error messages"; AWS IoT
quotas, "Device Shadow service".
"""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NoReturn

MAXIMUM_STATE_BYTES: Final = 8 * 1024
MAXIMUM_DEPTH: Final = 8
MAXIMUM_TOKEN_BYTES: Final = 64
# A request holds both sections, names and a token; whatever is longer is refused before it is read.
_MAXIMUM_REQUEST_BYTES = 64 * 1024
_SECTIONS = ("desired", "reported")


class ShadowError(Exception):
    """A refused request: the code and the message of an error response document."""

    def __init__(self, code: int, message: str, token: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.token = token


@dataclass(frozen=True, slots=True)
class Update:
    """A checked update: `sections` holds what was sent of desired and reported, None for a section to remove."""

    sections: dict[str, dict[str, Any] | None]
    version: int | None
    token: str | None


def check_token(payload: bytes) -> str | None:
    """The client token of a get or delete request, whose content does not matter otherwise.

    Raises: ShadowError 400.
    """
    if not payload.strip():
        return None
    document = _read(payload)
    return _token(document) if isinstance(document, dict) else None


def parse_update(payload: bytes) -> Update:
    """Raises: ShadowError 400, 413 or 415."""
    if len(payload) > _MAXIMUM_REQUEST_BYTES:
        raise ShadowError(413, "The payload exceeds the maximum size allowed")
    document = _read(payload)
    if not isinstance(document, dict):
        raise ShadowError(400, "Invalid JSON")
    token = _token(document)
    try:
        return Update(_sections(document), _version(document), token)
    except ShadowError as error:
        error.token = token
        raise


def _read(payload: bytes) -> Any:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise ShadowError(415, "Unsupported documented encoding; supported encoding is UTF-8") from None
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_float)
    except (ValueError, RecursionError):
        raise ShadowError(400, "Invalid JSON") from None


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON value")


def _float(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _token(document: dict[str, Any]) -> str | None:
    token = document.get("clientToken")
    if token is None:
        return None
    try:
        if isinstance(token, str) and len(token.encode()) <= MAXIMUM_TOKEN_BYTES:
            return token
    except UnicodeEncodeError:
        pass
    raise ShadowError(400, "Invalid clientToken")


def _version(document: dict[str, Any]) -> int | None:
    version = document.get("version")
    if version is not None and (type(version) is not int or version < 0):
        raise ShadowError(400, "Invalid version")
    return version


def _sections(document: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
    if "state" not in document:
        raise ShadowError(400, "Missing required node: state")
    state = document["state"]
    if not isinstance(state, dict):
        raise ShadowError(400, "State node must be an object")
    for name in state:
        if name not in _SECTIONS:
            raise ShadowError(400, f"State contains an invalid node: '{name[:64]}'")
    sections: dict[str, dict[str, Any] | None] = {}
    for name in _SECTIONS:
        section = state.get(name)
        if section is not None and not isinstance(section, dict):
            raise ShadowError(400, f"{name.capitalize()} node must be an object")
        if section is not None:
            _check_values(section)
        if name in state:
            sections[name] = section
    return sections


def _check_values(section: dict[str, Any]) -> None:
    level: list[Any] = [section]
    for _ in range(MAXIMUM_DEPTH):
        below: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            if isinstance(node, list) and any(child is None for child in node):
                raise ShadowError(400, "State contains an invalid node: arrays can't have null values")
            below.extend(child for child in children if isinstance(child, (dict, list)))
        if not below:
            return
        level = below
    raise ShadowError(400, f"JSON contains too many levels of nesting; maximum is {MAXIMUM_DEPTH}")


def size_of(sections: dict[str, Any]) -> int:
    """Bytes of desired and reported as JSON; metadata do not count."""
    return sum(len(_compact(section)) for section in sections.values())


def _compact(value: Any) -> bytes:
    # Lone surrogates, which JSON text may escape, cannot be encoded and are refused as what they are: no UTF-8.
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ShadowError(415, "Unsupported documented encoding; supported encoding is UTF-8") from None
