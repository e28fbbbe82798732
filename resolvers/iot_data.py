"""What the IoT data plane keeps of a device beside its thing: shadows and retained messages, which end with it."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from resolvers.certificates import is_thing_name
from streams.aws.calls import AwsError, ResourceService
from streams.aws.environment import service
from streams.record import is_device_id

_SHADOW_PAGE = 100
_RETAINED_PAGE = 200


@dataclass(frozen=True, slots=True)
class RetainedPage:
    """What one page of the account's retained messages gave: how many were cleared, and where the next page begins."""

    cleared: int
    next_token: str


def iot_data_service() -> ResourceService:
    """Make a client of the IoT data plane with the function's role."""
    return service("iotdata", endpoint_name="iot_data_plane", host="data-ats.iot")


def shadow_path(device_id: str) -> str:
    return f"/things/{quote(device_id, safe='')}/shadow"


def delete_shadows(iot_data: ResourceService, device_id: str) -> int:
    """Delete a device's shadows, named ones and the classic one; returns how many there were. Again it finds none.

    The names are read to the end first: a page's token need not outlive what it counts.
    """
    if not is_thing_name(device_id):
        return 0
    names, token = [], ""
    while True:
        query = f"pageSize={_SHADOW_PAGE}"
        if token:
            query = f"nextToken={quote(token, safe='')}&{query}"
        try:
            page = iot_data.get(f"/api/things/shadow/ListNamedShadowsForThing/{quote(device_id, safe='')}", query=query)
        except AwsError as error:
            # Nobody ever stated anything of this thing.
            if error.status != 404:
                raise
            break
        names += page.get("results", [])
        token = page.get("nextToken") or ""
        if not token:
            break
    queries = ["", *(f"name={quote(name, safe='')}" for name in names)]
    return sum(delete_shadow(iot_data, device_id, query) for query in queries)


def delete_shadow(iot_data: ResourceService, device_id: str, query: str = "") -> bool:
    """Delete the classic shadow, or the one that the query names; says whether there was one."""
    try:
        iot_data.delete(shadow_path(device_id), query=query)
    except AwsError as error:
        if error.status != 404:
            raise
        return False
    return True


def clear_retained(iot_data: ResourceService, is_doomed: Callable[[str, int], bool], token: str = "") -> RetainedPage:
    """Clear the doomed retained messages of devices (`devices/<id>/…`) in one page of all there are.

    IoT Core lists them for the whole account only. Publishing an empty retained message clears a topic, and clearing it
    twice does no harm. `is_doomed(device_id, stored_ms)` gets the time it was stored, in epoch milliseconds.
    """
    query = f"maxResults={_RETAINED_PAGE}" + (f"&nextToken={quote(token, safe='')}" if token else "")
    page = iot_data.get("/retainedMessage", query=query)
    cleared = 0
    for row in page.get("retainedTopics", []):
        root, _, rest = row["topic"].partition("/")
        device_id, separator, _ = rest.partition("/")
        if (
            root == "devices"
            and separator
            and is_device_id(device_id)
            and is_doomed(device_id, row["lastModifiedTime"])
        ):
            iot_data.post(f"/topics/{quote(row['topic'], safe='')}", b"", query="qos=1&retain=true")
            cleared += 1
    return RetainedPage(cleared, page.get("nextToken") or "")
