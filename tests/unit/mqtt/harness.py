"""A broker without sockets and clients that speak packets to it."""

from collections.abc import Iterable
from itertools import count

from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V311,
    Connack,
    Connect,
    Packet,
    Properties,
    PublishPacket,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from headwater.mqtt.connection import ConnectRequested, Event
from headwater.mqtt.inbound import PublishBatch
from headwater.mqtt.ports import Action, ClientContext, LifecycleEvent, Publish, Refusal, TransportInfo
from headwater.mqtt.profile import AWS, Profile

NOW = 1_700_000_000.0


class Harness:
    """`denied` are (action, resource) pairs that the policies deny; `handed_on` is what the rules got."""

    def __init__(
        self,
        profile: Profile = AWS,
        *,
        stored: Iterable[tuple[bytes, bytes]] = (),
        enforces_quotas: bool = False,
        holds_work: bool = False,
    ) -> None:
        self.now = NOW
        self.denied: set[tuple[Action, str]] = set()
        self.refuses: Refusal | None = None
        self.lifecycle: list[LifecycleEvent] = []
        self.quotas: list[tuple[str, str]] = []
        self.dropped: list[tuple[str, str, str]] = []
        self.handed_on: list[Publish] = []
        self.batches: list[tuple[Client, PublishBatch]] = []
        self.holds_work = holds_work
        self.stored: dict[bytes, bytes] = dict(stored)
        ids = count(1)
        self.broker = Broker(
            profile,
            new_id=lambda: f"id-{next(ids)}",
            now=NOW,
            authorize=lambda client, action, resource: (action, resource) not in self.denied,
            on_lifecycle=self.lifecycle.append,
            on_quota=lambda name, client_id: self.quotas.append((name, client_id)),
            on_dropped=lambda client_id, topic, why: self.dropped.append((client_id, topic, why)),
            enforces_quotas=enforces_quotas,
            stored=list(self.stored.items()),
        )

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.broker.tick(self.now)

    def save(self) -> dict[bytes, bytes]:
        """What a store holds now."""
        for key, value in self.broker.take_changes().items():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = value
        return self.stored

    def client(self, version: int = V311) -> "Client":
        return Client(self, version)

    def connect(
        self,
        client_id: str = "c1",
        version: int = V311,
        *,
        clean_start: bool = True,
        keep_alive_s: int = 60,
        will: Will | None = None,
        properties: Properties = NO_PROPERTIES,
    ) -> "Client":
        """A client whose CONNECT was accepted."""
        client = Client(self, version)
        client.send(Connect(client_id, version, clean_start, keep_alive_s, will=will, properties=properties))
        connack = client.received()[0]
        assert isinstance(connack, Connack)
        assert connack.reason_code == 0
        client.connack = connack
        return client


class Client:
    def __init__(self, harness: Harness, version: int) -> None:
        self.harness = harness
        self.version = version
        self.connack = Connack()
        self.connection = harness.broker.open(TransportInfo(peer_ip="10.0.0.9"), harness.now, lambda: None)
        self._decoder = PacketDecoder(version=version)
        self._waiting: list[Packet] = []

    @property
    def is_closed(self) -> bool:
        return self.connection.is_closed

    def send(self, *packets: Packet) -> None:
        """All packets in one chunk."""
        self.send_bytes(b"".join(encode_packet(packet, self.version) for packet in packets))

    def send_bytes(self, data: bytes) -> None:
        self._handle(self.connection.receive(data, self.harness.now))

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, *, retain: bool = False) -> None:
        self.send(PublishPacket(topic, payload, qos, retain, packet_id=7 if qos else 0))

    def subscribe(
        self,
        topic_filter: str,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        properties: Properties = NO_PROPERTIES,
    ) -> int:
        """The reason code of the SUBACK; whatever else arrived waits for `received`."""
        request = SubscriptionRequest(topic_filter, qos, no_local, retain_as_published, retain_handling)
        self.send(Subscribe(9, (request,), properties))
        packets = self.received()
        suback = next(packet for packet in packets if isinstance(packet, Suback))
        packets.remove(suback)
        self._waiting = packets
        return suback.reason_codes[0]

    def received(self) -> list[Packet]:
        """Packets the broker has sent since the last call."""
        packets, self._waiting = self._waiting, []
        packets += self._decoder.feed(self.connection.outgoing())
        assert self._decoder.error is None
        return packets

    def publishes(self) -> list[PublishPacket]:
        return [packet for packet in self.received() if isinstance(packet, PublishPacket)]

    def lose(self) -> None:
        self.connection.lost(self.harness.now)

    def _handle(self, events: list[Event]) -> None:
        harness = self.harness
        for event in events:
            if isinstance(event, ConnectRequested):
                outcome = harness.refuses or ClientContext(event.connect.client_id, "principal-1", "10.0.0.9")
                self._handle(self.connection.authenticated(outcome, harness.now))
            else:
                harness.handed_on += event.publishes
                harness.batches.append((self, event))
                if not harness.holds_work:
                    self.connection.acknowledge(event)
