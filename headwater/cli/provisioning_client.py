"""A device that has nothing but a claim: it connects, asks for a certificate, is registered, and leaves.

Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API".
"""

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any

from headwater.errors import HeadwaterError
from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import encode_ack, encode_packet
from headwater.mqtt.codec.packets import (
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    PublishPacket,
    Suback,
    Subscribe,
    SubscriptionRequest,
)

_CREATE = "$aws/certificates/create-from-csr/json"
_KEEP_ALIVE_S = 60
_READ_BYTES = 65_536
_REFUSED = 0x80


class ProvisioningError(HeadwaterError):
    """A device was not registered; the message is the service's."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A device that is registered."""

    thing_name: str
    certificate_pem: str
    configuration: dict[str, Any]


class ProvisioningClient:
    """One MQTT 3.1.1 connection with a claim certificate, for one device."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, *, timeout_s: float = 30.0) -> None:
        self._address = (host, port)
        self._context = context
        self._timeout_s = timeout_s
        self._decoder = PacketDecoder(version=V311)
        self._waiting: list[Packet] = []
        self._packet_id = 0

    async def provision(
        self, client_id: str, template: str, signing_request: str, parameters: dict[str, str]
    ) -> Provisioned:
        """Raises: ProvisioningError with what the service answered, or that it does not."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._provision(client_id, template, signing_request, parameters)
        except TimeoutError as error:
            raise ProvisioningError(f"no answer within {self._timeout_s:g} s") from error
        except (OSError, EOFError) as error:
            raise ProvisioningError(f"the connection was lost: {error or 'closed'}") from error

    async def _provision(
        self, client_id: str, template: str, signing_request: str, parameters: dict[str, str]
    ) -> Provisioned:
        self._reader, self._writer = await asyncio.open_connection(*self._address, ssl=self._context)
        try:
            await self._connect(client_id)
            register = f"$aws/provisioning-templates/{template}/provision/json"
            await self._subscribe(
                [f"{topic}/{end}" for topic in (_CREATE, register) for end in ("accepted", "rejected")]
            )
            made = await self._ask(_CREATE, {"certificateSigningRequest": signing_request})
            token = made["certificateOwnershipToken"]
            done = await self._ask(register, {"certificateOwnershipToken": token, "parameters": parameters})
            self._writer.write(encode_packet(Disconnect(), V311))
            thing_name = str(done.get("thingName", client_id))
            return Provisioned(thing_name, made["certificatePem"], done.get("deviceConfiguration", {}))
        finally:
            self._writer.close()

    async def _connect(self, client_id: str) -> None:
        self._writer.write(encode_packet(Connect(client_id, keep_alive_s=_KEEP_ALIVE_S), V311))
        answer = await self._next(Connack)
        if answer.reason_code:
            raise ProvisioningError(f"the claim may not connect: CONNACK return code {answer.reason_code}")

    async def _subscribe(self, topic_filters: list[str]) -> None:
        self._packet_id += 1
        requests = tuple(SubscriptionRequest(topic_filter, 1) for topic_filter in topic_filters)
        self._writer.write(encode_packet(Subscribe(self._packet_id, requests), V311))
        answer = await self._next(Suback)
        for topic_filter, code in zip(topic_filters, answer.reason_codes, strict=True):
            if code >= _REFUSED:
                raise ProvisioningError(f"the claim may not subscribe to {topic_filter}")

    async def _ask(self, topic: str, document: dict[str, Any]) -> dict[str, Any]:
        """The accepted document. Raises: ProvisioningError for a rejected one."""
        self._packet_id += 1
        packet = PublishPacket(topic, json.dumps(document).encode(), qos=1, packet_id=self._packet_id)
        self._writer.write(encode_packet(packet, V311))
        answer = await self._next(PublishPacket)
        if answer.qos:
            self._writer.write(encode_ack(PacketType.PUBACK, answer.packet_id, 0, V311))
        told: dict[str, Any] = json.loads(answer.payload)
        if not answer.topic.endswith("/accepted"):
            raise ProvisioningError(f"{told.get('errorCode')}: {told.get('errorMessage')}")
        return told

    async def _next(self, kind: type[Any]) -> Any:
        """The next packet of a kind; acknowledgements are of no interest here."""
        while True:
            for position, packet in enumerate(self._waiting):
                if isinstance(packet, kind):
                    return self._waiting.pop(position)
                if not isinstance(packet, Ack):
                    break
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError
            self._waiting += [packet for packet in self._decoder.feed(data) if not isinstance(packet, Ack)]
            if self._decoder.error is not None:
                raise ProvisioningError(f"the broker sent no MQTT: {self._decoder.error}")
