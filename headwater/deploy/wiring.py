"""The parts of a stack, made and connected: services over the store, what passes events on, and devices."""

import datetime
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.auth.jwt import PoolKey, make_pool_key
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.deploy.authorizers.service import CustomAuthorizers
from headwater.deploy.aws_services import AsynchronousDelivery
from headwater.deploy.compiled import Compiled
from headwater.deploy.deployment import Deployment
from headwater.deploy.events.bus import EventBus
from headwater.deploy.events.graphql_target import GraphQLTargets
from headwater.deploy.events.schedules import Schedules
from headwater.deploy.events.targets import EventTargets
from headwater.deploy.examination import Examination
from headwater.deploy.functions.stored_events import StoredEvents
from headwater.deploy.graphql.api import GraphQLApi, page_token_secret
from headwater.deploy.iot.access import DeviceAccess
from headwater.deploy.iot.invocation import DecidingFunctions
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.iot.sessions import StoredSessions
from headwater.deploy.iot.shadows import Shadows
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.provisioning.service import Provisioning
from headwater.deploy.roles import Roles
from headwater.deploy.rules.actions import RepublishTo, RuleActions
from headwater.deploy.rules.engine import RuleEngine
from headwater.deploy.rules.functions import RuleFunctions
from headwater.deploy.topics.topics import Topics
from headwater.deploy.user_pools import UserPools
from headwater.functions.log_buffer import LogBuffer
from headwater.functions.service import FunctionService
from headwater.mqtt.codec.packets import Properties
from headwater.mqtt.profile import AWS, STANDARD
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.server.mqtt.server import MqttServer
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.s3_service import S3Service
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store
from headwater.template.attributes import ATTRIBUTES, Named


@dataclass(frozen=True, slots=True)
class Site:
    """Where a stack is deployed: its store and files, and the address its URLs name."""

    store: Store
    data_dir: Path
    endpoint_url: str
    host: str
    secret: str
    make_pool_key: Callable[[], PoolKey] = make_pool_key
    is_rehearsal: bool = False


@dataclass(frozen=True, slots=True)
class _Services:
    """What keeps data, and who may use it."""

    roles: Roles
    kinesis: KinesisService
    dynamodb: DynamoDbService
    sqs: SqsService
    s3: S3Service


@dataclass(frozen=True, slots=True)
class _Events:
    """Functions, and what hands events to them and to others."""

    functions: FunctionService
    logs: LogBuffer
    topics: Topics
    bus: EventBus
    schedules: Schedules
    apis: dict[str, GraphQLApi]


@dataclass(frozen=True, slots=True)
class _Devices:
    """Devices, their broker, and what happens with their messages."""

    registry: DeviceRegistry
    shadows: Shadows
    deciding: DecidingFunctions
    provisioning: Provisioning
    custom: CustomAuthorizers
    mqtt: MqttServer
    rules: RuleEngine


def make_deployment(
    options: UpOptions, loaded: LoadedTemplate, site: Site, examination: Examination, compiled: Compiled
) -> Deployment:
    """Everything the resources of a stack are deployed with; none of them is yet."""
    account = Account(region=options.region, account_id=options.account_id)
    services = _services(options, site, account)
    events = _events(services, site, account)
    devices = _devices(options, services, events, site, account)
    return Deployment(
        options=options,
        loaded=loaded,
        stack=examination.stack,
        resources=examination.resources,
        store=site.store,
        data_dir=site.data_dir,
        roles=services.roles,
        dynamodb=services.dynamodb,
        kinesis=services.kinesis,
        sqs=services.sqs,
        s3=services.s3,
        functions=events.functions,
        user_pools=UserPools(site.data_dir, options.region, site.make_pool_key),
        rules=devices.rules,
        mqtt=devices.mqtt,
        devices=devices.registry,
        shadows=devices.shadows,
        deciding=devices.deciding,
        provisioning=devices.provisioning,
        custom=devices.custom,
        events=events.bus,
        topics=events.topics,
        apis=events.apis,
        logs=events.logs,
        schedules=events.schedules,
        page_tokens=PageTokens(page_token_secret(site.secret)),
        administrator_key=services.roles.issue_key(None),
        clock=time.time,
        api_key=_api_key(examination),
        is_rehearsal=site.is_rehearsal,
        compiled=compiled,
        faults=examination.faults,
        findings=examination.findings,
        outputs=examination.outputs,
        warnings=list(examination.warnings),
    )


def _services(options: UpOptions, site: Site, account: Account) -> _Services:
    store, place = site.store, _place(account)
    return _Services(
        Roles(account.account_id, options.checks_iam),
        KinesisService(store, **place, clock=time.time, enforces_quotas=options.enforces_quotas),
        DynamoDbService(store, **place, clock=time.time),
        SqsService(store, **place, clock=time.time, base_url=site.endpoint_url),
        S3Service(site.data_dir / "s3"),
    )


