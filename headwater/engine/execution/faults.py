"""The `errors` entries of a response, member by member as the service orders them."""

from typing import Any

from headwater.errors import RequestError

# A path as it grows: (parent path, response key or list index); None is the root.
FieldPath = tuple[Any, str | int]
Path = FieldPath | None


def path_list(path: Path) -> list[str | int]:
    """The path as `errors[].path` has it."""
    parts: list[str | int] = []
    while path is not None:
        path, key = path
        parts.append(key)
    return parts[::-1]


def path_text(path: Path) -> str:
    """The path as messages print it: `/listTodos/items[0]/createdAt`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f"/{part}" for part in path_list(path))


def field_error(path: Path, location: dict[str, Any], error: RequestError) -> dict[str, Any]:
    """What a resolver raised, or a field refused."""
    return {
        "path": path_list(path),
        "data": error.data,
        "errorType": error.error_type,
        "errorInfo": error.error_info,
        "locations": [location],
        "message": error.message,
    }


def completion_error(path: Path, message: str) -> dict[str, Any]:
    """A value that does not fit its type; the service sends no location and no errorType with these."""
    return {"path": path_list(path), "locations": None, "message": message}


def request_error(message: str, error_type: str) -> dict[str, Any]:
    """A fault of the whole request."""
    return {"errorType": error_type, "message": message}


def channel_error(error: RequestError) -> dict[str, Any]:
    """What a subscription's resolver raised or appended, as the real-time channel has it: without path and location."""
    entry: dict[str, Any] = {} if error.error_type is None else {"errorType": error.error_type}
    entry["message"] = error.message
    if error.data is not None:
        entry["data"] = error.data
    if error.error_info is not None:
        entry["errorInfo"] = error.error_info
    return entry


def document_error(message: str, locations: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A document or variables that do not validate."""
    return {"path": None, "locations": locations, "message": message}
