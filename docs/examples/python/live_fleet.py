"""Follow a fleet live, and lose, repeat or turn back nothing: subscribe, query, merge by version.

One file to take over and change; it needs Python 3.11 and the `websockets` package. `python live_fleet.py URL KEY`
prints what happens. The contract it keeps (docs/backend.md, "Order, duplicates, failure"):

- Subscriptions begin before anything is read, so nothing falls between.
- Everything carries a version that rises by one; what is not newer than what is known is dropped.
- Delivery ends with the connection. After each reconnect the list of devices catches up by `deviceChanges(since:)`,
  tombstones included, and the states of the devices that are followed are read again.
- A refused credential is asked for anew once; only a second refusal ends it.
"""

import asyncio
import base64
import json
import random
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

# Headers of a caller: {"x-api-key": …} or {"authorization": token}. True asks for new ones: the last were refused.
Credentials = Callable[[bool], Awaitable[Mapping[str, str]]]

_STATE = "deviceId version time readings"
_DEVICE = f"deviceId siteId name state {{ {_STATE} }} presence {{ isConnected version }}"
_SUBSCRIPTIONS = {
    "onDeviceState": f"subscription($ids: [ID!]) {{ onDeviceState(deviceIds: $ids) {{ {_STATE} }} }}",
    "onPresence": "subscription { onPresence { deviceId isConnected version } }",
    "onDeviceRemoval": "subscription { onDeviceRemoval { deviceId version } }",
}
_CURSOR = "query { deviceChanges(limit: 1) { cursor } }"
_CHANGES = f"""query($since: String!, $token: String) {{ deviceChanges(since: $since, nextToken: $token, limit: 100) {{
  items {{ deviceId kind device {{ {_DEVICE} }} }} nextToken cursor }} }}"""
_LIST = f"query($token: String) {{ listDevices(limit: 100, nextToken: $token) {{ items {{ {_DEVICE} }} nextToken }} }}"
_STATES_TOGETHER = 25
_MAX_FRAME_BYTES = 1024 * 1024
_REQUEST_TIMEOUT_S = 30.0
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 30.0
_REFUSALS = ("UnauthorizedException", "Unauthorized")


class AccessEnded(Exception):
    """New credentials were refused as well: somebody has to sign in again."""


class Refused(Exception):
    """The API answered that this caller may not."""


class QueryFailed(Exception):
    """The API answered errors; the message has them."""


class ConnectionEnded(Exception):
    """The connection is over, or says what this client cannot read: time to connect again."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What is known of one device. Versions are -1 before the first; a removed device keeps its own as a tombstone."""

    device_id: str
    version: int = -1
    time: str | None = None
    readings: Mapping[str, Any] = field(default_factory=dict)
    is_connected: bool | None = None
    presence_version: int = -1
    is_removed: bool = False
    name: str | None = None
    site_id: str | None = None


def with_state(known: DeviceView, state: Mapping[str, Any]) -> DeviceView:
    """Take over a state that is newer than the known one; a removed device that reports again is back."""
    if state["version"] <= known.version:
        return known
    readings = json.loads(state["readings"])
    return replace(known, version=state["version"], time=state["time"], readings=readings, is_removed=False)


def with_presence(known: DeviceView, presence: Mapping[str, Any]) -> DeviceView:
    if presence["version"] <= known.presence_version:
        return known
    return replace(known, is_connected=presence["isConnected"], presence_version=presence["version"])


def with_removal(known: DeviceView, version: int) -> DeviceView:
    """Leave a tombstone; a removal is a version of the state as well, so one that comes late removes nothing newer."""
    if version <= known.version:
        return known
    return DeviceView(known.device_id, version=version, presence_version=known.presence_version, is_removed=True)


def with_device(known: DeviceView, device: Mapping[str, Any]) -> DeviceView:
    """Take over a device as a query answers it."""
    found = replace(known, name=device["name"], site_id=device["siteId"], is_removed=False)
    if device["state"] is not None:
        found = with_state(found, device["state"])
    return found if device["presence"] is None else with_presence(found, device["presence"])


