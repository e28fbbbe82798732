"""What `headwater up` was asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_TEMPLATE = Path("infra/template.yaml")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `up`, as the contract names them. `data_dir` None keeps nothing; port 0 picks a free one.

    `mqtt_port` None is no plain MQTT listener. `devices` is the size of the simulated fleet. `allowed_hosts` are
    those beyond this machine that HTTP data sources and OpenID Connect may be fetched from. `debug_ports` gives
    functions, by name or logical id, the port their debugger listens on. `max_subscriptions` is AppSync's quota for one
    real-time connection, which AWS raises on request.
    """

    template: Path = DEFAULT_TEMPLATE
    host: str = "127.0.0.1"
    port: int = 8080
    mqtt_port: int | None = 1883
    mqtt_tls_port: int | None = 8883
    mqtt_open: bool = False
    mqtt_profile: Literal["aws", "standard"] = "aws"
    data_dir: Path | None = Path(".headwater")
    api_key: str = ""
    devices: int = 0
    ready_file: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    sync: Literal["normal", "full"] = "normal"
    enforces_quotas: bool = False
    max_subscriptions: int = 200
    checks_iam: bool = True
    region: str = "us-east-1"
    account_id: str = "123456789012"
    stack_name: str = "headwater"
    allowed_hosts: tuple[str, ...] = ()
    debug_ports: dict[str, int] = field(default_factory=dict)
