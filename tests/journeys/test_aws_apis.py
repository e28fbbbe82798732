"""boto3 against the one endpoint, with nothing but AWS_ENDPOINT_URL's equivalent."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.support.product import Product, eventually, now_ms, telemetry


def test_a_producer_puts_records_on_the_stream_directly(product: Product) -> None:
    kinesis = product.boto3("kinesis")
    body = json.dumps(telemetry(now_ms(), 1, temperature=3)).encode()

    kinesis.put_record(StreamName="headwater-TelemetryStream", PartitionKey="direct-1", Data=body)

    query = '{ getDeviceState(deviceId: "direct-1") { deviceId } }'
    assert eventually(lambda: product.data(query)["getDeviceState"]) == {"deviceId": "direct-1"}


def test_functions_are_invoked_and_listed(product: Product) -> None:
    client = product.boto3("lambda")

    answer = client.invoke(FunctionName="headwater-FanoutFunction", Payload=json.dumps({"Records": []}))

    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer, answer["Payload"].read()
    names = [function["FunctionName"] for function in client.list_functions()["Functions"]]
    assert "headwater-IngestFunction" in names
    mappings = client.list_event_source_mappings()["EventSourceMappings"]
    assert {mapping["State"] for mapping in mappings} == {"Enabled"}


def test_objects_are_kept(product: Product) -> None:
    s3 = product.boto3("s3")
    s3.create_bucket(Bucket="journey")

    s3.put_object(Bucket="journey", Key="a/b.txt", Body=b"hello")

    assert s3.get_object(Bucket="journey", Key="a/b.txt")["Body"].read() == b"hello"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="journey")["Contents"]] == ["a/b.txt"]


def test_a_role_may_do_what_its_policies_say_and_nothing_else(product: Product) -> None:
    # The handler's own keys are in its environment only; a function that shows them would be the leak.
    configuration = product.boto3("lambda").get_function_configuration(FunctionName="headwater-IngestFunction")
    variables = configuration["Environment"]["Variables"]

    assert "AWS_SECRET_ACCESS_KEY" not in variables
    assert variables["TABLE_NAME"] == "headwater-Table"


def test_an_unknown_service_is_named(product: Product) -> None:
    with pytest.raises(ClientError, match="polly"):
        product.boto3("polly").describe_voices()
