"""The EventBridge data source puts events on its bus."""

from typing import Any

import pytest

from headwater.datasource import EventBridgeSource, SourceCall
from headwater.errors import RequestError

CALL = SourceCall("Mutation.notify")
EVENT = {"source": "app", "detailType": "Order", "detail": {"id": 1}, "resources": ["arn:x"]}


async def test_events_are_put_in_eventbridges_shape() -> None:
    seen: list[Any] = []

    async def put_events(entries: list[dict[str, Any]]) -> dict[str, Any]:
        seen.extend(entries)
        return {"Entries": [{"EventId": "e-1"}], "FailedEntryCount": 0}

    result = await EventBridgeSource(put_events, "arn:bus").execute({"operation": "PutEvents", "events": [EVENT]}, CALL)

    assert result == {"Entries": [{"EventId": "e-1"}], "FailedEntryCount": 0}
    assert seen == [
        {
            "Source": "app",
            "DetailType": "Order",
            "Resources": ["arn:x"],
            "Detail": '{"id":1}',
            "EventBusName": "arn:bus",
        }
    ]


@pytest.mark.parametrize(
    ("request_object", "message"),
    [
        ({"operation": "PutEvents", "events": []}, "1 to 10 events, not 0"),
        ({"operation": "PutEvents", "events": [EVENT] * 11}, "1 to 10 events, not 11"),
        ({"operation": "PutEvents", "events": [{"source": "a"}]}, r"\$\[events\]\[0\]\[detailType\]"),
        ({"operation": "Other"}, "Unsupported operation 'Other'"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused(request_object: dict[str, Any], message: str) -> None:
    async def put_events(entries: list[dict[str, Any]]) -> dict[str, Any]:
        raise AssertionError("put")

    with pytest.raises(RequestError, match=message):
        await EventBridgeSource(put_events, "arn:bus").execute(request_object, CALL)
