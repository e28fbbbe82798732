"""moto behind boto3: the template's table and queues, and services as the deployed code calls them."""

import os
import re
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from streams.aws.calls import AwsError
from tests.template.template_file import load_template

REGION = "us-east-1"


def in_moto() -> Any:
    """moto for one test, as `mock_aws`; boto3 keeps the service models it has read, which is most of a short test."""
    return mock_aws(config={"core": {"reset_boto3_session": False}})


class BotoService:
    """One AWS service through boto3, with the interface of `streams.aws.connection.AwsService`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, request))
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            answer: dict[str, Any] = getattr(self._client, method)(**request)
        except ClientError as error:
            details = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise AwsError(details["Code"], details["Message"], status=status, document=error.response) from error
        answer.pop("ResponseMetadata", None)
        return answer


def create_table(name: str = "headwater") -> str:
    """Create the table with the keys, indexes and stream that the template gives it."""
    properties = load_template()["Resources"]["Table"]["Properties"]
    boto3.client("dynamodb", region_name=REGION).create_table(
        TableName=name,
        BillingMode=properties["BillingMode"],
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
        GlobalSecondaryIndexes=properties["GlobalSecondaryIndexes"],
        StreamSpecification={
            "StreamEnabled": True,
            "StreamViewType": properties["StreamSpecification"]["StreamViewType"],
        },
    )
    return name


def create_queue(name: str) -> str:
    url: str = boto3.client("sqs", region_name=REGION).create_queue(QueueName=name)["QueueUrl"]
    return url


def stream_event(table: str, *, kinds: tuple[str, ...] = ("STATE", "PRESENCE", "ALERT#", "COMMAND#")) -> dict[str, Any]:
    """Read moto's table stream from its beginning, as the template's event source mapping would hand it over."""
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    # moto knows the stream API by this host name; boto3 has since moved to account-based ones.
    in_process = f"https://streams.dynamodb.{REGION}.amazonaws.com"
    endpoint = os.environ.get("AWS_ENDPOINT_URL", in_process)
    streams = boto3.client("dynamodbstreams", region_name=REGION, endpoint_url=endpoint)
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    wanted = [
        record
        for record in records
        if record["eventName"] in ("INSERT", "MODIFY") and record["dynamodb"]["Keys"]["SK"]["S"].startswith(kinds)
    ]
    return {"Records": [{**record, "eventSourceARN": arn} for record in wanted]}
