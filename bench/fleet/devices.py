"""Devices as paho clients, all of them in one thread: they play their schedules in real time."""

import heapq
import json
import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.fleet.profiles import Action

KEEP_ALIVE_S = 60
# A device does not try again at once, as the clients of a real fleet do not.
RECONNECT_S = 1.0
_MISC_S = 1.0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where devices connect. With `certificates` each shows `<folder>/<device id>/device.pem` (and `.key`)."""

    host: str
    port: int
    ca_file: str = ""
    certificates: Path | None = None
    topic: str = "devices/{device_id}/telemetry"


@dataclass
class Counts:
    """What became of a run's messages."""

    published: int = 0
    acknowledged: int = 0
    refused_connections: int = 0
    drops: int = 0

    @property
    def unacknowledged(self) -> int:
        return self.published - self.acknowledged


@dataclass
class Device:
    """One MQTT client; what it publishes without a connection is sent when it has one again (QoS 1)."""

    device_id: str
    broker: Broker
    counts: Counts
    is_wanted: bool = True
    retry_at: float = 0.0
    client: mqtt.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self.device_id, clean_session=False, reconnect_on_failure=False
        )
        self.client.max_queued_messages_set(0)
        self.client.on_publish = self._on_publish
        self.client.on_connect = self._on_connect
        if self.broker.ca_file:
            folder = self.broker.certificates / self.device_id if self.broker.certificates else None
            self.client.tls_set(
                self.broker.ca_file,
                certfile=str(folder / "device.pem") if folder else None,
                keyfile=str(folder / "device.key") if folder else None,
            )

    def connect(self, now: float) -> None:
        self.is_wanted, self.retry_at = True, now + RECONNECT_S
        try:
            self.client.connect(self.broker.host, self.broker.port, KEEP_ALIVE_S)
        except OSError:
            self.counts.refused_connections += 1

    def drop(self) -> None:
        """Lose the network: the socket ends without a DISCONNECT, so the broker tells the rest of the world."""
        self.is_wanted = False
        self.counts.drops += 1
        found = self.client.socket()
        if found is not None:
            found.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # paho's protocol lacks it

    def publish(self, payload: dict[str, Any]) -> None:
        self.counts.published += 1
        topic = self.broker.topic.format(device_id=self.device_id)
        self.client.publish(topic, json.dumps(payload), qos=1)

    def _on_publish(self, *_: Any) -> None:
        self.counts.acknowledged += 1

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.counts.refused_connections += 1


class Fleet:
    """Plays schedules: each device its own, in one thread, until the last acknowledgement or the patience ends."""

    def __init__(self, broker: Broker, schedules: Mapping[str, Sequence[Action]]) -> None:
        self.counts = Counts()
        self._devices = {name: Device(name, broker, self.counts) for name in schedules}
        self._selector = selectors.DefaultSelector()
        self._registered: dict[str, Any] = {}
        # The number keeps actions of one moment in the order of their schedule.
        self._due = [
            (action.at_s, number, name, action)
            for name, actions in schedules.items()
            for number, action in enumerate(actions)
        ]
        heapq.heapify(self._due)

    def run(self, *, start_ms: int, patience_s: float = 30.0) -> Counts:
        """Connect everybody, play, wait for acknowledgements; returns the counts."""
        for device in self._devices.values():
            device.connect(time.monotonic())
        started = time.monotonic()
        misc_at = ends_at = 0.0
        while self._due or (self.counts.unacknowledged and time.monotonic() < ends_at):
            now = time.monotonic()
            while self._due and self._due[0][0] <= now - started:
                _, _, name, action = heapq.heappop(self._due)
                self._do(self._devices[name], action, start_ms, now)
                ends_at = now + patience_s
            if now >= misc_at:
                self._keep_connected(now)
                misc_at = now + _MISC_S / 10
            self._serve(self._due[0][0] - (now - started) if self._due else _MISC_S / 10)
        for device in self._devices.values():
            device.client.disconnect()
        self._selector.close()
        return self.counts

    def _do(self, device: Device, action: Action, start_ms: int, now: float) -> None:
        if action.kind == "publish":
            device.publish(action.payload(start_ms))
        elif action.kind == "drop":
            device.drop()
        else:
            device.connect(now)

    def _keep_connected(self, now: float) -> None:
        for device in self._devices.values():
            device.client.loop_misc()
            if device.is_wanted and device.client.socket() is None and now >= device.retry_at:
                device.connect(now)

    def _serve(self, wait_s: float) -> None:
        """Read and write whatever is ready, for at most `wait_s`."""
        for name, device in self._devices.items():
            self._watch(name, device)
        for key, mask in self._selector.select(max(0.0, min(wait_s, _MISC_S / 10))):
            client = self._devices[key.data].client
            if mask & selectors.EVENT_READ:
                client.loop_read()
            if mask & selectors.EVENT_WRITE and client.socket() is not None:
                client.loop_write()

    def _watch(self, name: str, device: Device) -> None:
        found, known = device.client.socket(), self._registered.get(name)
        if known is not None and known is not found:
            self._selector.unregister(known)
            del self._registered[name]
        if found is None:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if device.client.want_write() else 0)
        if name not in self._registered:
            self._selector.register(found, events, name)
            self._registered[name] = found
        elif self._selector.get_key(found).events != events:
            self._selector.modify(found, events, name)
