"""What a template says of a function beside its code: alias, asynchronous settings, layer, log format, limits."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.product import Product, eventually

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Failures:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: failures
  Words:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: words
      ContentUri: layer
      CompatibleRuntimes: [python3.13]
  Released:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: released
      Runtime: python3.13
      Handler: app.handler
      CodeUri: code
      AutoPublishAlias: live
      Layers: [!Ref Words]
      Tracing: Active
      LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: WARN}
      EventInvokeConfig:
        MaximumRetryAttempts: 0
        DestinationConfig:
          OnFailure: {Type: SQS, Destination: !GetAtt Failures.Arn}
  Ends:
    Type: AWS::Events::EventBus
    Properties: {Name: ends}
  Kept:
    Type: AWS::S3::Bucket
    Properties: {BucketName: kept-failures}
  Ended:
    Type: AWS::SQS::Queue
    Properties: {QueueName: ended}
  EndRule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref Ends
      EventPattern: {source: [lambda]}
      Targets: [{Id: q, Arn: !GetAtt Ended.Arn}]
  Announced:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: announced
      Runtime: python3.13
      Handler: app.handler
      CodeUri: code
      Layers: [!Ref Words]
      EventInvokeConfig:
        MaximumRetryAttempts: 0
        DestinationConfig:
          OnSuccess: {Type: EventBridge, Destination: !GetAtt Ends.Arn}
          OnFailure: {Type: S3Bucket, Destination: !GetAtt Kept.Arn}
  Shared:
    Type: AWS::Lambda::Alias
    Properties:
      FunctionName: !Ref Announced
      Name: shared
      FunctionVersion: "2"
      RoutingConfig: {AdditionalVersionWeights: [{FunctionVersion: "1", FunctionWeight: 1.0}]}
  Closed:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: closed
      Runtime: python3.13
      Handler: app.handler
      CodeUri: code
      ReservedConcurrentExecutions: 0
  Numbered:
    Type: AWS::Lambda::Version
    Properties:
      FunctionName: !Ref Closed
"""
CODE = """\
import logging, os
import words
log = logging.getLogger()
def handler(event, context):
    if event.get("fail"):
        raise RuntimeError("told to")
    log.info("quiet")
    log.warning("loud %s", words.WORD)
    return {"word": words.WORD, "trace": os.environ["_X_AMZN_TRACE_ID"], "arn": context.invoked_function_arn}
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("deployed")
    files = {"template.yaml": TEMPLATE, "code/app.py": CODE, "layer/python/words.py": "WORD = 'layered'\n"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subject = Product(folder / "data", template=folder / "template.yaml")
    try:
        yield subject.start()
        assert subject.terminate() == 0
    finally:
        subject.kill()


def invoke(product: Product, name: str, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = product.boto3("lambda").invoke(FunctionName=name, **request)
    return answer


def test_alias_runs_the_template_version_with_its_layer(product: Product) -> None:
    answer = invoke(product, "released:live")
    document = json.load(answer["Payload"])

    assert answer["ExecutedVersion"] == "1"
    assert document["word"] == "layered"
    assert document["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:released:live"


def test_alias_shares_its_calls_as_the_template_says(product: Product) -> None:
    client = product.boto3("lambda")
    client.publish_version(FunctionName="announced")
    client.create_alias(FunctionName="announced", Name="other", FunctionVersion="2")

    answer = invoke(product, "announced:shared")
    alias = client.get_alias(FunctionName="announced", Name="shared")

    assert answer["ExecutedVersion"] == "1"
    assert alias["RevisionId"]
    assert (alias["FunctionVersion"], alias["RoutingConfig"]) == ("2", {"AdditionalVersionWeights": {"1": 1.0}})


def test_trace_header_of_the_caller_reaches_the_handler(product: Product) -> None:
    client = product.boto3("lambda")
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def trace(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = header

    client.meta.events.register("before-send.lambda.Invoke", trace)

    document = json.load(client.invoke(FunctionName="released")["Payload"])

    assert document["trace"] == header


def test_json_log_has_the_levels_that_were_asked_for(product: Product) -> None:
    answer = invoke(product, "released", LogType="Tail")
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    start, said, report = [json.loads(line) for line in lines]
    request_id = answer["ResponseMetadata"]["RequestId"]

    assert (said["level"], said["message"], said["requestId"]) == ("WARNING", "loud layered", request_id)
    assert (start["type"], start["record"]["requestId"]) == ("platform.start", request_id)
    assert (report["type"], report["record"]["status"]) == ("platform.report", "success")


def test_failure_of_an_asynchronous_call_of_the_alias_goes_to_its_destination(product: Product) -> None:
    invoke(product, "released:live", InvocationType="Event", Payload=b'{"fail": true}')

    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="failures")["QueueUrl"]
    (message,) = eventually(
        lambda: sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["AWSTraceHeader"]).get("Messages")
    )
    document = json.loads(message["Body"])

    assert message["Attributes"]["AWSTraceHeader"].startswith("Root=1-")
    assert document["requestContext"]["functionArn"].endswith(":function:released:live")
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["responseContext"]["executedVersion"] == "1"
    assert document["responsePayload"]["errorMessage"] == "told to"


def test_success_goes_to_the_event_bus_as_an_event(product: Product) -> None:
    invoke(product, "announced", InvocationType="Event", Payload=b'{"a": 1}')

    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="ended")["QueueUrl"]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    event = json.loads(message["Body"])

    assert (event["source"], event["detail-type"]) == ("lambda", "Lambda Function Invocation Result - Success")
    assert event["resources"] == [
        "arn:aws:events:us-east-1:123456789012:event-bus/ends",
        "arn:aws:lambda:us-east-1:123456789012:function:announced:$LATEST",
    ]
    assert event["detail"]["requestPayload"] == {"a": 1}
    assert event["detail"]["responsePayload"]["word"] == "layered"


def test_failure_is_kept_in_the_bucket(product: Product) -> None:
    invoke(product, "announced", InvocationType="Event", Payload=b'{"fail": true}')

    s3 = product.boto3("s3")
    (entry,) = eventually(lambda: s3.list_objects_v2(Bucket="kept-failures").get("Contents"))
    document = json.loads(s3.get_object(Bucket="kept-failures", Key=entry["Key"])["Body"].read())

    assert entry["Key"].startswith("aws/lambda/async/announced/")
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["responsePayload"]["errorMessage"] == "told to"


def test_asynchronous_settings_are_those_of_the_alias_only(product: Product) -> None:
    client = product.boto3("lambda")

    found = client.get_function_event_invoke_config(FunctionName="released", Qualifier="live")

    assert found["MaximumRetryAttempts"] == 0
    with pytest.raises(ClientError, match="doesn't have an EventInvokeConfig"):
        client.get_function_event_invoke_config(FunctionName="released")


def test_reserved_concurrency_of_zero_throttles_every_version(product: Product) -> None:
    for name in ("closed", "closed:1"):
        with pytest.raises(ClientError) as refused:
            invoke(product, name)

        assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_waiters_of_boto3_end(product: Product) -> None:
    client = product.boto3("lambda")

    for waiter in ("function_exists", "function_active_v2", "function_updated_v2", "published_version_active"):
        client.get_waiter(waiter).wait(FunctionName="released", WaiterConfig={"Delay": 1, "MaxAttempts": 1})


def test_mapping_on_an_alias_outlives_a_restart(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context):\n    return event\n")
    (tmp_path / "template.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {FunctionName: f, Runtime: python3.13, Handler: app.handler, CodeUri: code, Timeout: 5}\n"
    )
    subject = Product(tmp_path / "data", template=tmp_path / "template.yaml").start()
    try:
        client = subject.boto3("lambda")
        url = subject.boto3("sqs").create_queue(QueueName="q")["QueueUrl"]
        client.publish_version(FunctionName="f")
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        made = client.create_event_source_mapping(
            FunctionName="f:live", EventSourceArn="arn:aws:sqs:us-east-1:123456789012:q"
        )
        subject.kill()
        subject.start()

        client, sqs = subject.boto3("lambda"), subject.boto3("sqs")
        found = client.get_event_source_mapping(UUID=made["UUID"])
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="q")["QueueUrl"], MessageBody="{}")

        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def is_empty() -> bool:
            counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return set(counts.values()) == {"0"}

        assert found["FunctionArn"].endswith(":function:f:live")
        assert found["State"] == "Enabled"
        assert eventually(is_empty)
    finally:
        subject.kill()


def test_only_the_first_of_many_fed_functions_are_warmed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context):\n    return event\n")
    parts = ["Transform: AWS::Serverless-2016-10-31", "Resources:"]
    for number in range(20):
        parts.append(f"  Q{number}: {{Type: AWS::SQS::Queue}}")
        parts.append(
            f"  F{number}: {{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.13, Handler: app.handler, "
            f"CodeUri: code, Events: {{Q: {{Type: SQS, Properties: {{Queue: !GetAtt Q{number}.Arn}}}}}}}}}}"
        )
    (tmp_path / "template.yaml").write_text("\n".join(parts))
    subject = Product(tmp_path / "data", template=tmp_path / "template.yaml").start()
    try:
        pid = subject.ready["pid"]
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if not children.exists():
            pytest.skip("needs /proc")

        assert 0 < len(children.read_text().split()) <= 16
    finally:
        subject.kill()