class LiveFleet:
    """A tenant's devices, followed live; `device_ids` (at most 5) narrows which.

    `async for view in fleet.changes()` yields the newest view of whatever changed; a slow consumer skips what was
    overtaken, so that no queue grows beyond one entry a device. `devices` is the present, without tombstones.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        device_ids: Sequence[str] | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._ids = list(device_ids) if device_ids else None
        self._uniform = uniform
        self._views: dict[str, DeviceView] = {}
        self._pending: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._cursor: str | None = None
        # Of this connection: removals that events told of, and states whose events came without their readings.
        self._removed: set[str] = set()
        self._unread: set[str] = set()
        self.connections = 0
        self.is_live = asyncio.Event()

    @property
    def devices(self) -> dict[str, DeviceView]:
        return {name: view for name, view in self._views.items() if not view.is_removed}

    async def changes(self) -> AsyncIterator[DeviceView]:
        """Connect, and connect again, until the consumer stops. Raises: AccessEnded."""
        follow = asyncio.create_task(self._follow())
        try:
            while True:
                waiting = asyncio.create_task(self._changed.wait())
                await asyncio.wait((waiting, follow), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if follow.done():
                    follow.result()
                self._changed.clear()
                while self._pending:
                    device_id = next(iter(self._pending))
                    del self._pending[device_id]
                    yield self._views[device_id]
        finally:
            follow.cancel()
            with suppress(asyncio.CancelledError, AccessEnded):
                await follow

    async def _follow(self) -> None:
        backoff_s, is_refused = _FIRST_BACKOFF_S, False
        while True:
            refusal: Refused | None = None
            try:
                await self._session(is_refused)
            except Refused as error:
                refusal = error
            except (OSError, ConnectionEnded, QueryFailed, websockets.WebSocketException):
                pass
            if self.is_live.is_set():
                # It worked until now, so this is the first fault.
                self.is_live.clear()
                backoff_s, is_refused = _FIRST_BACKOFF_S, False
            if refusal is not None and is_refused:
                raise AccessEnded(str(refusal)) from refusal
            is_refused = refusal is not None
            # With jitter, or everybody would come back in the same moment after a fault of the service.
            await asyncio.sleep(self._uniform(0, backoff_s))
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)

    async def _session(self, needs_new: bool) -> None:
        """One connection: subscribe, read what was missed, merge events. Raises, because it has no other end."""
        headers = await self._credentials(needs_new)
        credentials = {"host": urlsplit(self._url).netloc, **headers}
        encoded = base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode().rstrip("=")
        offered: Any = ["graphql-ws", f"header-{encoded}"]
        self._removed.clear()
        self._unread.clear()
        async with connect(_realtime_url(self._url), subprotocols=offered, max_size=_MAX_FRAME_BYTES) as socket:
            silence_s = await self._subscribe(socket, credentials)
            self.connections += 1
            receiving = asyncio.create_task(socket.recv())
            reading: asyncio.Task[None] = asyncio.create_task(self._catch_up(headers))
            try:
                while True:
                    waiting = {receiving} if reading.done() else {receiving, reading}
                    done, _ = await asyncio.wait(waiting, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED)
                    if not done:
                        raise ConnectionEnded(f"nothing for {silence_s:g} s, not even a keep-alive")
                    if receiving in done:
                        # Events are merged from the first moment; what is read meanwhile is merged the same way.
                        frame = _parsed(receiving.result())
                        receiving = asyncio.create_task(socket.recv())
                        if frame.get("type") == "data":
                            self._take(frame)
                    if reading.done():
                        reading.result()
                        self.is_live.set()
                        if self._unread:
                            reading = asyncio.create_task(self._read_states(headers, sorted(self._unread)))
                            self._unread.clear()
            finally:
                for task in (receiving, reading):
                    task.cancel()
                await asyncio.gather(receiving, reading, return_exceptions=True)

    async def _subscribe(self, socket: ClientConnection, credentials: Mapping[str, str]) -> float:
        """Start all subscriptions; returns after how many silent seconds the connection is dead."""
        await socket.send(json.dumps({"type": "connection_init"}))
        acknowledged = await _expect(socket, "connection_ack", early=None)
        for name, query in _SUBSCRIPTIONS.items():
            variables = {"ids": self._ids} if name == "onDeviceState" else {}
            payload = {
                "data": json.dumps({"query": query, "variables": variables}),
                "extensions": {"authorization": credentials},
            }
            await socket.send(json.dumps({"id": name, "type": "start", "payload": payload}))
        for _ in _SUBSCRIPTIONS:
            # The first may have events already while the last is not yet acknowledged.
            await _expect(socket, "start_ack", early=self._take)
        return float(acknowledged.get("payload", {}).get("connectionTimeoutMs", 300_000)) / 1000

    async def _catch_up(self, headers: Mapping[str, str]) -> None:
        """Read what no event will tell: everything the first time, later what changed and the states."""
        if self._cursor is None:
            # The cursor comes first: what changes while the list is read is told the next time.
            cursor = (await self._query(headers, _CURSOR, {}))["deviceChanges"]["cursor"]
            await self._read_list(headers)
            self._cursor = cursor
            return
        await self._read_changes(headers)
        await self._read_states(headers, sorted(self._ids or self.devices))

    async def _read_list(self, headers: Mapping[str, str]) -> None:
        token: str | None = None
        while True:
            page = (await self._query(headers, _LIST, {"token": token}))["listDevices"]
            for device in page["items"]:
                self._take_device(device)
            token = page["nextToken"]
            if token is None:
                return

    async def _read_changes(self, headers: Mapping[str, str]) -> None:
        since, token = self._cursor, None
        while True:
            variables = {"since": since, "token": token}
            page = (await self._query(headers, _CHANGES, variables))["deviceChanges"]
            for change in page["items"]:
                known = self._view(change["deviceId"])
                if change["device"] is not None:
                    self._take_device(change["device"])
                elif not known.is_removed:
                    # The log has no version: an older event may still come, and is followed by that of the removal.
                    self._put(replace(known, is_removed=True, readings={}, time=None))
            token = page["nextToken"]
            if token is None:
                self._cursor = page["cursor"]
                return

    async def _read_states(self, headers: Mapping[str, str], followed: Sequence[str]) -> None:
        for start in range(0, len(followed), _STATES_TOGETHER):
            ids = followed[start : start + _STATES_TOGETHER]
            declared = ", ".join(f"$d{place}: ID!" for place in range(len(ids)))
            fields = " ".join(f"s{n}: getDeviceState(deviceId: $d{n}) {{ {_STATE} }}" for n in range(len(ids)))
            variables = {f"d{place}": device_id for place, device_id in enumerate(ids)}
            for state in (await self._query(headers, f"query({declared}) {{ {fields} }}", variables)).values():
                if state is not None:
                    self._put(with_state(self._view(state["deviceId"]), state))

    def _take(self, frame: Mapping[str, Any]) -> None:
        """Merge one event. Raises: ConnectionEnded for an event that is none."""
        try:
            ((name, event),) = frame["payload"]["data"].items()
            known = self._view(event["deviceId"])
            if name == "onDeviceState" and event["readings"] is None:
                # It was too large to be published with its readings: above 240 KB.
                self._unread.add(known.device_id)
            elif name == "onDeviceState":
                self._put(with_state(known, event))
            elif name == "onPresence":
                self._put(with_presence(known, event))
            elif name == "onDeviceRemoval":
                self._removed.add(known.device_id)
                self._put(with_removal(known, event["version"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConnectionEnded(f"an event that cannot be read: {error!r}") from error

    def _take_device(self, device: Mapping[str, Any]) -> None:
        """Merge a device that a query answered, unless an event has told of its removal since."""
        known = self._view(device["deviceId"])
        state_version = device["state"]["version"] if device["state"] else -1
        if known.device_id in self._removed and known.is_removed and state_version <= known.version:
            return
        self._put(with_device(known, device))

    def _view(self, device_id: str) -> DeviceView:
        return self._views.get(device_id) or DeviceView(device_id)

    def _put(self, view: DeviceView) -> None:
        is_followed = self._ids is None or view.device_id in self._ids
        if is_followed and self._views.get(view.device_id) != view:
            self._views[view.device_id] = view
            self._pending[view.device_id] = None
            self._changed.set()

    async def _query(self, headers: Mapping[str, str], query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        status, answer = await asyncio.to_thread(
            _post, self._url, {"content-type": "application/json", **headers}, body
        )
        errors = answer.get("errors") or []
        if status == 401 or any(kind in str(errors) for kind in _REFUSALS):
            raise Refused(f"HTTP {status}: {errors}")
        if status != 200 or errors or not isinstance(answer.get("data"), dict):
            raise QueryFailed(f"HTTP {status}: {errors}")
        data: dict[str, Any] = answer["data"]
        return data


def _realtime_url(url: str) -> str:
    """AppSync's own host has another for real time; everywhere else it is a path below."""
    parts = urlsplit(url)
    host = parts.netloc.replace(".appsync-api.", ".appsync-realtime-api.")
    path = parts.path if host != parts.netloc else f"{parts.path}/realtime"
    return urlunsplit(("wss" if parts.scheme == "https" else "ws", host, path, "", ""))


