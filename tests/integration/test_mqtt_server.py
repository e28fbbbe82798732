"""The server's promises on the wire: acknowledgements, backpressure, limits, damage, and stopping."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from headwater.errors import ServiceError
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import (
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
    PacketType,
    Pingreq,
    Pingresp,
    Properties,
    PublishPacket,
    ReasonCode,
    Suback,
    Subscribe,
    SubscriptionRequest,
)
from headwater.mqtt.ports import ClientContext, MemorySessionStore, Publish, Refusal, TransportInfo
from headwater.mqtt.profile import AWS
from tests.integration.mqtt_serving import RawClient, serving, until

PUBACK = PacketType.PUBACK


def publishes(count: int, topic: str = "a", payload: bytes = b"x") -> list[PublishPacket]:
    return [PublishPacket(topic, payload, 1, packet_id=n) for n in range(1, count + 1)]


async def test_one_chunk_is_handed_on_once_and_its_pubacks_follow_the_work() -> None:
    done = asyncio.get_running_loop().create_future()
    batches: list[list[Publish]] = []

    async def work(batch: list[Publish]) -> None:
        await done

    def on_publish(batch: list[Publish]) -> "asyncio.Future[None] | None":
        if batch[0].topic != "a":
            return None
        batches.append(batch)
        return asyncio.ensure_future(work(batch))

    async with serving(on_publish=on_publish) as (_, port):
        client = await RawClient.connect(port, "c1")
        client.send(*publishes(3), Pingreq())

        assert isinstance(await client.receive(), Pingresp)
        done.set_result(None)
        acks = [await client.receive() for _ in range(3)]
        client.close()

    assert acks == [Ack(PUBACK, n) for n in (1, 2, 3)]
    assert [len(batch) for batch in batches] == [3]


async def test_failed_work_is_not_acknowledged_and_ends_the_connection_so_that_the_client_resends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ServiceError("InternalServerError", "the disk is full", status=500)

    def on_publish(batch: list[Publish]) -> "asyncio.Future[None] | None":
        return asyncio.ensure_future(fail()) if batch[0].topic == "bad" else None

    async with serving(on_publish=on_publish) as (_, port):
        for client_id in ("c1", "c2"):
            client = await RawClient.connect(port, client_id, version=V5)
            client.send(PublishPacket("bad", b"", 1, packet_id=1))
            (goodbye,) = await client.closed()
            assert isinstance(goodbye, Disconnect)
            assert goodbye.reason_code == ReasonCode.IMPLEMENTATION_ERROR

    failures = [record for record in caplog.records if "the disk is full" in record.getMessage()]
    assert len(failures) == 1
    assert failures[0].exc_info is None


async def test_a_publish_waits_for_the_session_store() -> None:
    class SlowStore(MemorySessionStore):
        def __init__(self) -> None:
            super().__init__()
            self.gate = asyncio.Event()

        async def _later(self, changes: Mapping[bytes, bytes | None]) -> None:
            await self.gate.wait()
            super().save(changes)

        def save(self, changes: Mapping[bytes, bytes | None]) -> "asyncio.Future[None] | None":
            if not any(key.startswith(b"q") for key in changes):
                return None
            return asyncio.ensure_future(self._later(changes))

    store = SlowStore()
    async with serving(store=store) as (_, port):
        keeper = await RawClient.connect(port, "keeper", clean_start=False)
        keeper.send(Subscribe(1, (SubscriptionRequest("a", 1),)))
        assert isinstance(await keeper.receive(), Suback)
        client = await RawClient.connect(port, "c1")
        client.send(*publishes(1), Pingreq())

        assert isinstance(await client.receive(), Pingresp)
        store.gate.set()
        assert await client.receive() == Ack(PUBACK, 1)
        client.close()
        keeper.close()

    assert [key[:1] for key, _ in store.load()] == [b"q"]


async def test_authentication_may_wait_and_may_refuse() -> None:
    seen: list[TransportInfo] = []

    async def decide(connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        seen.append(transport)
        await asyncio.sleep(0)
        if connect.password != b"secret":
            return Refusal(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        return ClientContext(connect.client_id, "user", transport.peer_ip)

    async with serving(authenticate=decide) as (_, port):
        client = await RawClient.open(port)
        client.send(Connect("c1", username="u", password=b"secret"), *publishes(1))
        good = [await client.receive(), await client.receive()]
        client.close()
        stranger = await RawClient.open(port)
        stranger.send(Connect("c2", username="u", password=b"guess"))
        bad = await stranger.closed()

    assert good == [Connack(), Ack(PUBACK, 1)]
    assert bad == [Connack(False, 4)]
    assert (seen[0].kind, seen[0].peer_ip) == ("tcp", "127.0.0.1")


async def test_a_broken_authentication_refuses_the_client(caplog: pytest.LogCaptureFixture) -> None:
    def broken(connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        raise RuntimeError("no registry")

    async with serving(authenticate=broken) as (_, port):
        client = await RawClient.open(port)
        client.send(Connect("c1"))

        assert await client.closed() == [Connack(False, 3)]


async def test_a_client_is_not_read_while_too_many_of_its_publishes_wait() -> None:
    gate = asyncio.get_running_loop().create_future()
    handed: list[int] = []

    def on_publish(batch: list[Publish]) -> "asyncio.Future[None] | None":
        if batch[0].topic != "a":
            return None
        handed.append(len(batch))
        return asyncio.shield(gate)

    async with serving(on_publish=on_publish) as (_, port):
        client = await RawClient.connect(port, "c1")
        client.send(*(PublishPacket("a", b"x" * 1000) for _ in range(20_000)))
        await until(lambda: sum(handed) > 4000)
        await asyncio.sleep(0)
        waiting = sum(handed)
        gate.set_result(None)
        await until(lambda: sum(handed) == 20_000)
        client.close()

    assert waiting < 6000


async def test_a_host_with_several_addresses_is_reached_on_one_port() -> None:
    async with serving(host="localhost") as (_, port):
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(encode_packet(Connect("c1"), V311))
        answer = await reader.readexactly(4)
        writer.close()

    assert answer == encode_packet(Connack(), V311)


async def test_an_oversized_packet_is_refused_before_its_body_arrives() -> None:
    async with serving() as (_, port):
        client = await RawClient.connect(port, "c1", V5)
        client.send_bytes(b"\x30\xff\xff\x7f" + b"\x00" * 100_000)

        packets = await client.closed()

    assert [p.reason_code for p in packets if isinstance(p, Disconnect)] == [ReasonCode.PACKET_TOO_LARGE]


async def test_damaged_and_random_connections_do_not_harm_others() -> None:
    source = random.Random(7)
    async with serving() as (_, port):
        good = await RawClient.connect(port, "good")
        valid = encode_packet(Connect("bad", V311), V311) + encode_packet(publishes(1)[0], V311)
        for _ in range(60):
            damaged = bytearray(valid)
            damaged[source.randrange(len(damaged))] = source.randrange(256)
            bad = await RawClient.open(port)
            bad.send_bytes(bytes(damaged) if source.random() < 0.5 else source.randbytes(source.randrange(1, 200)))
            bad.close()
        good.send(Pingreq(), *publishes(1))

        assert [await good.receive(), await good.receive()] == [Pingresp(), Ack(PUBACK, 1)]
        good.close()


async def test_a_silent_connection_is_closed_after_the_connect_timeout() -> None:
    async with serving(profile=replace(AWS, connect_timeout_s=0.05)) as (server, port):
        silent = await RawClient.open(port)
        dribbling = await RawClient.open(port)
        dribbling.send_bytes(b"\x10")

        assert await silent.closed() == []
        assert await dribbling.closed() == []
        await until(lambda: not server.links)


async def test_a_subscriber_that_does_not_read_neither_grows_nor_delays_others() -> None:
    profile = replace(AWS, max_queued_messages=50, max_unsent_bytes=100_000)
    dropped: list[tuple[str, str, str]] = []
    async with serving(profile=profile, on_dropped=lambda *drop: dropped.append(drop)) as (server, port):
        deaf = await RawClient.connect(port, "deaf")
        deaf.send(Subscribe(1, (SubscriptionRequest("a", 0),)))
        assert isinstance(await deaf.receive(), Suback)
        session = server.broker.session("deaf")
        assert session is not None
        assert session.connection is not None
        publisher = await RawClient.connect(port, "p")
        for _ in range(400):
            publisher.send(PublishPacket("a", b"x" * 100_000, 1, packet_id=1))
            assert await publisher.receive() == Ack(PUBACK, 1)
            if dropped:
                break

        assert session.connection.is_congested
        assert dropped[0] == ("deaf", "a", "slow subscriber")
        publisher.close()
        deaf.close()


async def test_a_congested_subscriber_gets_the_rest_once_it_reads() -> None:
    async with serving(profile=replace(AWS, max_unsent_bytes=100_000)) as (_, port):
        slow = await RawClient.connect(port, "slow")
        slow.send(Subscribe(1, (SubscriptionRequest("a", 1),)))
        assert isinstance(await slow.receive(), Suback)
        publisher = await RawClient.connect(port, "p")
        for number in range(1, 101):
            publisher.send(PublishPacket("a", number.to_bytes(2, "big") * 50_000, 1, packet_id=1))
            assert await publisher.receive() == Ack(PUBACK, 1)

        numbers = []
        for _ in range(100):
            packet = await slow.receive()
            assert isinstance(packet, PublishPacket)
            numbers.append(int.from_bytes(packet.payload[:2], "big"))
            slow.send(Ack(PUBACK, packet.packet_id))
        publisher.close()
        slow.close()

    assert numbers == list(range(1, 101))


async def test_a_session_is_there_after_the_server_was_replaced() -> None:
    store = MemorySessionStore()
    async with serving(store=store) as (_, port):
        client = await RawClient.connect(port, "c1", clean_start=False)
        client.send(Subscribe(1, (SubscriptionRequest("a", 1),)))
        assert isinstance(await client.receive(), Suback)
        client.close()
    async with serving(store=store) as (_, port):
        publisher = await RawClient.connect(port, "p")
        publisher.send(*publishes(1))
        assert await publisher.receive() == Ack(PUBACK, 1)
        publisher.close()
    async with serving(store=store) as (_, port):
        back = await RawClient.open(port)
        back.send(Connect("c1", clean_start=False))

        received = [await back.receive(), await back.receive()]
        back.close()

    assert received == [Connack(session_present=True), PublishPacket("a", b"x", 1, packet_id=1)]


async def test_stopping_says_goodbye_and_finishes_the_work_under_way() -> None:
    finished: list[bool] = []

    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        finished.append(True)

    def on_publish(batch: list[Publish]) -> "asyncio.Future[None] | None":
        return asyncio.ensure_future(work()) if batch[0].topic == "a" else None

    async with serving(on_publish=on_publish) as (server, port):
        client = await RawClient.connect(port, "c1", V5, properties=Properties())
        client.send(*publishes(1), Pingreq())
        assert isinstance(await client.receive(), Pingresp)
        await server.stop(1.0)

        packets = await client.closed()

    assert finished == [True]
    assert [p.reason_code for p in packets if isinstance(p, Disconnect)] == [ReasonCode.SERVER_SHUTTING_DOWN]
