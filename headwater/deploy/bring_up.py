"""A judged template becomes running parts, family by family in the order they need each other."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from headwater.deploy import data, event_sources, policies
from headwater.deploy.authorizers.service import deploy_authorizer, deploy_domain
from headwater.deploy.aws_services import aws_api
from headwater.deploy.compiled import Compiled
from headwater.deploy.deployment import Deployment, deploy_each, names_of
from headwater.deploy.events import resources as event_resources
from headwater.deploy.examination import examine, first_of
from headwater.deploy.functions import resources as functions
from headwater.deploy.graphql import api as graphql
from headwater.deploy.iot import resources as iot
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.ports import Ports
from headwater.deploy.provisioning.service import deploy_template
from headwater.deploy.topics import resources as topic_resources
from headwater.deploy.wiring import Site, make_deployment
from headwater.errors import TemplateError
from headwater.storage.store import Store
from headwater.template.attributes import StackEnvironment

# Each is a process, and a template of hundreds of functions costs nothing before they are called.
_WARMED_FUNCTIONS = 16


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
    deployment = make_deployment(options, loaded, site, examination, compiled)
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
    await deploy_each(deployment, "AWS::SQS::Queue", data.deploy_queue, rank=data.redrive_depth(deployment))
    for kind, deploy in (
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


async def _resolve_again(deployment: Deployment, environment: StackEnvironment) -> None:
    """Resolve with the labels of table streams and the ARNs of stream consumers, which exist only now."""
    labels: dict[str, str] = {}
    for table in deployment.of_type("AWS::DynamoDB::Table"):
        if table.logical_id in deployment.faults.broken:
            continue
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
    deployment.outputs = examination.outputs


async def start_sources(deployment: Deployment) -> None:
    """Warm the functions that event sources feed, the first of them, and start those sources."""
    await deployment.functions.start()
    names = event_sources.fed_functions(deployment)[:_WARMED_FUNCTIONS]
    await asyncio.gather(*(deployment.functions.warm(name) for name in names), return_exceptions=True)
    await event_sources.start_mappings(deployment)
    deployment.functions.resume_events()
