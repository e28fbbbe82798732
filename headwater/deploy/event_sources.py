"""Flow 4/8: event source mappings of the template and of the Lambda API, with durable checkpoints."""

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from headwater.deploy.deployment import Deployment, integers
from headwater.deploy.mapping_rights import warn_without_rights
from headwater.deploy.topics.topics import Publication
from headwater.errors import ServiceError, TemplateError
from headwater.eventsource.mapping_request import check_create
from headwater.eventsource.mappings import EventSourceMappings, FunctionReference, MappingPorts
from headwater.eventsource.ports import FailedBatch, QueueSource, RecordSource
from headwater.storage.store import Store
from headwater.template.attributes import Named, event_source_mapping_id
from headwater.template.intrinsics import Resource
from headwater.values.transaction import ReadTransaction, WriteTransaction

_log = logging.getLogger(__name__)
_CHECKPOINTS = "checkpoints"
_DEFINITIONS = "mappings"
# CloudFormation properties that change nothing here.
_DEPLOY_ONLY = frozenset(("Tags", "MetricsConfig", "KmsKeyArn"))


class StoredCheckpoints:
    """Positions of event source mappings, in the store beside the records they count."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, mapping_id: str) -> Mapping[str, str]:
        """Positions by shard."""
        prefix = f"{mapping_id}/".encode()

        def read(transaction: ReadTransaction) -> dict[str, str]:
            pairs = transaction.scan(_CHECKPOINTS, prefix, prefix[:-1] + b"0")
            return {key[len(prefix) :].decode(): value.decode() for key, value in pairs}

        return self._store.read(read)

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        """Keep one position; returns after the commit."""
        key, value = f"{mapping_id}/{shard}".encode(), sequence.encode()
        await self._store.write(lambda transaction: transaction.put(_CHECKPOINTS, key, value))


class StoredDefinitions:
    """Mappings made through the Lambda API; those of the template are the template's to remember."""

    def __init__(self, store: Store, of_template: Iterable[str]) -> None:
        self._store = store
        self._of_template = frozenset(of_template)

    def load(self) -> list[dict[str, Any]]:
        """Everything that was kept."""

        def read(transaction: ReadTransaction) -> list[dict[str, Any]]:
            return [orjson.loads(value) for _, value in transaction.scan(_DEFINITIONS)]

        return self._store.read(read)

    async def save(self, mapping_id: str, definition: dict[str, Any] | None) -> None:
        """Keep one mapping, or forget it."""
        if mapping_id in self._of_template:
            return
        key = mapping_id.encode()

        def write(transaction: WriteTransaction) -> None:
            if definition is None:
                transaction.delete(_DEFINITIONS, key)
            else:
                transaction.put(_DEFINITIONS, key, orjson.dumps(definition))

        await self._store.write(write)


def event_source_mappings(deployment: Deployment) -> EventSourceMappings:
    """The instance's mappings, none of them started."""
    ports = MappingPorts(
        find_function=lambda name: _find_function(deployment, name),
        find_source=lambda arn: _find_source(deployment, arn),
        invoke=deployment.functions.invoke,
        checkpoints=StoredCheckpoints(deployment.store),
        on_failure=OnFailureDelivery(deployment).deliver,
        clock=deployment.clock,
        # A test that makes its own queue need not wait 30 s for a redelivery; `deploy_mapping` refuses in templates.
        checks_visibility=False,
    )
    of_template = [mapping_id_of(deployment, one.logical_id) for one in _resources(deployment)]
    return EventSourceMappings(ports, definitions=StoredDefinitions(deployment.store, of_template))


def _resources(deployment: Deployment) -> list[Resource]:
    return deployment.of_type("AWS::Lambda::EventSourceMapping")


def _find_function(deployment: Deployment, name: str) -> FunctionReference | None:
    try:
        config = deployment.functions.config(name)
    except ServiceError:
        return None
    qualifier = name.rsplit(":", 1)[-1]
    has_qualifier = qualifier != config.name and name.endswith(f"{config.name}:{qualifier}")
    arn = f"{config.arn}:{qualifier}" if has_qualifier else config.arn
    return FunctionReference(config.name, arn, config.role_arn, config.timeout_s)