def _events(services: _Services, site: Site, account: Account) -> _Events:
    store, roles, place = site.store, services.roles, _place(account)
    logs = LogBuffer()
    # Functions, topics and buses hand events to each other: what delivers them learns of them as they are made.
    delivery = AsynchronousDelivery(services.sqs, services.s3, clock=time.time)
    delivery.functions = functions = FunctionService(
        **place,
        log=logs.append,
        deliver=delivery.deliver_event,
        journal=StoredEvents(store),
        credentials=lambda config: roles.function_variables(config.role_arn, config.name, site.endpoint_url),
    )
    delivery.topics = topics = Topics(
        store, **place, send=delivery.deliver, invoke=functions.invoke_event, clock=time.time
    )
    apis: dict[str, GraphQLApi] = {}
    targets = EventTargets(
        roles=roles,
        sqs=services.sqs,
        kinesis=services.kinesis,
        functions=functions,
        topics=topics,
        graphql=GraphQLTargets(apis, roles),
    )
    delivery.events = bus = EventBus(
        **place, deliver=targets.deliver, dead_letter=targets.dead_letter, clock=time.time, store=store
    )
    schedules = Schedules(
        store,
        targets.deliver,
        clock=time.time,
        arn_prefix=f"arn:aws:scheduler:{account.region}:{account.account_id}",
        put_events=bus.put_events,
        dead_letter=targets.dead_letter,
    )
    return _Events(functions, logs, topics, bus, schedules, apis)


def _devices(options: UpOptions, services: _Services, events: _Events, site: Site, account: Account) -> _Devices:
    store, roles = site.store, services.roles
    registry = DeviceRegistry(
        store,
        account,
        # Opened for each certificate, so that its validity begins when it is made.
        lambda: CertificateAuthority(site.data_dir / "tls", datetime.datetime.now(datetime.UTC)),
        clock=time.time,
        new_id=_new_id,
    )

    async def publish(topic: str, payload: bytes, *, qos: int = 1, properties: Properties | None = None) -> None:
        await mqtt.publish(topic, payload, qos=qos, properties=properties)

    shadows = Shadows(store, clock=time.time, publish=publish)
    deciding = DecidingFunctions(events.functions)
    custom = CustomAuthorizers.of(registry.database, account, deciding, clock=time.time, endpoint=site.host)
    access = DeviceAccess(registry, roles, custom.authentication, clock=time.time, trusts_strangers=options.mqtt_open)
    provisioning = Provisioning.of(
        registry,
        roles,
        deciding,
        answer=lambda client, topic, payload: mqtt.answer(client, topic, payload),
        clock=time.time,
        new_id=_new_id,
    )
    rules = _rules(services, events, shadows, publish, account)
    mqtt = MqttServer(
        STANDARD if options.mqtt_profile == "standard" else AWS,
        authenticate=access.authenticate,
        authorize=access.authorize,
        on_publish=provisioning.requests.in_front_of(shadows.in_front_of(rules.on_publish)),
        store=StoredSessions(store),
        admits=custom.authentication.admits_without_certificate,
        enforces_quotas=options.enforces_quotas,
    )
    access.watch(mqtt.broker)
    return _Devices(registry, shadows, deciding, provisioning, custom, mqtt, rules)


def _rules(
    services: _Services, events: _Events, shadows: Shadows, publish: RepublishTo, account: Account
) -> RuleEngine:
    rules = RuleEngine({}, os.urandom, account.account_id)
    rules.performers = RuleActions(
        roles=services.roles,
        **_place(account),
        kinesis=services.kinesis,
        dynamodb=services.dynamodb,
        sqs=services.sqs,
        topics=events.topics,
        s3=services.s3,
        functions=events.functions,
        republish=publish,
        records=rules.records,
        clock=time.time,
    ).performers()
    rules.ask = RuleFunctions(
        account, roles=services.roles, dynamodb=services.dynamodb, functions=events.functions, shadows=shadows
    ).ask
    return rules


def _place(account: Account) -> dict[str, Any]:
    return {"region": account.region, "account_id": account.account_id}


def _new_id() -> str:
    return str(uuid.uuid4())


def _api_key(examination: Examination) -> str:
    """The key of the first API key resource there is; empty without one."""
    for resource in examination.resources:
        if resource.type == "AWS::AppSync::ApiKey":
            named = Named(resource.logical_id, "", dict, examination.stack.environment)
            return str(ATTRIBUTES[resource.type]["ApiKey"](named))
    return ""
