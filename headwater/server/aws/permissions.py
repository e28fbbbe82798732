"""Which IAM actions on which resources an AWS API request needs.

Source: Service Authorization Reference, DynamoDB, Kinesis Data Streams, SQS, Lambda, IoT, S3.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from headwater.errors import ServiceError
from headwater.kinesis.iterators import ShardIterator
from headwater.values.arn import is_arn

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Permission:
    """One action on resources; no resource means that the action must be allowed somewhere."""

    action: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Where resources that are named without their ARN belong to."""

    region: str
    account_id: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


def permissions_of(target_prefix: str, operation: str, request: Request, account: Account) -> list[Permission]:
    """What a request of the JSON protocols needs; its members may be of any type, for it is not validated yet."""
    build = _BY_TARGET.get(target_prefix)
    if build is None:
        return [_unlisted(target_prefix.split("_")[0].removeprefix("Amazon").lower(), operation)]
    return list(build(operation, request, account))


def rest_permissions_of(service: str, method: str, path: str, account: Account) -> list[Permission]:
    """What a REST request needs, by the service of its signature."""
    build = _BY_SERVICE.get(service)
    if build is None:
        return [_unlisted(service, method)]
    return list(build(method, path.strip("/").split("/"), account))


def _unlisted(service: str, operation: str) -> Permission:
    """A service this table does not know is for roles that may do everything in it, never for all of them."""
    return Permission(f"{service}:{operation}", ("*",))


_UNDERLYING = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def _dynamodb(operation: str, request: Request, account: Account) -> Iterator[Permission]:
    if operation in ("TransactWriteItems", "TransactGetItems"):
        # A transaction needs the actions of its parts, there is none of its own.
        for item in _list(request.get("TransactItems")):
            for kind, part in item.items() if isinstance(item, Mapping) else ():
                if kind in _UNDERLYING and isinstance(part, Mapping):
                    table = _table(part.get("TableName"), account)
                    yield Permission(f"dynamodb:{_UNDERLYING[kind]}", (table,))
        return
    if operation in ("BatchGetItem", "BatchWriteItem"):
        tables = request.get("RequestItems")
        names = tables if isinstance(tables, Mapping) else {}
        yield Permission(f"dynamodb:{operation}", tuple(_table(name, account) for name in names))
        return
    yield Permission(f"dynamodb:{operation}", _dynamodb_resources(operation, request, account))


def _dynamodb_resources(operation: str, request: Request, account: Account) -> tuple[str, ...]:
    if operation in ("ListTables", "DescribeLimits", "DescribeEndpoints", "ListBackups"):
        return ("*",)
    if operation in ("ListTagsOfResource", "TagResource", "UntagResource"):
        return (str(request.get("ResourceArn", "")),)
    if operation in ("DescribeBackup", "DeleteBackup", "RestoreTableFromBackup"):
        return (str(request.get("BackupArn", "")),)
    if operation == "RestoreTableToPointInTime":
        return (_table(request.get("SourceTableArn") or request.get("SourceTableName"), account),)
    table = _table(request.get("TableName"), account)
    index = request.get("IndexName")
    return (f"{table}/index/{index}",) if isinstance(index, str) else (table,)


def _table(name: object, account: Account) -> str:
    text = str(name or "")
    return text if is_arn(text) else account.arn("dynamodb", f"table/{text}")


def _dynamodb_streams(operation: str, request: Request, account: Account) -> Iterator[Permission]:
    if operation == "ListStreams":
        yield Permission("dynamodb:ListStreams", ("*",))
    elif operation == "GetRecords":
        yield Permission("dynamodb:GetRecords", ())
    else:
        yield Permission(f"dynamodb:{operation}", (str(request.get("StreamArn", "")),))


def _kinesis(operation: str, request: Request, account: Account) -> Iterator[Permission]:
    if operation in ("ListStreams", "DescribeLimits"):
        resources: tuple[str, ...] = ("*",)
    elif operation == "GetRecords":
        resources = _stream_of_iterator(request.get("ShardIterator"), account)
    elif operation == "ListShards" and "NextToken" in request:
        resources = ()
    else:
        # All of them must be allowed: which one the service reads is not decided here.
        named = [str(request[name]) for name in ("ConsumerARN", "StreamARN", "ResourceARN") if request.get(name)]
        if request.get("StreamName") or not named:
            named.append(account.arn("kinesis", f"stream/{request.get('StreamName', '')}"))
        resources = tuple(named)
    yield Permission(f"kinesis:{operation}", resources)


