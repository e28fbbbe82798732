"""Tables, streams, queues and buckets: made at the first start, checked against the template at later ones."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from headwater.deploy.deployment import Deployment, integers, picked
from headwater.errors import ServiceError, TemplateError
from headwater.template.intrinsics import Resource

_INDEX_MEMBERS = ("IndexName", "KeySchema", "Projection", "ProvisionedThroughput")
_QUEUE_ATTRIBUTES = (
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "VisibilityTimeout",
)


def table_request(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The CreateTable request of an `AWS::DynamoDB::Table`."""
    request = {"TableName": name, **picked(properties, "KeySchema", "AttributeDefinitions", "BillingMode")}
    for group in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if properties.get(group):
            request[group] = [picked(index, *_INDEX_MEMBERS) for index in properties[group]]
    if "ProvisionedThroughput" in properties:
        request["ProvisionedThroughput"] = properties["ProvisionedThroughput"]
    if "StreamSpecification" in properties:
        view_type = properties["StreamSpecification"].get("StreamViewType")
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view_type}
    prepared: dict[str, Any] = integers(request)
    return prepared


async def deploy_table(deployment: Deployment, resource: Resource) -> None:
    """Create the table, or bring an existing one to the template's indexes and stream."""
    name = deployment.stack.physical_id(resource.logical_id)
    request = table_request(name, resource.properties)
    existing = await _describe_table(deployment, name)
    if existing is None:
        await _call_dynamodb(deployment, "CreateTable", request)
    else:
        await _update_table(deployment, existing, request)
    await _set_time_to_live(deployment, name, resource.properties.get("TimeToLiveSpecification"))
    deployment.report(resource, name)


async def stream_label(deployment: Deployment, name: str) -> str | None:
    """The label of a table's current stream."""
    table = await _describe_table(deployment, name)
    return table.get("LatestStreamLabel") if table else None


