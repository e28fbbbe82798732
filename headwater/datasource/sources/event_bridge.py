"""The EventBridge data source: PutEvents on one event bus."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from headwater.datasource.ports import SourceCall, malformed, require, unsupported_operation
from headwater.errors import DataSourceError, ServiceError

PutEvents = Callable[[list[dict[str, Any]]], Awaitable[dict[str, Any]]]

MAX_EVENTS = 10
MEMBERS = {"source": "Source", "detailType": "DetailType", "resources": "Resources", "time": "Time"}


class EventBridgeSource:
    """`put_events` takes the entries of EventBridge's PutEvents and answers as it does."""

    def __init__(self, put_events: PutEvents, event_bus_arn: str) -> None:
        self._put_events = put_events
        self._event_bus_arn = event_bus_arn

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """`{"Entries": [{"EventId"} | {"ErrorCode", "ErrorMessage"}], "FailedEntryCount"}` of 1 to 10 events."""
        operation = require(request, "operation", str)
        if operation != "PutEvents":
            raise unsupported_operation(operation, ("PutEvents",))
        events = require(request, "events", list)
        if not 1 <= len(events) <= MAX_EVENTS:
            raise malformed(f"PutEvents takes 1 to {MAX_EVENTS} events, not {len(events)}.")
        entries = [self._entry(event, f"$[events][{position}]") for position, event in enumerate(events)]
        try:
            reply = await self._put_events(entries)
        except ServiceError as error:
            raise DataSourceError(error.message, f"EventBridge:{error.code}") from error
        return {"Entries": reply.get("Entries", []), "FailedEntryCount": reply.get("FailedEntryCount", 0)}

    def _entry(self, event: Any, path: str) -> dict[str, Any]:
        require(event, "source", str, path)
        require(event, "detailType", str, path)
        entry = {wire: event[name] for name, wire in MEMBERS.items() if event.get(name) is not None}
        entry["Detail"] = orjson.dumps(require(event, "detail", dict, path)).decode()
        entry["EventBusName"] = self._event_bus_arn
        return entry