def _stream_of_iterator(text: object, account: Account) -> tuple[str, ...]:
    try:
        return (account.arn("kinesis", f"stream/{ShardIterator.decode(str(text)).stream_name}"),)
    except ServiceError:
        return ()  # the request is refused with its own message in a moment


_SQS_SINGLE = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}


def _sqs(operation: str, request: Request, account: Account) -> Iterator[Permission]:
    action = f"sqs:{_SQS_SINGLE.get(operation, operation)}"
    if operation == "ListQueues":
        yield Permission(action, ("*",))
        return
    # All of them must be allowed: which one the service reads is not decided here.
    members = ("QueueName", "QueueUrl", "SourceArn", "DestinationArn", "TaskHandle")
    named = [str(request[name]) for name in members if request.get(name)] or [""]
    names = [text if is_arn(text) else account.arn("sqs", text.rsplit("/", 1)[-1]) for text in named]
    yield Permission(action, tuple(names))


def _events(operation: str, request: Request, account: Account) -> Iterator[Permission]:
    if operation == "PutEvents":
        entries = [entry for entry in _list(request.get("Entries")) if isinstance(entry, Mapping)]
        names = {str(entry.get("EventBusName") or "default") for entry in entries}
        resources = tuple(n if is_arn(n) else account.arn("events", f"event-bus/{n}") for n in sorted(names))
        yield Permission("events:PutEvents", resources)
    else:
        yield Permission(f"events:{operation}", ("*",))


# What stands after a function's name, and the method -> the action.
_FUNCTION_ACTIONS = {
    ("POST", "invocations"): "InvokeFunction",
    ("POST", "invoke-async"): "InvokeFunction",
    ("GET", ""): "GetFunction",
    ("DELETE", ""): "DeleteFunction",
    ("PUT", "code"): "UpdateFunctionCode",
    ("GET", "configuration"): "GetFunctionConfiguration",
    ("PUT", "configuration"): "UpdateFunctionConfiguration",
    ("GET", "concurrency"): "GetFunctionConcurrency",
    ("PUT", "concurrency"): "PutFunctionConcurrency",
    ("DELETE", "concurrency"): "DeleteFunctionConcurrency",
    ("GET", "event-invoke-config"): "GetFunctionEventInvokeConfig",
    ("PUT", "event-invoke-config"): "PutFunctionEventInvokeConfig",
    ("POST", "event-invoke-config"): "UpdateFunctionEventInvokeConfig",
    ("DELETE", "event-invoke-config"): "DeleteFunctionEventInvokeConfig",
    ("GET", "aliases"): "ListAliases",
    ("POST", "aliases"): "CreateAlias",
    ("GET", "versions"): "ListVersionsByFunction",
    ("POST", "versions"): "PublishVersion",
    ("GET", "policy"): "GetPolicy",
    ("POST", "policy"): "AddPermission",
    ("DELETE", "policy"): "RemovePermission",
}
# What a path with a name behind it needs: /functions/NAME/aliases/ALIAS and the like.
_NAMED_ACTIONS = {
    ("GET", "aliases"): "GetAlias",
    ("PUT", "aliases"): "UpdateAlias",
    ("DELETE", "aliases"): "DeleteAlias",
    ("GET", "event-invoke-config"): "ListFunctionEventInvokeConfigs",
}
_TAG_ACTIONS = {"GET": "ListTags", "POST": "TagResource", "DELETE": "UntagResource"}
_LAYER_ACTIONS = {
    ("GET", 1): "ListLayers",
    ("GET", 3): "ListLayerVersions",
    ("POST", 3): "PublishLayerVersion",
    ("GET", 4): "GetLayerVersion",
    ("DELETE", 4): "DeleteLayerVersion",
}
_MAPPING_ACTIONS = {
    ("POST", False): "CreateEventSourceMapping",
    ("GET", False): "ListEventSourceMappings",
    ("GET", True): "GetEventSourceMapping",
    ("PUT", True): "UpdateEventSourceMapping",
    ("DELETE", True): "DeleteEventSourceMapping",
}


