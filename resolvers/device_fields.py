"""Device.state, Device.presence and DeviceChange.device: read for all devices of a page with one request."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver
from aws_lambda_powertools.utilities.data_classes import AppSyncResolverEvent

from resolvers import views
from streams import items
from streams.aws.calls import Service
from streams.aws.environment import required, service

_ATTEMPTS = 5
View = Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any] | None]


def read_all(
    sources: Sequence[Mapping[str, Any]],
    key_of: Callable[[str], items.Item],
    view: View,
    *,
    table: Service,
    name: str,
    is_consistent: bool = False,
) -> list[dict[str, Any]]:
    """Read one item per source device, in the order of `sources`, as BatchInvoke wants the answer: `{"data": …}` each.

    At most 100 sources (the resolver's MaxBatchSize). `is_consistent` reads the newest, for twice the price.
    The devices were read for this caller, so they are its to see; an item that has another tenant by now is not shown.
    Raises: RuntimeError when the table leaves keys unread.
    """
    wanted = {source["deviceId"]: key_of(source["deviceId"]) for source in sources}
    keys = list(wanted.values())
    found: dict[str, Mapping[str, Any]] = {}
    for _ in range(_ATTEMPTS):
        request = {"Keys": keys, "ConsistentRead": is_consistent}
        answer = table.call("BatchGetItem", {"RequestItems": {name: request}})
        for item in answer["Responses"].get(name, []):
            found[item["PK"]["S"].partition("#")[2]] = item
        keys = answer.get("UnprocessedKeys", {}).get(name, {}).get("Keys", [])
        if not keys:
            break
    if keys:
        raise RuntimeError(f"the table left {len(keys)} of {len(wanted)} items unread")
    return [{"data": _shown(found.get(source["deviceId"]), source["tenantId"], view)} for source in sources]


def _shown(item: Mapping[str, Any] | None, tenant_id: str, view: View) -> dict[str, Any] | None:
    if item is None or item.get("tenantId") != {"S": tenant_id}:
        return None
    return view(item)


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="device-fields")


@cache
def _table() -> Service:
    return service("dynamodb")


def _sources(events: list[AppSyncResolverEvent]) -> list[Mapping[str, Any]]:
    return [event.source for event in events]


def _live(event: list[AppSyncResolverEvent], key_of: Callable[[str], items.Item], view: View) -> list[dict[str, Any]]:
    """Read what subscriptions tell about.

    A change that fan-out skipped, because nobody was subscribed yet, comes in no event: a client that subscribes and
    then queries has to find it here.
    """
    is_consistent = os.environ.get("DEMAND_AWARE") == "true"
    name = required("TABLE_NAME")
    return read_all(_sources(event), key_of, view, table=_table(), name=name, is_consistent=is_consistent)


@app.batch_resolver(type_name="Device", field_name="state")
def state(event: list[AppSyncResolverEvent]) -> list[dict[str, Any]]:
    """Answer Device.state of a page."""
    return _live(event, items.state_key, views.device_state)


@app.batch_resolver(type_name="Device", field_name="presence")
def presence(event: list[AppSyncResolverEvent]) -> list[dict[str, Any]]:
    """Answer Device.presence of a page."""
    return _live(event, items.presence_key, views.presence)


@app.batch_resolver(type_name="DeviceChange", field_name="device")
def changed_device(event: list[AppSyncResolverEvent]) -> list[dict[str, Any]]:
    """Answer DeviceChange.device of a page."""
    return read_all(_sources(event), items.device_key, views.device, table=_table(), name=required("TABLE_NAME"))


@logger.inject_lambda_context(clear_state=True)
def handler(event: list[dict[str, Any]], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver with MaxBatchSize: the event is a list of contexts)."""
    return app.resolve(event, context)
