"""Simulated devices: what the template's `Metadata.Headwater.Fleet` says, published over real MQTT."""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.errors import TemplateError
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V311, Connect, Disconnect, PublishPacket

_log = logging.getLogger(__name__)
_KEEP_ALIVE_S = 60
_RECONNECT_S = 1.0
_CONNACK_BYTES = _PUBACK_BYTES = 4
_READ_BYTES = 65_536
_DEVICE_ID = "${deviceId}"


@dataclass(frozen=True, slots=True)
class FleetProfile:
    """A fleet as the template describes it; `topic` holds `${deviceId}`."""

    topic: str
    device_ids: str
    rate_per_s: float
    qos: int
    payload: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "FleetProfile":
        """Raises: TemplateError naming the member that is missing or wrong."""
        topic, ids = str(raw.get("Topic", "")), str(raw.get("DeviceIds", "device-%03d"))
        if _DEVICE_ID not in topic:
            raise _fault("Topic", f"{topic!r} does not hold {_DEVICE_ID}")
        if len(re.findall(r"%0?\d*d", ids)) != 1:
            raise _fault("DeviceIds", f"{ids!r} does not hold one %d")
        rate, qos = raw.get("RatePerSecond", 1), raw.get("Qos", 1)
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1000:
            raise _fault("RatePerSecond", f"{rate!r} is not between 0 and 1000")
        if qos not in (0, 1):
            raise _fault("Qos", f"{qos!r} is not 0 or 1")
        payload = raw.get("Payload")
        if not isinstance(payload, Mapping):
            raise _fault("Payload", f"{payload!r} is not a mapping of readings")
        for name, rule in payload.items():
            _reading(str(name), rule, random.Random(0))
        return cls(topic, ids, float(rate), qos, payload)

    def example(self, device_id: str) -> tuple[str, bytes]:
        """Topic and payload of one publish."""
        source = random.Random(device_id)
        readings = {str(name): _reading(str(name), rule, source)() for name, rule in self.payload.items()}
        return self.topic.replace(_DEVICE_ID, device_id), orjson.dumps(readings)


def _fault(member: str, message: str) -> TemplateError:
    return TemplateError(message, logical_id="Metadata.Headwater.Fleet", property_path=member)


Reading = Callable[[], Any]


def _reading(name: str, rule: Any, source: random.Random) -> Reading:
    """The generator of one payload member."""
    if not isinstance(rule, Mapping):
        return lambda: rule
    if rule.get("Clock") == "EpochMilliseconds":
        return lambda: time.time_ns() // 1_000_000
    if "Counter" in rule:
        counter = _Counter(int(rule["Counter"]))
        return counter.next
    if "Choices" in rule:
        choices = list(rule["Choices"])
        return lambda: source.choice(choices)
    if "Minimum" in rule and "Maximum" in rule:
        return _Walk(rule, source).next
    raise _fault(f"Payload.{name}", f"{dict(rule)!r} is none of Clock, Counter, Choices, Minimum/Maximum")


@dataclass(slots=True)
class _Counter:
    value: int

    def next(self) -> int:
        self.value += 1
        return self.value - 1


class _Walk:
    """A reading that drifts between its bounds."""

    def __init__(self, rule: Mapping[str, Any], source: random.Random) -> None:
        self._low, self._high = float(rule["Minimum"]), float(rule["Maximum"])
        self._step = float(rule.get("Step", (self._high - self._low) / 20))
        self._decimals = int(rule.get("Decimals", 1))
        self._source = source
        self._value = source.uniform(self._low, self._high)

    def next(self) -> float:
        self._value += self._source.uniform(-self._step, self._step)
        self._value = min(max(self._value, self._low), self._high)
        return round(self._value, self._decimals)


@dataclass(slots=True)
class Fleet:
    """A running fleet: one MQTT 3.1.1 connection a device."""

    profile: FleetProfile
    size: int
    host: str
    port: int
    published: int = 0
    acknowledged: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Connect all devices; their publishes are spread over the interval."""
        for number in range(1, self.size + 1):
            self._tasks.append(asyncio.get_running_loop().create_task(self._device(number)))

    async def stop(self) -> None:
        """Disconnect all devices."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _device(self, number: int) -> None:
        device_id = self.profile.device_ids % number
        source = random.Random(device_id)
        readings = {str(name): _reading(str(name), rule, source) for name, rule in self.profile.payload.items()}
        await asyncio.sleep((number - 1) / self.size / self.profile.rate_per_s)
        while True:
            try:
                await self._session(device_id, readings)
            except (OSError, asyncio.IncompleteReadError, _ClosedError) as error:
                _log.info("device %s lost its connection: %s", device_id, error)
            await asyncio.sleep(_RECONNECT_S)

    async def _session(self, device_id: str, readings: Mapping[str, Reading]) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(encode_packet(Connect(device_id, keep_alive_s=_KEEP_ALIVE_S), V311))
            answer = await reader.readexactly(_CONNACK_BYTES)
            if answer[3] != 0:
                raise _ClosedError(f"CONNACK return code {answer[3]}")
            listening = asyncio.get_running_loop().create_task(self._listen(reader))
            try:
                await self._publish_on(writer, device_id, readings, listening)
            finally:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                    await listening
        finally:
            with contextlib.suppress(OSError):
                writer.write(encode_packet(Disconnect(), V311))
                writer.close()

    async def _publish_on(
        self,
        writer: asyncio.StreamWriter,
        device_id: str,
        readings: Mapping[str, Reading],
        listening: "asyncio.Task[None]",
    ) -> None:
        topic = self.profile.topic.replace(_DEVICE_ID, device_id)
        interval_s = 1 / self.profile.rate_per_s
        loop = asyncio.get_running_loop()
        due, packet_id = loop.time(), 0
        while not listening.done():
            packet_id = packet_id % 65535 + 1
            body = orjson.dumps({name: read() for name, read in readings.items()})
            qos = self.profile.qos
            packet = PublishPacket(topic, body, qos=qos, packet_id=packet_id if qos else 0)
            writer.write(encode_packet(packet, V311))
            await writer.drain()
            self.published += 1
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())
        raise _ClosedError("the broker closed it")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        # A device that only publishes is sent nothing but PUBACKs of one length.
        while data := await reader.read(_READ_BYTES):
            self.acknowledged += len(data) // _PUBACK_BYTES


class _ClosedError(Exception):
    """A device's connection ended."""