def _find_source(deployment: Deployment, arn: str) -> RecordSource | QueueSource | None:
    service = arn.split(":")[2]
    try:
        if service == "sqs":
            return deployment.sqs.queue_source(arn)
        return (deployment.kinesis if service == "kinesis" else deployment.dynamodb).stream_source(arn)
    except ServiceError:
        return None


def mapping_id_of(deployment: Deployment, logical_id: str) -> str:
    """The UUID of a mapping in the template."""
    return event_source_mapping_id(Named(logical_id, "", dict, deployment.stack.environment))


def _request(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The API's request from CloudFormation's properties."""
    request = {
        name: integers(value) for name, value in properties.items() if name not in _DEPLOY_ONLY and value is not None
    }
    for name in ("Enabled", "BisectBatchOnFunctionError"):
        if isinstance(request.get(name), str):
            request[name] = request[name].lower() == "true"
    if isinstance(request.get("StartingPositionTimestamp"), str):
        with contextlib.suppress(ValueError):
            request["StartingPositionTimestamp"] = float(request["StartingPositionTimestamp"])
    criteria = request.get("FilterCriteria")
    filters = criteria.get("Filters") if isinstance(criteria, dict) else None
    for entry in filters if isinstance(filters, list) else ():
        if isinstance(entry, dict) and not isinstance(entry.get("Pattern"), str):
            entry["Pattern"] = orjson.dumps(entry.get("Pattern")).decode()
    return request


async def deploy_mapping(deployment: Deployment, resource: Resource) -> None:
    """Check a mapping; `start_mappings` starts it when everything else answers."""
    properties = resource.properties
    name, arn = str(properties["FunctionName"]), str(properties["EventSourceArn"])
    try:
        check_create(_request(properties), now=deployment.clock())
    except ServiceError as error:
        # The API's message does not say which pattern, and what of it.
        cause = f" {error.__cause__}" if error.__cause__ is not None else ""
        raise TemplateError(error.message + cause) from error
    function = _find_function(deployment, name)
    if function is None:
        fault = f"{name!r} is no function of this template"
        raise deployment.faults.missing(fault, name, property_path="FunctionName")
    source = _find_source(deployment, arn)
    if source is None:
        fault = f"{arn!r} is no stream or queue of this template"
        raise deployment.faults.missing(fault, arn, property_path="EventSourceArn")
    visible_s = getattr(source, "visibility_timeout_s", function.timeout_s)
    if visible_s < function.timeout_s:
        raise TemplateError(
            f"Queue visibility timeout: {visible_s} seconds is less than Function timeout: {function.timeout_s:.0f} "
            "seconds; a running batch would be delivered again, so AWS refuses this"
        )
    destination = ((properties.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    warn_without_rights(deployment, resource.logical_id, function.role_arn, arn, destination)
    deployment.report(resource, f"{arn.split(':', 5)[5]} -> {function.name}")


async def start_mappings(deployment: Deployment) -> None:
    """Start the template's mappings, then bring back those made through the API."""
    for resource in _resources(deployment):
        request = _request(resource.properties)
        await deployment.mappings.create(request, mapping_id=mapping_id_of(deployment, resource.logical_id))
    await deployment.mappings.start()


def fed_functions(deployment: Deployment) -> list[str]:
    """The functions that event sources call, which are warmed before the start is reported."""
    names = {str(one.properties["FunctionName"]) for one in _resources(deployment)}
    return sorted({found.name for name in names if (found := _find_function(deployment, name)) is not None})


class OnFailureDelivery:
    """Sends what a mapping gave up on to its destination."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def deliver(self, batch: FailedBatch) -> None:
        """Raises: ServiceError if the destination does not take it; the mapping then tries again."""
        service = batch.destination.split(":")[2]
        body = orjson.dumps(batch.document).decode()
        if service == "sqs":
            await self._deployment.sqs.send(batch.destination, body)
        elif service == "sns":
            await self._deployment.topics.publish(batch.destination, Publication(body))
        elif service == "s3":
            bucket = batch.destination.split(":::")[1].split("/")[0]
            await self._deployment.s3.put(bucket, batch.object_key, body.encode())
        else:
            raise ServiceError("InvalidParameterValueException", f"the destination {batch.destination} does not work")
        _log.warning("mapping %s gave up on a batch; its record is in %s", batch.mapping_id, batch.destination)
