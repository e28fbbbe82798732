"""A judged template becomes running parts, family by family in the order they need each other."""

import asyncio
import contextlib
import datetime
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headwater.auth.jwt import PoolKey, make_pool_key
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.deploy import data, event_sources, policies
from headwater.deploy.authorizers.service import CustomAuthorizers, deploy_authorizer, deploy_domain
from headwater.deploy.aws_services import AsynchronousDelivery, aws_api
from headwater.deploy.compiled import Compiled
from headwater.deploy.deployment import Deployment, deploy_each, names_of
from headwater.deploy.events import resources as event_resources
from headwater.deploy.events.bus import EventBus
from headwater.deploy.events.graphql_target import GraphQLTargets
from headwater.deploy.events.schedules import Schedules
from headwater.deploy.events.targets import EventTargets
from headwater.deploy.examination import Examination, examine, first_of
from headwater.deploy.functions import resources as functions
from headwater.deploy.functions.stored_events import StoredEvents
from headwater.deploy.graphql import api as graphql
from headwater.deploy.iot import resources as iot
from headwater.deploy.iot.access import DeviceAccess
from headwater.deploy.iot.invocation import DecidingFunctions
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.iot.sessions import StoredSessions
from headwater.deploy.iot.shadows import Shadows
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.ports import Ports
from headwater.deploy.provisioning.service import Provisioning, deploy_template
from headwater.deploy.roles import Roles
from headwater.deploy.rules.actions import RuleActions
from headwater.deploy.rules.engine import RuleEngine
from headwater.deploy.rules.functions import RuleFunctions
from headwater.deploy.topics import resources as topic_resources
from headwater.deploy.topics.topics import Topics
from headwater.deploy.user_pools import UserPools
from headwater.errors import TemplateError
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
from headwater.template.attributes import ATTRIBUTES, Named, StackEnvironment

# Each is a process, and a template of hundreds of functions costs nothing before they are called.
_WARMED_FUNCTIONS = 16


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


async def bring_up(
    options: UpOptions,
    loaded: LoadedTemplate,
    store: Store,
    data_dir: Path,
    ports: Ports,
    *,
    secret: str,
    compiled: Compiled,
) -> Deployment:
    """Deploy the whole template and listen. Raises: TemplateError with everything that is wrong with it."""
    site = Site(store, data_dir, ports.endpoint_url, ports.local_host, secret)
    deployment = await deploy_stack(options, loaded, site, compiled)
    deployment.faults.raise_found()
    deployment.mappings = event_sources.event_source_mappings(deployment)
    await ports.listen_for_devices(deployment.mqtt)
    ports.router.fallback = iot.custom_http(deployment).in_front_of(aws_api(deployment).handle)
    return deployment


async def deploy_stack(options: UpOptions, loaded: LoadedTemplate, site: Site, compiled: Compiled) -> Deployment:
    """Make the parts of every resource; `faults` of the result holds what is wrong with the others.

    Raises: TemplateError for a fault of the whole template.
    """
    environment = StackEnvironment(
        region=options.region,
        account_id=options.account_id,
        stack_name=options.stack_name,
        endpoint_url=site.endpoint_url,
        iot_endpoint=site.host,
        first_api=first_of(loaded, "AWS::AppSync::GraphQLApi"),
        first_api_key=first_of(loaded, "AWS::AppSync::ApiKey"),
        api_key=options.api_key,
        secret=site.secret,
    )
    examination = examine(loaded, environment)
    deployment = _deployment(options, loaded, site, examination, compiled)
    for logical_id in list(deployment.faults.broken):
        with contextlib.suppress(TemplateError):
            deployment.faults.broken.update(names_of(deployment, logical_id))
    for kind, deploy in (
        ("AWS::DynamoDB::Table", data.deploy_table),
        ("AWS::Kinesis::Stream", data.deploy_stream),
        ("AWS::Kinesis::StreamConsumer", data.deploy_stream_consumer),
    ):
        await deploy_each(deployment, kind, deploy)
    await _resolve_again(deployment, environment)
    await _deploy_rest(deployment)
    return deployment


