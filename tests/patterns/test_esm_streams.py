"""Every parameter of a stream's event source mapping, from PutRecords to what the function is given."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.patterns.esm_driver import Esm, Failing, Overlap, sequence_of, text_of
from tests.support.product import eventually

REPORTS: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


def fail(event: dict[str, Any], number: int) -> Any:
    raise Failing("no")


def fail_with(*poison: str) -> Any:
    """Fails on batches that hold one of these records."""

    def behave(event: dict[str, Any], number: int) -> Any:
        if any(text_of(record) in poison for record in event["Records"]):
            raise Failing("poison")

    return behave


def report(*poison: str) -> Any:
    """Reports these records."""

    def behave(event: dict[str, Any], number: int) -> Any:
        found = [sequence_of(record) for record in event["Records"] if text_of(record) in poison]
        return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in found]}

    return behave


def test_batch_size_closes_a_batch(esm: Esm) -> None:
    stream = esm.stream()
    stream.put(*"abcde")

    with esm.mapping(stream, BatchSize=2):
        calls = esm.wait_for_calls(stream, 3)

    assert [call.texts for call in calls] == [["a", "b"], ["c", "d"], ["e"]]


def test_batching_window_gathers_records(esm: Esm) -> None:
    stream = esm.stream()

    with esm.mapping(stream, BatchSize=100, MaximumBatchingWindowInSeconds=2):
        began = time.time()
        for text in "abc":
            stream.put(text)
            time.sleep(0.2)
        calls = esm.wait_for_calls(stream, 1)

    assert calls[0].texts == ["a", "b", "c"]
    assert calls[0].at_s - began >= 1.5


def test_starting_position_latest_skips_what_was_there(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("old")

    with esm.mapping(stream, StartingPosition="LATEST"):
        stream.put("new")
        calls = esm.wait_for_calls(stream, 1)

    assert [call.texts for call in calls] == [["new"]]


def test_starting_position_at_timestamp_begins_there(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("old")
    time.sleep(1.1)
    moment = datetime.now(UTC)
    time.sleep(1.1)
    stream.put("new")

    with esm.mapping(stream, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment):
        calls = esm.wait_for_calls(stream, 1)

    assert [call.texts for call in calls] == [["new"]]


def test_parallelization_factor_runs_keys_at_once_and_keeps_the_order_of_each(esm: Esm) -> None:
    stream = esm.stream()
    texts = [f"{key}:{number}" for number in range(4) for key in "abcdef"]
    for text in texts:
        stream.put(text, key=text[0])
    overlap = Overlap(0.3)
    stream.behave(overlap)

    with esm.mapping(stream, BatchSize=1, ParallelizationFactor=4):
        calls = esm.wait_for_texts(stream, set(texts))

    seen = [call.texts[0] for call in calls]
    for key in "abcdef":
        assert [text for text in seen if text[0] == key] == [f"{key}:{number}" for number in range(4)]
    assert 1 < overlap.most <= 4


def test_retries_end_at_the_queue_with_the_invocation_record(esm: Esm) -> None:
    stream, failures = esm.stream(), esm.queue()
    sequences = stream.put("a", "b")
    stream.behave(fail)

    destination = {"OnFailure": {"Destination": failures.arn}}
    with esm.mapping(stream, MaximumRetryAttempts=2, DestinationConfig=destination):
        (document,) = failures.documents()
        stream.put("after")
        calls = esm.wait_for_calls(stream, 4)

    assert [call.texts for call in calls[:4]] == [["a", "b"]] * 3 + [["after"]]
    assert document["requestContext"] == {
        "requestId": calls[2].request_id,
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:esm-probe",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    }
    assert document["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    info = document["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"]) == (sequences[0], sequences[-1])
    assert (info["batchSize"], info["streamArn"], info["shardId"]) == (2, stream.arn, "shardId-000000000000")


def test_no_retries_calls_once(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("a")
    stream.behave(fail_with("a"))

    with esm.mapping(stream, MaximumRetryAttempts=0):
        esm.wait_for_calls(stream, 1)
        stream.put("b")
        calls = esm.wait_for_texts(stream, {"b"})

    assert [call.texts for call in calls] == [["a"], ["b"]]


def test_bisect_isolates_the_poison_record(esm: Esm) -> None:
    stream, failures = esm.stream(), esm.queue()
    sequences = stream.put(*"abcdefgh")
    stream.behave(fail_with("f"))

    destination = {"OnFailure": {"Destination": failures.arn}}
    parameters: dict[str, Any] = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 1}
    with esm.mapping(stream, DestinationConfig=destination, **parameters):
        (document,) = failures.documents()
        calls = esm.wait_for_texts(stream, {"h"})
        calls = esm.wait_for_calls(stream, 8)

    assert document["KinesisBatchInfo"]["startSequenceNumber"] == sequences[5]
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    succeeded = [text for call in calls if "f" not in call.texts for text in call.texts]
    assert succeeded == list("abcdegh")


def test_partial_response_retries_from_the_lowest_reported_record(esm: Esm) -> None:
    stream = esm.stream()
    stream.put(*"abcde")

    def behave(event: dict[str, Any], number: int) -> Any:
        return report("c", "e")(event, number) if number == 1 else None

    stream.behave(behave)

    with esm.mapping(stream, **REPORTS):
        calls = esm.wait_for_calls(stream, 2)

    assert [call.texts for call in calls] == [list("abcde"), list("cde")]


def test_partial_response_that_cuts_a_batch_starts_its_retries_anew(esm: Esm) -> None:
    stream, failures = esm.stream(), esm.queue()
    sequences = stream.put("a", "b", "c")
    stream.behave(report("b"))

    destination = {"OnFailure": {"Destination": failures.arn}}
    with esm.mapping(stream, MaximumRetryAttempts=3, DestinationConfig=destination, **REPORTS):
        (document,) = failures.documents(30)
        calls = esm.wait_for_calls(stream, 5)

    assert [call.texts for call in calls if "b" in call.texts] == [["a", "b", "c"]] + [["b", "c"]] * 4
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["responseContext"]["functionError"] is None
    assert document["KinesisBatchInfo"]["startSequenceNumber"] == sequences[1]


MALFORMED: dict[str, Any] = {
    "empty identifier": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "null identifier": {"batchItemFailures": [{"itemIdentifier": None}]},
    "wrong key": {"batchItemFailures": [{"foo": "bar"}]},
    "wrong key with null": {"batchItemFailures": [{"foo": None}]},
    "unknown identifier": {"batchItemFailures": [{"itemIdentifier": "12345"}]},
    "number": {"batchItemFailures": [{"itemIdentifier": 7}]},
    "entry is text": {"batchItemFailures": ["x"]},
    "list is text": {"batchItemFailures": "x"},
}
HARMLESS: dict[str, Any] = {
    "null": None,
    "empty object": {},
    "empty list": [],
    "empty text": "",
    "empty failures": {"batchItemFailures": []},
    "null failures": {"batchItemFailures": None},
}


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_response_fails_the_whole_batch(esm: Esm, form: str) -> None:
    stream = esm.stream()
    stream.put("a", "b")
    stream.behave(lambda event, number: MALFORMED[form] if number == 1 else None)

    with esm.mapping(stream, **REPORTS):
        calls = esm.wait_for_calls(stream, 2)

    assert [call.texts for call in calls] == [["a", "b"]] * 2


@pytest.mark.parametrize("form", HARMLESS)
def test_empty_response_is_success(esm: Esm, form: str) -> None:
    stream = esm.stream()
    stream.put("a")
    stream.behave(lambda event, number: HARMLESS[form])

    with esm.mapping(stream, **REPORTS):
        esm.wait_for_calls(stream, 1)
        stream.put("b")
        calls = esm.wait_for_texts(stream, {"b"})

    assert [call.texts for call in calls] == [["a"], ["b"]]


def test_response_is_not_read_without_function_response_types(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("a")
    stream.behave(report("a"))

    with esm.mapping(stream):
        esm.wait_for_calls(stream, 1)
        stream.put("b")
        calls = esm.wait_for_texts(stream, {"b"})

    assert [call.texts for call in calls] == [["a"], ["b"]]


def test_timeout_is_a_failed_batch(esm: Esm) -> None:
    stream, failures = esm.stream(), esm.queue()
    stream.put("slow")
    stream.behave(lambda event, number: time.sleep(4))

    destination = {"OnFailure": {"Destination": failures.arn}}
    with esm.mapping(stream, "esm-probe-timeout", MaximumRetryAttempts=1, DestinationConfig=destination):
        (document,) = failures.documents(30)

    assert len(stream.calls()) == 2
    assert document["requestContext"]["approximateInvokeCount"] == 2
    assert document["responseContext"]["functionError"] == "Unhandled"


def test_s3_destination_keeps_the_whole_event(esm: Esm) -> None:
    stream, bucket = esm.stream(), esm.bucket()
    stream.put("a", "b")
    stream.behave(fail)

    destination = {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
    with esm.mapping(stream, MaximumRetryAttempts=0, DestinationConfig=destination) as identifier:
        listed = eventually(lambda: esm.client("s3").list_objects_v2(Bucket=bucket).get("Contents"))

    (entry,) = listed
    document = json.loads(esm.client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
    assert entry["Key"].startswith(f"aws/lambda/{identifier}/shardId-000000000000/")
    payload = json.loads(document["payload"])
    payload = json.loads(payload) if isinstance(payload, str) else payload
    assert [text_of(record) for record in payload["Records"]] == ["a", "b"]
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"


def test_topic_destination_notifies_its_subscribers(esm: Esm) -> None:
    stream, readers = esm.stream(), esm.queue()
    topic = esm.client("sns").create_topic(Name="failures")["TopicArn"]
    esm.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=readers.arn)
    stream.put("a")
    stream.behave(fail)

    with esm.mapping(stream, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": topic}}):
        (notification,) = readers.documents()

    document = json.loads(notification["Message"])
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["KinesisBatchInfo"]["batchSize"] == 1


def test_filter_passes_data_and_metadata(esm: Esm) -> None:
    stream = esm.stream()
    stream.put('{"kind":"no"}', "plain", '{"kind":"yes"}', key="wanted")
    stream.put('{"kind":"yes"}', key="other")
    pattern = json.dumps({"data": {"kind": ["yes"]}, "partitionKey": ["wanted"]})

    with esm.mapping(stream, FilterCriteria={"Filters": [{"Pattern": pattern}]}):
        calls = esm.wait_for_calls(stream, 1)

    assert [call.texts for call in calls] == [['{"kind":"yes"}']]


def test_tumbling_window_carries_state_and_closes(esm: Esm) -> None:
    stream = esm.stream()

    def behave(event: dict[str, Any], number: int) -> Any:
        return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}

    stream.behave(behave)

    with esm.mapping(stream, TumblingWindowInSeconds=5, BatchSize=1):
        stream.put("a", "b", "c")
        assert eventually(lambda: any(call.event["isFinalInvokeForWindow"] for call in stream.calls()), 20)
    calls = stream.calls()

    finals = [call.event for call in calls if call.event["isFinalInvokeForWindow"]]
    assert sum(final["state"].get("count", 0) for final in finals) <= 3
    assert finals[0]["Records"] == []
    assert not finals[0]["isWindowTerminatedEarly"]
    assert calls[0].event["window"].keys() == {"start", "end"}
    assert calls[0].event["shardId"] == "shardId-000000000000"


def test_disabled_mapping_keeps_its_place(esm: Esm) -> None:
    stream = esm.stream()

    with esm.mapping(stream) as identifier:
        stream.put("a")
        esm.wait_for_texts(stream, {"a"})
        esm.client("lambda").update_event_source_mapping(UUID=identifier, Enabled=False)
        state = esm.client("lambda").get_event_source_mapping(UUID=identifier)["State"]
        stream.put("b")
        time.sleep(0.5)
        before = [call.texts for call in stream.calls()]
        esm.client("lambda").update_event_source_mapping(UUID=identifier, Enabled=True)
        calls = esm.wait_for_texts(stream, {"b"})

    assert state == "Disabled"
    assert before == [["a"]]
    assert [call.texts for call in calls] == [["a"], ["b"]]


def test_update_changes_the_batch_size_and_the_function(esm: Esm) -> None:
    stream = esm.stream()

    with esm.mapping(stream, Enabled=False, BatchSize=1) as identifier:
        stream.put("a", "b")
        esm.client("lambda").update_event_source_mapping(
            UUID=identifier, FunctionName="esm-probe-two", BatchSize=10, Enabled=True
        )
        calls = esm.wait_for_calls(stream, 1)

    assert [(call.function, call.texts) for call in calls] == [("esm-probe-two", ["a", "b"])]


@pytest.mark.parametrize("cleared", [{}, {"OnFailure": {}}, {"OnFailure": {"Destination": ""}}])
def test_update_takes_destination_filter_and_response_types_away(esm: Esm, cleared: dict[str, Any]) -> None:
    stream, dead = esm.stream(), esm.queue()
    given = {
        "DestinationConfig": {"OnFailure": {"Destination": dead.arn}},
        "FilterCriteria": {"Filters": [{"Pattern": '{"partitionKey":["a"]}'}]},
        **REPORTS,
    }

    with esm.mapping(stream, **given) as identifier:
        shown = esm.client("lambda").update_event_source_mapping(
            UUID=identifier, DestinationConfig=cleared, FilterCriteria={}, FunctionResponseTypes=[]
        )
        stream.put("unfiltered", key="b")
        calls = esm.wait_for_calls(stream, 1)

    assert shown["DestinationConfig"] == {"OnFailure": {}}
    assert "FilterCriteria" not in shown
    assert shown["FunctionResponseTypes"] == []
    assert calls[0].texts == ["unfiltered"]


def test_deleted_mapping_calls_no_more(esm: Esm) -> None:
    stream = esm.stream()

    with esm.mapping(stream):
        stream.put("a")
        esm.wait_for_texts(stream, {"a"})
    stream.put("b")
    time.sleep(0.7)

    assert [call.texts for call in stream.calls()] == [["a"]]


def test_two_functions_read_a_stream_each(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("a")

    with esm.mapping(stream), esm.mapping(stream, "esm-probe-two"):
        calls = esm.wait_for_calls(stream, 2)

    assert sorted(call.function for call in calls) == ["esm-probe", "esm-probe-two"]


def test_resharding_under_load_keeps_each_keys_order(esm: Esm) -> None:
    stream = esm.stream()
    keys = [f"key-{number}" for number in range(8)]
    stream.behave(lambda event, number: time.sleep(0.02))

    with esm.mapping(stream, BatchSize=5, ParallelizationFactor=2):
        for number in range(30):
            for key in keys:
                stream.put(f"{key}/{number:02}", key=key)
            if number in (10, 20):
                esm.client("kinesis").update_shard_count(
                    StreamName=stream.name, TargetShardCount=2 if number == 10 else 1, ScalingType="UNIFORM_SCALING"
                )
        calls = esm.wait_for_texts(stream, {f"{key}/{number:02}" for key in keys for number in range(30)}, 60)

    seen = [text for call in sorted(calls, key=lambda call: call.at_s) for text in call.texts]
    for key in keys:
        assert [text for text in seen if text.startswith(f"{key}/")] == [f"{key}/{n:02}" for n in range(30)]


def test_table_changes_arrive_and_retries_end_at_the_queue(esm: Esm) -> None:
    table, failures = esm.table(), esm.queue()
    table.behave(fail_with("bad"))

    destination = {"OnFailure": {"Destination": failures.arn}}
    with esm.mapping(table, MaximumRetryAttempts=0, BatchSize=1, DestinationConfig=destination):
        table.put("good", "bad", "later")
        (document,) = failures.documents()
        calls = esm.wait_for_texts(table, {"later"})

    assert [call.texts for call in calls] == [["good"], ["bad"], ["later"]]
    info = document["DDBStreamBatchInfo"]
    assert info["streamArn"] == table.arn
    assert info["startSequenceNumber"] == calls[1].sequences[0]
    record = calls[0].records[0]
    assert (record["eventName"], record["eventSource"], record["eventVersion"]) == ("INSERT", "aws:dynamodb", "1.1")


def test_table_filter_looks_at_event_name_and_images(esm: Esm) -> None:
    table = esm.table()
    pattern = json.dumps({"eventName": ["INSERT"], "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "DEV#"}]}}}})

    with esm.mapping(table, FilterCriteria={"Filters": [{"Pattern": pattern}]}):
        table.put("X#1", "DEV#1")
        calls = esm.wait_for_calls(table, 1)

    assert [call.texts for call in calls] == [["DEV#1"]]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"BatchSize": 10_001}, "ValidationException"),
        ({"ParallelizationFactor": 11}, "ValidationException"),
        ({"MaximumBatchingWindowInSeconds": 301}, "ValidationException"),
        ({"TumblingWindowInSeconds": 901}, "ValidationException"),
        ({"MaximumRetryAttempts": 10_001}, "ValidationException"),
        ({"StartingPosition": "NOWHERE"}, "ValidationException"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "not json"}]}}, "InvalidParameterValueException"),
    ],
)
def test_create_refuses(esm: Esm, parameters: dict[str, Any], code: str) -> None:
    stream = esm.stream()

    with pytest.raises(ClientError) as refused, esm.mapping(stream, **parameters):
        pass

    assert refused.value.response["Error"]["Code"] == code


def test_tumbling_window_needs_one_lane(esm: Esm) -> None:
    with (
        pytest.raises(ClientError, match="ParallelizationFactor of 1"),
        esm.mapping(esm.stream(), TumblingWindowInSeconds=10, ParallelizationFactor=2),
    ):
        pass


@pytest.mark.parametrize(
    "parameters",
    [
        {"Topics": ["t"]},
        {"Queues": ["q"]},
        {"LoggingConfig": {"SystemLogLevel": "INFO"}},
        {"SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:1:secret:s"}]},
        {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:1"]}}},
        {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
        {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
        {"DocumentDBEventSourceConfig": {"DatabaseName": "d"}},
        {"ProvisionedPollerConfig": {"MinimumPollers": 1}},
    ],
)
def test_parameters_of_other_sources_are_refused(esm: Esm, parameters: dict[str, Any]) -> None:
    (name,) = parameters

    with (
        pytest.raises(ClientError, match=f"Unsupported {name} parameter for given event source mapping type"),
        esm.mapping(esm.stream(), **parameters),
    ):
        pass


def test_metrics_key_and_tags_are_accepted_and_change_nothing(esm: Esm) -> None:
    stream = esm.stream()
    stream.put("a")
    key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"

    with esm.mapping(
        stream, MetricsConfig={"Metrics": ["EventCount"]}, KMSKeyArn=key, Tags={"team": "a"}
    ) as identifier:
        calls = esm.wait_for_calls(stream, 1)
        shown = esm.client("lambda").get_event_source_mapping(UUID=identifier)

    assert [call.texts for call in calls] == [["a"]]
    assert (shown["MetricsConfig"], shown["KMSKeyArn"]) == ({"Metrics": ["EventCount"]}, key)


def test_maximum_record_age_is_minus_one_or_at_least_a_minute(esm: Esm) -> None:
    stream = esm.stream()

    with pytest.raises(ClientError) as refused, esm.mapping(stream, MaximumRecordAgeInSeconds=59):
        pass
    with esm.mapping(stream, MaximumRecordAgeInSeconds=60) as identifier:
        shown = esm.client("lambda").get_event_source_mapping(UUID=identifier)

    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert shown["MaximumRecordAgeInSeconds"] == 60


def test_mapping_goes_on_after_kill_9_and_repeats_only_what_was_under_way(esm: Esm) -> None:
    stream = esm.stream()
    stream.behave(lambda event, number: time.sleep(3) if number == 2 else None)

    with esm.mapping(stream, BatchSize=2) as identifier:
        stream.put("a", "b")
        esm.wait_for_calls(stream, 1)
        time.sleep(0.3)  # until the checkpoint is saved
        stream.put("c", "d")
        esm.wait_for_calls(stream, 2)
        esm.product.kill()
        esm.product.start()
        esm.clients.clear()
        calls = esm.wait_for_calls(stream, 3)
        state = esm.client("lambda").get_event_source_mapping(UUID=identifier)["State"]

    assert [call.texts for call in calls] == [["a", "b"], ["c", "d"], ["c", "d"]]
    assert state == "Enabled"