def _lambda(method: str, path: list[str], account: Account) -> Iterator[Permission]:
    # /2015-03-31/functions/NAME/invocations and /2014-11-13/functions/NAME/invoke-async
    parts = path[1:]
    if parts[:1] == ["functions"] and len(parts) == 1:
        yield Permission("lambda:ListFunctions" if method == "GET" else "lambda:CreateFunction", ("*",))
    elif parts[:1] == ["functions"]:
        what = parts[2] if len(parts) > 2 else ""
        action = _FUNCTION_ACTIONS.get((method, what), f"{method}{what}")
        if len(parts) > 3:
            action = _NAMED_ACTIONS.get((method, what), action)
        yield Permission(f"lambda:{action}", (_function_arn(unquote(parts[1]), account),))
    elif parts[:1] == ["event-source-mappings"]:
        action = _MAPPING_ACTIONS.get((method, len(parts) > 1), method)
        yield Permission(f"lambda:{action}", ("*",))
    elif parts[:1] == ["tags"] and len(parts) > 1:
        yield Permission(f"lambda:{_TAG_ACTIONS.get(method, method)}", (unquote(parts[1]),))
    elif parts[:1] == ["layers"]:
        action = _LAYER_ACTIONS.get((method, len(parts)), method)
        layer = ":".join(("layer", *map(unquote, parts[1:2]), *parts[3:4]))
        yield Permission(f"lambda:{action}", (account.arn("lambda", layer) if len(parts) > 1 else "*",))
    elif parts[:1] == ["account-settings"]:
        yield Permission("lambda:GetAccountSettings", ("*",))
    else:
        yield Permission(f"lambda:{method}", ("*",))


def _function_arn(text: str, account: Account) -> str:
    """The ARN a policy is decided on; a partial one (`account:function:name`) is completed, a qualifier stays."""
    if is_arn(text):
        return text
    _, separator, name = text.rpartition("function:")
    if not separator and text[:12].isdigit() and text[12:13] == ":":
        name = text[13:]
    return account.arn("lambda", f"function:{name}")


def _iot_data(method: str, path: list[str], account: Account) -> Iterator[Permission]:
    rest = unquote("/".join(path[1:]))
    if path[0] == "topics":
        yield Permission("iot:Publish", (account.arn("iot", f"topic/{rest}"),))
    elif path[0] == "retainedMessage":
        if rest:
            yield Permission("iot:GetRetainedMessage", (account.arn("iot", f"topic/{rest}"),))
        else:
            yield Permission("iot:ListRetainedMessages", ("*",))
    elif path[0] == "things" and path[-1] == "shadow":
        verb = {"GET": "Get", "POST": "Update", "DELETE": "Delete"}.get(method, method)
        yield Permission(f"iot:{verb}ThingShadow", (account.arn("iot", f"thing/{unquote(path[1])}"),))
    else:
        yield Permission(f"iot:{method}", ("*",))


def _s3(method: str, path: list[str], account: Account) -> Iterator[Permission]:
    bucket, key = path[0], unquote("/".join(path[1:]))
    if not bucket:
        yield Permission("s3:ListAllMyBuckets", ("*",))
    elif key:
        verb = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
        yield Permission(f"s3:{verb.get(method, method)}", (f"arn:aws:s3:::{bucket}/{key}",))
    else:
        verb = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
        yield Permission(f"s3:{verb.get(method, method)}", (f"arn:aws:s3:::{bucket}",))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


_BY_TARGET: Mapping[str, Callable[[str, Request, Account], Iterator[Permission]]] = {
    "DynamoDB_20120810": _dynamodb,
    "DynamoDBStreams_20120810": _dynamodb_streams,
    "Kinesis_20131202": _kinesis,
    "AmazonSQS": _sqs,
    "AWSEvents": _events,
}
_BY_SERVICE: Mapping[str, Callable[[str, list[str], Account], Iterator[Permission]]] = {
    "lambda": _lambda,
    "iotdata": _iot_data,
    "iotdevicegateway": _iot_data,
    "s3": _s3,
}