def _post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=_REQUEST_TIMEOUT_S) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    try:
        document = json.loads(text)
    except ValueError as error:
        raise QueryFailed(f"HTTP {status}: the answer is not JSON") from error
    if not isinstance(document, dict):
        raise QueryFailed(f"HTTP {status}: the answer is no object")
    return status, document


def _parsed(text: str | bytes) -> dict[str, Any]:
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise ConnectionEnded("a frame that is not JSON") from error
    if not isinstance(frame, dict):
        raise ConnectionEnded(f"a frame that is no object: {frame!r}")
    if frame.get("type") in ("error", "connection_error", "complete"):
        errors = str(frame.get("payload", {}))
        if any(kind in errors for kind in _REFUSALS):
            raise Refused(errors)
        # `complete` without our asking: the subscription was invalidated. What is still allowed comes with the next.
        raise ConnectionEnded(f"{frame['type']}: {errors}")
    return frame


async def _expect(
    socket: ClientConnection, kind: str, early: Callable[[Mapping[str, Any]], None] | None
) -> dict[str, Any]:
    """Wait for a frame of a kind; events that come before it are handed to `early`."""
    while True:
        frame = _parsed(await asyncio.wait_for(socket.recv(), _REQUEST_TIMEOUT_S))
        if frame.get("type") == kind:
            return frame
        if frame.get("type") == "data" and early is not None:
            early(frame)
        elif frame.get("type") != "ka":
            raise ConnectionEnded(f"expected {kind}, found {frame!r}")


async def _print_changes(url: str, api_key: str) -> None:
    async def credentials(needs_new: bool) -> Mapping[str, str]:
        return {"x-api-key": api_key}

    async for view in LiveFleet(url, credentials).changes():
        sys.stdout.write(f"{view}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_print_changes(*sys.argv[1:3]))
