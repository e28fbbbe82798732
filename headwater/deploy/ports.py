"""The sockets of an instance: one port for GraphQL, real-time and AWS APIs, and the MQTT ports."""

import datetime
import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.examination import first_of
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.routing import LateAcceptor, Router, acceptors
from headwater.errors import HeadwaterError
from headwater.server.http.server import HttpServer
from headwater.server.http.tls import CertificateAuthority
from headwater.server.mqtt.server import MqttServer
from headwater.server.mqtt.websocket import MqttWebSocketAcceptor
from headwater.template.attributes import StackEnvironment
from headwater.values.http import HttpHandler
from headwater.values.loopback import is_loopback

_log = logging.getLogger(__name__)
_GRAPHQL_API = "AWS::AppSync::GraphQLApi"


class AddressError(HeadwaterError):
    """An address cannot be listened on; the user gives another one."""


@contextmanager
def _binding(option: str, host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The loop words some of these itself, so the number says what is wrong.
        if error.errno == errno.EADDRINUSE:
            raise AddressError(
                f"port {port} of {host} is in use: is Headwater running already? Stop what uses it, "
                f"or choose another one with {option}; {option} 0 picks a free one"
            ) from error
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise AddressError(f"cannot listen on port {port} of {host} (--host, {option}): {reason}") from error


@dataclass(slots=True)
class Ports:
    """Bound ports and what answers on them."""

    options: UpOptions
    server: HttpServer
    router: Router
    authority: CertificateAuthority
    first_api: str
    realtime: dict[str, LateAcceptor]
    mqtt_socket: LateAcceptor
    port: int = 0
    mqtt: MqttServer | None = None
    mqtt_port: int | None = None
    mqtt_tls_port: int | None = None
    _names: tuple[str, ...] = field(default=())

    @classmethod
    async def bind(cls, options: UpOptions, loaded: LoadedTemplate, data_dir: Path) -> "Ports":
        """Bind the HTTP port. Raises: AddressError."""
        now = datetime.datetime.now(datetime.UTC)
        authority = CertificateAuthority(data_dir / "tls", now)
        names = () if is_loopback(options.host) or options.host in ("0.0.0.0", "::") else (options.host,)
        router, mqtt_socket = Router(), LateAcceptor()
        first_api = first_of(loaded, _GRAPHQL_API)
        realtime: dict[str, LateAcceptor] = {}
        paths: dict[str, LateAcceptor] = {"/mqtt": mqtt_socket}
        for logical_id, body in loaded.document.resources.items():
            if body["Type"] == _GRAPHQL_API:
                acceptor = realtime[logical_id] = LateAcceptor()
                path = StackEnvironment(first_api=first_api).api_path(logical_id)
                paths[path] = paths[f"{path}/realtime"] = acceptor
        server = HttpServer(
            router, websocket_acceptors=acceptors(paths), ssl_context=authority.server_ssl_context(names)
        )
        ports = cls(options, server, router, authority, first_api, realtime, mqtt_socket, _names=names)
        with _binding("--port", options.host, options.port):
            ports.port = await server.start(options.host, options.port)
        return ports

    @property
    def local_host(self) -> str:
        """The host that programs on this machine connect to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.options.host, self.options.host)

    @property
    def authority_text(self) -> str:
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"{host}:{self.port}"

    @property
    def endpoint_url(self) -> str:
        return f"http://{self.authority_text}"

    async def listen_for_devices(self, mqtt: MqttServer) -> None:
        """Bind the MQTT ports. Raises: AddressError."""
        self.mqtt = mqtt
        options = self.options
        is_local = is_loopback(options.host)
        if options.mqtt_port is not None and (is_local or options.mqtt_open):
            with _binding("--mqtt-port", options.host, options.mqtt_port):
                self.mqtt_port = await mqtt.start(options.host, options.mqtt_port)
        if options.mqtt_tls_port is not None:
            context = self.authority.server_ssl_context(self._names, asks_for_client=True)
            with _binding("--mqtt-tls-port", options.host, options.mqtt_tls_port):
                self.mqtt_tls_port = await mqtt.start(options.host, options.mqtt_tls_port, ssl_context=context)
        self.mqtt_socket.target = MqttWebSocketAcceptor(mqtt)

    async def answer(self, deployment: Deployment, control: Mapping[str, HttpHandler]) -> None:
        """Let requests through."""
        for logical_id, api in deployment.apis.items():
            self.router.exact[deployment.stack.environment.api_path(logical_id)] = api.http
            self.realtime[logical_id].target = api.realtime
        self.router.prefixes = list(control.items())
        self.router.is_ready = True

    async def stop_accepting_devices(self, grace_s: float) -> None:
        """End MQTT: clients are told, durable work under way is finished."""
        if self.mqtt is not None:
            await self.mqtt.stop(grace_s)

    async def stop(self, grace_s: float) -> None:
        """End HTTP and WebSockets."""
        await self.server.stop(grace_s)

    def ready_document(self, deployment: Deployment) -> dict[str, Any]:
        """The ready file's content."""
        key = deployment.administrator_key
        has_api = bool(self.first_api)
        return {
            "graphqlUrl": f"{self.endpoint_url}/graphql" if has_api else None,
            "realtimeUrl": f"ws://{self.authority_text}/graphql/realtime" if has_api else None,
            "apiKey": deployment.api_key or None,
            "mqttHost": self.local_host,
            "mqttPort": self.mqtt_port,
            "mqttTlsPort": self.mqtt_tls_port,
            "awsEndpointUrl": self.endpoint_url,
            "region": self.options.region,
            "accountId": self.options.account_id,
            "accessKeyId": key.access_key_id,
            "secretAccessKey": key.secret,
            "caFile": str(self.authority.ca_file.resolve()),
            "consoleUrl": None,
            "pid": os.getpid(),
        }
