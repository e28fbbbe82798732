"""The NONE data source: what the request handler asks is what it gets."""

from typing import Any

from headwater.datasource.ports import SourceCall, not_an_object


class NoneSource:
    """Answers `{"payload": X}` with X."""

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """See payload_of."""
        return payload_of(request)


def payload_of(request: Any) -> Any:
    """The payload; a request without one gives null. Raises: RequestError for anything but an object or null."""
    if request is None:
        return None
    if not isinstance(request, dict):
        raise not_an_object(request, "$")
    return request.get("payload")