async def _deploy_rest(deployment: Deployment) -> None:
    await policies.deploy_roles(deployment)
    for kind, deploy in (
        ("AWS::SQS::Queue", data.deploy_queue),
        ("AWS::S3::Bucket", data.deploy_bucket),
        ("AWS::Cognito::UserPool", policies.deploy_user_pool),
        ("AWS::Lambda::Function", functions.deploy_function),
        ("AWS::SNS::Topic", topic_resources.deploy_topic),
        ("AWS::SNS::Subscription", topic_resources.deploy_subscription),
        ("AWS::Events::EventBus", event_resources.deploy_bus),
        *((kind, graphql.check_api_part) for kind in graphql.API_PARTS),
        ("AWS::AppSync::GraphQLApi", graphql.deploy_api),
        ("AWS::IoT::ThingType", iot.deploy_thing_type),
        ("AWS::IoT::ThingGroup", iot.deploy_thing_group),
        ("AWS::IoT::Thing", iot.deploy_thing),
        ("AWS::IoT::Policy", iot.deploy_policy),
        ("AWS::IoT::ProvisioningTemplate", deploy_template),
        ("AWS::IoT::Authorizer", deploy_authorizer),
        ("AWS::IoT::DomainConfiguration", deploy_domain),
        ("AWS::IoT::TopicRule", iot.deploy_rule),
        ("AWS::Lambda::EventSourceMapping", event_sources.deploy_mapping),
        ("AWS::Events::Rule", event_resources.deploy_rule),
        ("AWS::Scheduler::Schedule", event_resources.deploy_schedule),
    ):
        await deploy_each(deployment, kind, deploy)
    functions.check_debugged(deployment)
    functions.warn_about_interpreter(deployment)
    await event_resources.forget_old_schedules(deployment)
    event_resources.warn_about_topic_rules(deployment)


