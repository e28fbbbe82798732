"""A stack while it is being brought up and while it runs: its services and what each resource became."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.datasource.tables.page_tokens import PageTokens
from headwater.deploy.compiled import Compiled
from headwater.deploy.events.bus import EventBus
from headwater.deploy.events.schedules import Schedules
from headwater.deploy.faults import Faults
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.roles import AccessKey, Roles
from headwater.deploy.topics.topics import Topics
from headwater.errors import TemplateError
from headwater.functions.log_buffer import LogBuffer
from headwater.functions.service import FunctionService
from headwater.server.mqtt.server import MqttServer
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.s3_service import S3Service
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store
from headwater.template.intrinsics import Resource, Stack
from headwater.template.verdicts import Finding
from headwater.values.identity import AwsPrincipal

if TYPE_CHECKING:
    from headwater.deploy.authorizers.service import CustomAuthorizers
    from headwater.deploy.graphql.api import GraphQLApi
    from headwater.deploy.iot.invocation import DecidingFunctions
    from headwater.deploy.iot.registry import DeviceRegistry
    from headwater.deploy.iot.shadows import Shadows
    from headwater.deploy.provisioning.service import Provisioning
    from headwater.deploy.rules.engine import RuleEngine
    from headwater.deploy.user_pools import UserPools
    from headwater.eventsource.mappings import EventSourceMappings


@dataclass(frozen=True, slots=True)
class LiveResource:
    """One line of the start-up report."""

    logical_id: str
    type: str
    where: str


@dataclass(slots=True)
class Deployment:
    """Everything the resources of one stack share."""

    options: UpOptions
    loaded: LoadedTemplate
    stack: Stack
    resources: list[Resource]
    store: Store
    data_dir: Path
    roles: Roles
    dynamodb: DynamoDbService
    kinesis: KinesisService
    sqs: SqsService
    s3: S3Service
    functions: FunctionService
    user_pools: "UserPools"
    rules: "RuleEngine"
    mqtt: MqttServer
    devices: "DeviceRegistry"
    shadows: "Shadows"
    deciding: "DecidingFunctions"
    provisioning: "Provisioning"
    custom: "CustomAuthorizers"
    page_tokens: PageTokens
    schedules: Schedules
    events: EventBus
    topics: Topics
    logs: LogBuffer
    administrator_key: AccessKey
    compiled: Compiled
    faults: Faults
    findings: list[Finding]
    clock: Callable[[], float]
    api_key: str = ""
    is_rehearsal: bool = False
    apis: dict[str, "GraphQLApi"] = field(default_factory=dict)
    live: list[LiveResource] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    _mappings: "EventSourceMappings | None" = None

    @property
    def mappings(self) -> "EventSourceMappings":
        """The event source mappings, which need everything above."""
        assert self._mappings is not None, "set right after the deployment is made"
        return self._mappings

    @mappings.setter
    def mappings(self, mappings: "EventSourceMappings") -> None:
        self._mappings = mappings

    @property
    def administrator(self) -> AwsPrincipal:
        """Who the runtime is towards its own services."""
        return AwsPrincipal("", self.options.account_id)

    @property
    def requirements_dir(self) -> Path | None:
        """Where packages of functions are installed; None while a template is only looked at."""
        return None if self.is_rehearsal else self.data_dir / "requirements"

    def of_type(self, kind: str) -> list[Resource]:
        """The stack's resources of one type, in template order."""
        return [resource for resource in self.resources if resource.type == kind]

    def report(self, resource: Resource, where: str) -> None:
        """Remember a live resource for the start-up report."""
        self.live.append(LiveResource(resource.logical_id, resource.type, where))


Deploy = Callable[[Deployment, Resource], Awaitable[None]]


async def deploy_each(
    deployment: Deployment, kind: str, deploy: Deploy, *, rank: Callable[[Resource], int] = lambda resource: 0
) -> None:
    """Deploy all resources of a type that are not at fault; what is wrong with one is collected in `faults`.

    Those of a lower rank come first, else they come as in the template.
    """
    for resource in sorted(deployment.of_type(kind), key=rank):
        if resource.logical_id not in deployment.faults.broken:
            with deployment.faults.collecting(resource.logical_id, *names_of(deployment, resource.logical_id)):
                await deploy(deployment, resource)


def names_of(deployment: Deployment, logical_id: str) -> list[str]:
    """What other resources may call this one by."""
    stack = deployment.stack
    names = {stack.physical_id(logical_id), str(stack.ref(logical_id))}
    with contextlib.suppress(TemplateError):
        names.add(str(stack.get_att([logical_id, "Arn"])))
    return sorted(names)


def picked(properties: dict[str, Any], *names: str) -> dict[str, Any]:
    """The properties of these names that are given."""
    return {name: properties[name] for name in names if name in properties}


def integers(value: Any) -> Any:
    """CloudFormation takes numbers as text; the APIs do not."""
    if isinstance(value, dict):
        return {name: integers(child) for name, child in value.items()}
    if isinstance(value, list):
        return [integers(child) for child in value]
    return int(value) if isinstance(value, str) and value.isdigit() else value
