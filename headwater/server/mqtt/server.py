"""Flow 1/8: devices connect here: MQTT over TCP, TLS and WebSocket, in front of the broker."""

import asyncio
import logging
import socket
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from headwater.errors import HeadwaterError
from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.packets import Connect, Properties
from headwater.mqtt.ports import (
    Authenticate,
    Authorize,
    ClientContext,
    MemorySessionStore,
    OnLifecycle,
    OnPublish,
    OnQuota,
    Publish,
    Refusal,
    SessionStore,
    TransportInfo,
)
from headwater.mqtt.profile import AWS, Profile
from headwater.server.handshakes import HandshakeLimits, Handshakes
from headwater.server.listening import Listeners
from headwater.server.mqtt.link import MqttLink, TcpCarrier

logger = logging.getLogger(__name__)

_TICK_S = 0.25
# A handshake takes 35 KB; one that is half open gives its place to a peer that waits.
_HANDSHAKES = HandshakeLimits()
# A full disk fails every chunk of every client: one line tells it, and how many failed since the last one.
_FAILURE_LOG_INTERVAL_S = 10.0


class MqttServer:
    """One broker and its sockets.

    `authenticate` None lets everybody in under the client id they ask for. `on_publish` gets every accepted publish in
    order, once per chunk a client sent; PUBACKs of a chunk leave when its awaitable and the session store's are done.
    Everything the broker itself publishes (presence, wills, `publish`) goes to `on_publish` as well. `admits` is asked
    about TLS clients that show no certificate, before they can say anything.
    """

    def __init__(
        self,
        profile: Profile = AWS,
        *,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        on_publish: OnPublish | None = None,
        on_lifecycle: OnLifecycle | None = None,
        on_quota: OnQuota | None = None,
        on_dropped: Callable[[str, str, str], None] | None = None,
        store: SessionStore | None = None,
        admits: Callable[[TransportInfo], bool] = lambda transport: True,
        enforces_quotas: bool = False,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.clock = clock
        self.authenticate: Authenticate = authenticate or _anybody
        self.admits = admits
        self.links: set[MqttLink] = set()
        self.stalled: set[MqttLink] = set()
        # The server name of a TLS client (SNI), which the standard library shows to this callback only.
        self.server_names: WeakKeyDictionary[object, str] = WeakKeyDictionary()
        self._on_publish = on_publish
        self._store: SessionStore = store or MemorySessionStore()
        self._listeners: list[Listeners] = []
        self._handshakes: list[Handshakes] = []
        self._tasks: set[asyncio.Future[object]] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._to_flush: list[MqttLink] = []
        self._is_flush_due = False
        self._is_stopped = False
        self._failures = 0
        self._failure_logged_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self.broker = Broker(
            profile,
            new_id=new_id,
            now=clock(),
            authorize=authorize,
            on_lifecycle=on_lifecycle,
            on_quota=on_quota,
            on_dropped=on_dropped,
            wake=self._flush_soon,
            enforces_quotas=enforces_quotas,
            stored=self._store.load(),
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def start(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None = None,
        handshakes: HandshakeLimits = _HANDSHAKES,
    ) -> int:
        """Listen on one more port, with TLS if there is a context; the port's number (for port 0)."""
        if ssl_context is not None:
            ssl_context.sni_callback = self._note_server_name
        waiting = Handshakes(
            lambda peer: self._connect(peer, ssl_context, handshakes.timeout_s), handshakes, self.loop.time
        )
        listeners = Listeners(self._connect_plain if ssl_context is None else waiting.add)
        number = await listeners.open(host, port)
        self._listeners.append(listeners)
        self._handshakes.append(waiting)
        listeners.start()
        self.begin()
        return number

    def _connect_plain(self, peer: socket.socket) -> None:
        self._connect(peer, None, None)

    def _connect(
        self, peer: socket.socket, context: ssl.SSLContext | None, timeout_s: float | None
    ) -> "asyncio.Task[None]":
        task = self.loop.create_task(self._hand_over(peer, context, timeout_s))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _hand_over(self, peer: socket.socket, context: ssl.SSLContext | None, timeout_s: float | None) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: TcpCarrier(self), peer, ssl=context, ssl_handshake_timeout=timeout_s
            )
        except (TimeoutError, OSError) as error:
            logger.info("a connection failed before its first packet: %s", error)
            peer.close()
        except asyncio.CancelledError:
            peer.close()
            raise

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop listening, tell the clients, finish the durable work that is under way for at most `grace_s`."""
        for listener in self._listeners:
            listener.close()
        for waiting in self._handshakes:
            waiting.close()
        for connecting in tuple(self._connecting):
            connecting.cancel()
        self._is_stopped = True
        if self._ticker is not None:
            self._ticker.cancel()
        self.broker.stop(self.clock())
        self._flush()
        deadline = self.loop.time() + grace_s
        while self._tasks and (rest := deadline - self.loop.time()) > 0:
            await asyncio.wait(set(self._tasks), timeout=rest)
        for task in self._tasks:
            task.cancel()
        self._flush()
        for link in list(self.links):
            link.flush()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        client: ClientContext | None = None,
    ) -> None:
        """Publish from inside; returns when subscribers have it in their queues and the rules' work is durable.

        Raises: TopicError for a topic nobody may publish to; whatever `on_publish` raises.
        """
        publish = self.broker.publish(
            topic,
            payload,
            now=self.clock(),
            qos=qos,
            retain=retain,
            properties=properties,
            client=client,
            hands_to_rules=False,
        )
        work = self.commit([publish])
        if work is not None:
            await work

    def answer(self, client: ClientContext, topic: str, payload: bytes) -> bool:
        """Publish to the one connection a request came by; false if it is not there or does not want it."""
        return self.broker.answer(client, topic, payload, self.clock())

    def begin(self) -> None:
        """Start the broker's time, and what it has to say from before a restart; the first socket does it."""
        if self._ticker is None:
            self._tick()
            self._flush_soon()

    # -- what links call ------------------------------------------------------------------------------------------

    def commit(self, publishes: list[Publish]) -> Awaitable[object] | None:
        """Hand publishes to the rules and changed sessions to the store; None if both are done already."""
        handed = self._on_publish(publishes) if publishes and self._on_publish is not None else None
        changes = self.broker.take_changes()
        saving = self._store.save(changes) if changes else None
        if saving is None:
            return handed
        # Started here, so that changes reach the store in the order they were made: a publish that is forgotten
        # before it is kept would come back after a restart.
        saved = asyncio.ensure_future(saving)
        return saved if handed is None else asyncio.gather(handed, saved)

    def run(self, work: Awaitable[object]) -> "asyncio.Future[object]":
        """Work that `stop` waits for; a future is taken as it is, so that it costs no task."""
        future = asyncio.ensure_future(work)
        self._tasks.add(future)
        future.add_done_callback(self._tasks.discard)
        return future

    def note_failure(self, what: str, error: BaseException, context: dict[str, Any]) -> None:
        """Log a failure: our own errors once in ten seconds in one line, others with their traceback."""
        if not isinstance(error, HeadwaterError):
            logger.error("%s", what, extra=context, exc_info=error)
            return
        self._failures += 1
        now = self.clock()
        if now - self._failure_logged_at >= _FAILURE_LOG_INTERVAL_S:
            logger.error("%s: %s (%d since the last report)", what, error, self._failures, extra=context)
            self._failures, self._failure_logged_at = 0, now

    def flush_later(self, link: MqttLink) -> None:
        """Write for this link at the end of the loop turn, once for all that the turn brings."""
        self._to_flush.append(link)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_due and not self._is_stopped and self._ticker is not None:
            self._is_flush_due = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        links, self._to_flush = self._to_flush, []
        if self.broker.has_work:
            self._commit_own()
        for link in links:
            link.flush()

    def _commit_own(self) -> None:
        """Work no client waits for: a failure is logged, nothing is acknowledged."""
        try:
            work = self.commit(self.broker.take_publishes())
        except Exception as error:
            self.note_failure("the broker's own publishes were not handed on", error, {})
            return
        if work is not None:
            self.run(self._watch(work))

    async def _watch(self, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:
            self.note_failure("work for the broker's own publishes failed", error, {})

    def _note_server_name(self, tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        if name is not None:
            self.server_names[tls] = name

    def _tick(self) -> None:
        self.broker.tick(self.clock())
        for waiting in self._handshakes:
            waiting.sweep()
        self.stalled = {link for link in self.stalled if not link.unstall()}
        self._ticker = self.loop.call_later(_TICK_S, self._tick)


def _anybody(connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
    return ClientContext(connect.client_id, connect.username or "", transport.peer_ip)