def _deployment(
    options: UpOptions,
    loaded: LoadedTemplate,
    site: Site,
    examination: Examination,
    compiled: Compiled,
) -> Deployment:
    store, data_dir = site.store, site.data_dir
    place: dict[str, Any] = {"region": options.region, "account_id": options.account_id}
    roles = Roles(options.account_id, options.checks_iam)
    kinesis = KinesisService(store, **place, clock=time.time, enforces_quotas=options.enforces_quotas)
    dynamodb = DynamoDbService(store, **place, clock=time.time)
    sqs = SqsService(store, **place, clock=time.time, base_url=site.endpoint_url)
    s3 = S3Service(data_dir / "s3")
    delivery = AsynchronousDelivery(sqs, s3, clock=time.time)
    logs = LogBuffer()
    function_service = FunctionService(
        **place,
        log=logs.append,
        deliver=delivery.deliver_event,
        journal=StoredEvents(store),
        credentials=lambda config: roles.function_variables(config.role_arn, site.endpoint_url),
    )
    delivery.functions = function_service
    topics = Topics(store, **place, send=delivery.deliver, invoke=function_service.invoke_event, clock=time.time)
    delivery.topics = topics
    apis: dict[str, graphql.GraphQLApi] = {}
    targets = EventTargets(
        roles=roles,
        sqs=sqs,
        kinesis=kinesis,
        functions=function_service,
        topics=topics,
        graphql=GraphQLTargets(apis, roles),
    )
    events = EventBus(**place, deliver=targets.deliver, dead_letter=targets.dead_letter, clock=time.time, store=store)
    delivery.events = events
    rules = RuleEngine({}, os.urandom, options.account_id)
    devices = DeviceRegistry(
        store,
        Account(**place),
        # Opened for each certificate, so that its validity begins when it is made.
        lambda: CertificateAuthority(data_dir / "tls", datetime.datetime.now(datetime.UTC)),
        clock=time.time,
        new_id=_new_id,
    )

    async def publish(topic: str, payload: bytes, *, qos: int = 1, properties: Properties | None = None) -> None:
        await mqtt.publish(topic, payload, qos=qos, properties=properties)

    shadows = Shadows(store, clock=time.time, publish=publish)
    deciding = DecidingFunctions(function_service)
    custom = CustomAuthorizers.of(devices.database, devices.account, deciding, clock=time.time, endpoint=site.host)
    access = DeviceAccess(devices, roles, custom.authentication, clock=time.time, trusts_strangers=options.mqtt_open)
    provisioning = Provisioning.of(
        devices,
        roles,
        deciding,
        answer=lambda client, topic, payload: mqtt.answer(client, topic, payload),
        clock=time.time,
        new_id=_new_id,
    )
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
    rules.performers = RuleActions(
        roles=roles,
        **place,
        kinesis=kinesis,
        dynamodb=dynamodb,
        sqs=sqs,
        topics=topics,
        s3=s3,
        functions=function_service,
        republish=publish,
        records=rules.records,
        clock=time.time,
    ).performers()
    rules.ask = RuleFunctions(
        Account(**place), roles=roles, dynamodb=dynamodb, functions=function_service, shadows=shadows
    ).ask
    return Deployment(
        options=options,
        loaded=loaded,
        stack=examination.stack,
        resources=examination.resources,
        store=store,
        data_dir=data_dir,
        roles=roles,
        dynamodb=dynamodb,
        kinesis=kinesis,
        sqs=sqs,
        s3=s3,
        functions=function_service,
        user_pools=UserPools(data_dir, options.region, site.make_pool_key),
        rules=rules,
        mqtt=mqtt,
        devices=devices,
        shadows=shadows,
        deciding=deciding,
        provisioning=provisioning,
        custom=custom,
        events=events,
        topics=topics,
        apis=apis,
        logs=logs,
        schedules=Schedules(
            store,
            targets.deliver,
            clock=time.time,
            arn_prefix=f"arn:aws:scheduler:{options.region}:{options.account_id}",
            put_events=events.put_events,
            dead_letter=targets.dead_letter,
        ),
        page_tokens=PageTokens(graphql.page_token_secret(site.secret)),
        administrator_key=roles.issue_key(None),
        clock=time.time,
        api_key=_api_key(examination),
        is_rehearsal=site.is_rehearsal,
        compiled=compiled,
        faults=examination.faults,
        findings=examination.findings,
    )


def _new_id() -> str:
    return str(uuid.uuid4())


def _api_key(examination: Examination) -> str:
    """The key of the first API key resource there is; empty without one."""
    for resource in examination.resources:
        if resource.type == "AWS::AppSync::ApiKey":
            named = Named(resource.logical_id, "", dict, examination.stack.environment)
            return str(ATTRIBUTES[resource.type]["ApiKey"](named))
    return ""


async def _resolve_again(deployment: Deployment, environment: StackEnvironment) -> None:
    """Resolve with the labels of table streams and the ARNs of stream consumers, which exist only now."""
    labels: dict[str, str] = {}
    for table in deployment.of_type("AWS::DynamoDB::Table"):
        name = deployment.stack.physical_id(table.logical_id)
        label = await data.stream_label(deployment, name)
        if label is not None:
            labels[name] = label
    arns: dict[str, str] = {}
    for consumer in deployment.of_type("AWS::Kinesis::StreamConsumer"):
        arn = await data.stream_consumer_arn(deployment, consumer)
        if arn is not None:
            arns[consumer.logical_id] = arn
    examination = examine(deployment.loaded, replace(environment, stream_labels=labels, consumer_arns=arns))
    deployment.stack, deployment.resources = examination.stack, examination.resources


async def start_sources(deployment: Deployment) -> None:
    """Warm the functions that event sources feed, the first of them, and start those sources."""
    await deployment.functions.start()
    names = event_sources.fed_functions(deployment)[:_WARMED_FUNCTIONS]
    await asyncio.gather(*(deployment.functions.warm(name) for name in names), return_exceptions=True)
    await event_sources.start_mappings(deployment)
    deployment.functions.resume_events()
