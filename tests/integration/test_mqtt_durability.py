"""What a killed broker has promised: acknowledged publishes are stored, sessions and their queues are back."""

import asyncio
import sys
from pathlib import Path

from headwater.mqtt.codec.packets import Ack, Connack, Connect, PacketType, PublishPacket, Suback, Subscribe
from headwater.mqtt.codec.packets import SubscriptionRequest as Request
from headwater.storage.store import Store
from headwater.values.transaction import ReadTransaction
from tests.integration.mqtt_serving import RawClient

PROGRAM = Path(__file__).parent / "handlers" / "mqtt_broker.py"
PUBLISHES = 9000  # two megabytes, so that the kill comes in the middle; the session's queue holds 10,000


def payload(number: int) -> bytes:
    return f"{number:0200}".encode()


class BrokerProcess:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, directory: Path) -> "BrokerProcess":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), str(directory)),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": "."},
        )
        assert process.stdout is not None
        return cls(process, int(await asyncio.wait_for(process.stdout.readline(), 30)))

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


async def handed_on(directory: Path) -> set[bytes]:
    """Payloads of the publishes to `a` that the broker's rules have stored."""

    def read(transaction: ReadTransaction) -> set[bytes]:
        return {key.removeprefix(b"a|") for key, _ in transaction.scan("handed-on", b"a|", b"a}")}

    store = Store.open(directory)
    try:
        return store.read(read)
    finally:
        await store.close()


async def test_what_was_acknowledged_before_a_kill_is_stored_and_waits_for_its_subscriber(tmp_path: Path) -> None:
    broker = await BrokerProcess.start(tmp_path)
    keeper = await RawClient.connect(broker.port, "keeper", clean_start=False)
    keeper.send(Subscribe(1, (Request("a", 1),)))
    assert isinstance(await keeper.receive(), Suback)
    keeper.close()
    publisher = await RawClient.connect(broker.port, "p")
    publisher.send(*(PublishPacket("a", payload(number), 1, packet_id=number) for number in range(1, PUBLISHES + 1)))
    first = await publisher.receive()
    await broker.kill()
    acknowledged = {payload(p.packet_id) for p in [first, *await publisher.closed()] if isinstance(p, Ack)}

    assert acknowledged
    assert acknowledged <= await handed_on(tmp_path)
    broker = await BrokerProcess.start(tmp_path)
    keeper = await RawClient.open(broker.port)
    keeper.send(Connect("keeper", clean_start=False))
    assert await keeper.receive() == Connack(session_present=True)
    delivered: list[bytes] = []
    while not acknowledged <= set(delivered):
        packet = await keeper.receive()
        assert isinstance(packet, PublishPacket)
        delivered.append(packet.payload)
        keeper.send(Ack(PacketType.PUBACK, packet.packet_id))
    keeper.close()
    await broker.kill()

    assert delivered == [payload(number) for number in range(1, len(delivered) + 1)]