async def _call_dynamodb(deployment: Deployment, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    return await deployment.dynamodb.call(operation, request, deployment.administrator)


async def _describe_table(deployment: Deployment, name: str) -> dict[str, Any] | None:
    try:
        answer = await _call_dynamodb(deployment, "DescribeTable", {"TableName": name})
    except ServiceError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return None
    table: dict[str, Any] = answer["Table"]
    return table


async def _update_table(deployment: Deployment, existing: dict[str, Any], request: dict[str, Any]) -> None:
    if existing["KeySchema"] != request["KeySchema"]:
        raise TemplateError(
            f"the stored table {request['TableName']} has the key {existing['KeySchema']}; a key cannot change: "
            "give the table another name, or start over with `headwater data reset`",
            property_path="KeySchema",
        )
    name = request["TableName"]
    there = {index["IndexName"]: index for index in existing.get("GlobalSecondaryIndexes", [])}
    wanted = {index["IndexName"]: index for index in request.get("GlobalSecondaryIndexes", [])}
    for index_name in there.keys() - wanted.keys():
        await _update_index(deployment, request, {"Delete": {"IndexName": index_name}})
    for index_name in wanted.keys() - there.keys():
        await _update_index(deployment, request, {"Create": wanted[index_name]})
    specification = existing.get("StreamSpecification")
    if specification != request.get("StreamSpecification"):
        if specification:
            await _call_dynamodb(
                deployment, "UpdateTable", {"TableName": name, "StreamSpecification": {"StreamEnabled": False}}
            )
        if "StreamSpecification" in request:
            await _call_dynamodb(deployment, "UpdateTable", picked(request, "TableName", "StreamSpecification"))


async def _update_index(deployment: Deployment, request: dict[str, Any], change: dict[str, Any]) -> None:
    update = {**picked(request, "TableName", "AttributeDefinitions"), "GlobalSecondaryIndexUpdates": [change]}
    await _call_dynamodb(deployment, "UpdateTable", update)


async def _set_time_to_live(deployment: Deployment, name: str, specification: dict[str, Any] | None) -> None:
    current = await _call_dynamodb(deployment, "DescribeTimeToLive", {"TableName": name})
    description = current.get("TimeToLiveDescription", {})
    is_on = description.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    wanted = specification or {"Enabled": False}
    is_wanted = str(wanted.get("Enabled")).lower() == "true"
    if is_on == is_wanted:
        return
    attribute = wanted.get("AttributeName") or description.get("AttributeName")
    change = {"TableName": name, "TimeToLiveSpecification": {"Enabled": is_wanted, "AttributeName": attribute}}
    await _call_dynamodb(deployment, "UpdateTimeToLive", change)


async def deploy_stream(deployment: Deployment, resource: Resource) -> None:
    """Create the stream; an existing one keeps its shards."""
    name = deployment.stack.physical_id(resource.logical_id)
    properties = integers(resource.properties)
    request = {"StreamName": name, **picked(properties, "ShardCount", "StreamModeDetails")}
    if "ShardCount" not in request and request.get("StreamModeDetails", {}).get("StreamMode") != "ON_DEMAND":
        request["ShardCount"] = 1
    call = deployment.kinesis.call
    try:
        await call("CreateStream", request, deployment.administrator)
    except ServiceError as error:
        if error.code != "ResourceInUseException":
            raise
    hours = properties.get("RetentionPeriodHours")
    if hours is not None and hours > 24:
        summary = await call("DescribeStreamSummary", {"StreamName": name}, deployment.administrator)
        if summary["StreamDescriptionSummary"]["RetentionPeriodHours"] < hours:
            change = {"StreamName": name, "RetentionPeriodHours": hours}
            await call("IncreaseStreamRetentionPeriod", change, deployment.administrator)
    deployment.report(resource, name)


async def deploy_stream_consumer(deployment: Deployment, resource: Resource) -> None:
    """Register an enhanced fan-out consumer."""
    request = {
        "StreamARN": resource.properties["StreamARN"],
        "ConsumerName": deployment.stack.physical_id(resource.logical_id),
    }
    try:
        await deployment.kinesis.call("RegisterStreamConsumer", request, deployment.administrator)
    except ServiceError as error:
        if error.code != "ResourceInUseException":
            raise
    deployment.report(resource, request["ConsumerName"])


async def stream_consumer_arn(deployment: Deployment, resource: Resource) -> str | None:
    """The ARN of a consumer that is registered; it ends with the second of its registration."""
    request = {
        "StreamARN": resource.properties["StreamARN"],
        "ConsumerName": deployment.stack.physical_id(resource.logical_id),
    }
    try:
        answer = await deployment.kinesis.call("DescribeStreamConsumer", request, deployment.administrator)
    except ServiceError:
        return None
    return str(answer["ConsumerDescription"]["ConsumerARN"])


def redrive_depth(deployment: Deployment) -> Callable[[Resource], int]:
    """How many queues have to be there before one: SQS takes no dead-letter target that does not exist."""
    queues = deployment.of_type("AWS::SQS::Queue")
    targets = {str(deployment.stack.get_att([one.logical_id, "Arn"])): one for one in queues}

    def depth(queue: Resource) -> int:
        count, seen = 0, set()
        while queue.logical_id not in seen:
            seen.add(queue.logical_id)
            policy = queue.properties.get("RedrivePolicy")
            target = targets.get(str(policy.get("deadLetterTargetArn"))) if isinstance(policy, Mapping) else None
            if target is None:
                break
            count, queue = count + 1, target
        return count

    return depth


async def deploy_queue(deployment: Deployment, resource: Resource) -> None:
    """Create the queue, or set the template's attributes on an existing one."""
    name = deployment.stack.physical_id(resource.logical_id)
    attributes: dict[str, str] = {}
    for attribute in _QUEUE_ATTRIBUTES:
        value = resource.properties.get(attribute)
        if value is None or (attribute == "FifoQueue" and str(value).lower() == "false"):
            continue
        if isinstance(value, dict):
            attributes[attribute] = orjson.dumps(value).decode()
        else:
            attributes[attribute] = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        url = (await deployment.sqs.call("GetQueueUrl", {"QueueName": name}, deployment.administrator))["QueueUrl"]
    except ServiceError:
        request = {"QueueName": name, "Attributes": attributes}
        url = (await deployment.sqs.call("CreateQueue", request, deployment.administrator))["QueueUrl"]
    else:
        attributes.pop("FifoQueue", None)
        if attributes:
            change = {"QueueUrl": url, "Attributes": attributes}
            await deployment.sqs.call("SetQueueAttributes", change, deployment.administrator)
    deployment.report(resource, url)


async def deploy_bucket(deployment: Deployment, resource: Resource) -> None:
    """Make the bucket's folder."""
    name = deployment.stack.physical_id(resource.logical_id)
    await deployment.s3.create_bucket(name)
    deployment.report(resource, name)
