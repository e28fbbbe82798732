"""The life of a message: visibility, receive count, redrive, FIFO groups, deduplication, retention."""

import json
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.sqs import messages, operations
from headwater.sqs.operations import ReceiveRequest, describe_received, system_attributes

HOUR_MS = 3_600_000


def fifo(sqs: Any, body: str, group: str, **more: Any) -> dict[str, Any]:
    more.setdefault("MessageDeduplicationId", body)
    answer: dict[str, Any] = sqs.send("f.fifo", body, MessageGroupId=group, **more)
    return answer


def test_a_received_message_is_hidden_until_its_timeout_and_counted(sqs: Any) -> None:
    sqs.send("q", "a")

    first = sqs.receive("q", visibility_s=30)[0]
    hidden = sqs.receive("q")
    sqs.now_ms += 30_000
    second = sqs.receive("q")[0]

    assert (first.message.body, hidden) == ("a", [])
    assert (first.state.receive_count, second.state.receive_count) == (1, 2)
    assert second.state.first_received_ms == first.state.first_received_ms


def test_a_deleted_message_never_comes_back(sqs: Any) -> None:
    sqs.send("q", "a")
    received = sqs.receive("q")[0]

    sqs.delete("q", received)
    sqs.now_ms += HOUR_MS

    assert sqs.receive("q") == []
    sqs.delete("q", received)
    assert [key for key in sqs.transaction.items if key[:1] in b"msv"] == []


def test_the_handle_of_an_earlier_receive_deletes_nothing(sqs: Any) -> None:
    sqs.send("q", "a")
    early = sqs.receive("q", visibility_s=0)[0]
    sqs.receive("q", visibility_s=0)

    sqs.delete("q", early)

    assert sqs.bodies("q") == ["a"]


def test_a_message_is_taken_once_by_one_receive_whatever_its_timeout(sqs: Any) -> None:
    sqs.send("q", "a")
    sqs.send("q", "b")

    assert sqs.bodies("q", visibility_s=0) == ["a", "b"]


def test_a_delayed_message_comes_after_its_delay(sqs: Any) -> None:
    sqs.send("q", "late", DelaySeconds=5)
    sqs.create("slow", DelaySeconds="7")
    sqs.send("slow", "x")

    assert sqs.receive("q") == []
    assert messages.count_messages(sqs.transaction, sqs.queue("q"), now_ms=sqs.now_ms) == (0, 0, 1)
    sqs.now_ms += 5000
    assert sqs.bodies("q") == ["late"]
    assert sqs.bodies("slow") == []
    sqs.now_ms += 2000
    assert sqs.bodies("slow") == ["x"]


def test_counts_tell_visible_in_flight_and_delayed(sqs: Any) -> None:
    for n in range(3):
        sqs.send("q", str(n))
    sqs.send("q", "late", DelaySeconds=5)
    sqs.receive("q", at_most=2)

    shown = sqs.run(operations.get_attributes, QueueUrl="q", AttributeNames=["All"])["Attributes"]

    names = ("", "NotVisible", "Delayed")
    assert [shown[f"ApproximateNumberOfMessages{name}"] for name in names] == ["1", "2", "1"]


def test_visibility_can_be_changed_only_while_in_flight(sqs: Any) -> None:
    sqs.send("q", "a")
    handle = sqs.receive("q", visibility_s=10)[0].receipt_handle

    sqs.run(operations.change_visibility, QueueUrl="q", ReceiptHandle=handle, VisibilityTimeout=100)
    sqs.now_ms += 50_000
    assert sqs.receive("q") == []
    sqs.run(operations.change_visibility, QueueUrl="q", ReceiptHandle=handle, VisibilityTimeout=0)
    with pytest.raises(ServiceError, match="isn't in flight"):
        sqs.run(operations.change_visibility, QueueUrl="q", ReceiptHandle=handle, VisibilityTimeout=5)
    assert sqs.bodies("q") == ["a"]


def test_after_the_allowed_receives_a_message_is_in_the_dead_letter_queue(sqs: Any) -> None:
    sqs.create("dead")
    arn = sqs.catalog.arn("dead")
    sqs.create("work", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2}))
    sent = sqs.send("work", "poison", MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}})

    for _ in range(2):
        assert sqs.bodies("work", visibility_s=0) == ["poison"]
    assert sqs.bodies("work") == []
    dead = sqs.receive("dead")[0]

    known = dict(system_attributes(dead, sqs.queue("dead")))
    assert dead.message.message_id == sent["MessageId"]
    assert dead.message.attributes["k"].text == "v"
    assert known["DeadLetterQueueSourceArn"] == sqs.catalog.arn("work")
    # Recorded on the service: the receives of the source queue count on.
    assert known["ApproximateReceiveCount"] == "3"


def test_dead_letters_can_be_moved_back_to_where_they_came_from(sqs: Any) -> None:
    sqs.create("dead")
    policy = json.dumps({"deadLetterTargetArn": sqs.catalog.arn("dead"), "maxReceiveCount": "1"})
    sqs.create("work", RedrivePolicy=policy)
    sqs.send("work", "again")
    sqs.receive("work", visibility_s=0)
    sqs.receive("work")

    moved, woken = messages.move_all(
        sqs.transaction, sqs.catalog, sqs.queue("dead"), None, now_ms=sqs.now_ms, at_most=10
    )

    assert (moved, woken) == (1, {"work"})
    assert sqs.bodies("work") == ["again"]


def test_without_its_dead_letter_queue_a_message_goes_on_being_received(sqs: Any) -> None:
    sqs.create("missing")
    policy = json.dumps({"deadLetterTargetArn": sqs.catalog.arn("missing"), "maxReceiveCount": 1})
    sqs.create("work", RedrivePolicy=policy)
    operations.delete_queue(sqs.transaction, sqs.catalog, {"QueueUrl": "missing"})
    sqs.send("work", "a")

    assert [sqs.bodies("work", visibility_s=0) for _ in range(3)] == [["a"]] * 3


def test_messages_past_the_retention_period_are_dropped(sqs: Any) -> None:
    sqs.create("short", MessageRetentionPeriod="60")
    sqs.send("short", "old")
    sqs.now_ms += 60_000
    sqs.send("short", "new")
    sqs.now_ms += 1

    assert not messages.drop_expired(sqs.transaction, sqs.queue("short"), now_ms=sqs.now_ms, at_most=10)
    assert messages.count_messages(sqs.transaction, sqs.queue("short"), now_ms=sqs.now_ms)[0] == 1
    sqs.now_ms += 60_000
    assert sqs.bodies("short") == []


def test_a_group_is_received_in_order_and_waits_for_its_message_in_flight(sqs: Any) -> None:
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")):
        fifo(sqs, body, group)

    first = sqs.receive("f.fifo", at_most=1)[0]
    others = sqs.bodies("f.fifo")
    sqs.delete("f.fifo", first)

    assert first.message.body == "a1"
    assert others == ["b1"]
    assert sqs.bodies("f.fifo") == ["a2", "a3"]


def test_a_message_that_was_not_deleted_comes_again_before_the_rest_of_its_group(sqs: Any) -> None:
    for body in ("a1", "a2"):
        fifo(sqs, body, "a")
    sqs.receive("f.fifo", at_most=1, visibility_s=5)

    sqs.now_ms += 5000

    assert sqs.bodies("f.fifo") == ["a1", "a2"]


def test_a_duplicate_within_five_minutes_is_answered_and_not_added(sqs: Any) -> None:
    first = fifo(sqs, "x", "a", MessageDeduplicationId="same")
    sqs.now_ms += 299_999
    again = fifo(sqs, "y", "b", MessageDeduplicationId="same")
    sqs.now_ms += 1
    later = fifo(sqs, "z", "c", MessageDeduplicationId="same")

    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert int(later["SequenceNumber"]) > int(first["SequenceNumber"])
    assert len(first["SequenceNumber"]) == 20
    assert sqs.bodies("f.fifo") == ["x", "z"]


def test_deduplication_ids_are_forgotten(sqs: Any) -> None:
    for n in range(10):
        fifo(sqs, str(n), "a")
    sqs.now_ms += 300_000
    for n in range(10, 20):
        fifo(sqs, str(n), "a")

    assert len([key for key in sqs.transaction.items if key[:1] == b"d"]) == 10


def test_deduplication_by_content_and_by_group(sqs: Any) -> None:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "DeduplicationScope": "messageGroup"}
    sqs.create("c.fifo", **attributes)

    for group in ("a", "a", "b"):
        sqs.send("c.fifo", "same", MessageGroupId=group)

    assert sqs.bodies("c.fifo") == ["same", "same"]


@pytest.mark.parametrize(
    ("queue", "more", "message"),
    [
        ("f.fifo", {}, "must contain the parameter MessageGroupId"),
        ("f.fifo", {"MessageGroupId": "a"}, "should either have ContentBasedDeduplication enabled"),
        ("f.fifo", {"MessageGroupId": "a", "DelaySeconds": 3}, "not valid for this queue type"),
        ("f.fifo", {"MessageGroupId": "a b", "MessageDeduplicationId": "d"}, "can only include alphanumeric"),
        ("q", {"MessageDeduplicationId": "d"}, "not valid for this queue type"),
        ("q", {"DelaySeconds": 901}, "DelaySeconds must be >= 0 and <= 900."),
        ("q", {"MessageBody": ""}, "must contain the parameter MessageBody"),
        ("q", {"MessageBody": "\x00"}, "Invalid characters found"),
        ("q", {"MessageBody": "x" * 1_048_577}, "Message must be shorter than 1048576 bytes"),
        ("nowhere", {}, "The specified queue does not exist."),
        ("q", {"MessageAttributes": {"a": {"DataType": "Colour", "StringValue": "x"}}}, "invalid message attribute"),
        ("q", {"MessageAttributes": {"a": {"DataType": "String"}}}, "must contain a non-empty value of type"),
        ("q", {"MessageAttributes": {"a": {"DataType": "Number", "StringValue": "x"}}}, "to a number"),
        ("q", {"MessageAttributes": {"aws.x": {"DataType": "String", "StringValue": "x"}}}, "name 'aws.x' is invalid"),
        ("q", {"MessageAttributes": {str(n): {} for n in range(11)}}, "exceeds the allowed maximum"),
        ("q", {"MessageSystemAttributes": {"Other": {}}}, "other than AWSTraceHeader"),
    ],
)
def test_a_message_out_of_shape_is_refused(sqs: Any, queue: str, more: dict[str, Any], message: str) -> None:
    request = {"QueueUrl": queue, "MessageBody": "x", **more}

    with pytest.raises(ServiceError, match=message):
        operations.send_message(sqs.transaction, sqs.catalog, request, sqs.sender())


def test_the_entries_of_a_batch_fail_one_by_one(sqs: Any) -> None:
    entries = [{"Id": "1", "MessageBody": "a"}, {"Id": "2", "MessageBody": ""}, {"Id": "3", "MessageBody": "c"}]

    answer = operations.send_message_batch(
        sqs.transaction, sqs.catalog, {"QueueUrl": "q", "Entries": entries}, sqs.sender(3)
    )

    assert [e["Id"] for e in answer["Successful"]] == ["1", "3"]
    assert [(e["Id"], e["Code"], e["SenderFault"]) for e in answer["Failed"]] == [("2", "MissingParameter", True)]
    assert sqs.bodies("q") == ["a", "c"]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([{"Id": str(n)} for n in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "1"}, {"Id": "1"}], "BatchEntryIdsNotDistinct"),
        ([{"Id": "a b"}], "InvalidBatchEntryId"),
        (["x"], "InvalidBatchEntryId"),
        ([{"Id": "1", "MessageBody": "x" * 600_000}, {"Id": "2", "MessageBody": "x" * 600_000}], "BatchRequestTooLong"),
    ],
)
def test_a_batch_out_of_shape_is_refused(sqs: Any, entries: list[Any], code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        operations.send_message_batch(
            sqs.transaction, sqs.catalog, {"QueueUrl": "q", "Entries": entries}, sqs.sender(11)
        )

    assert caught.value.code == code


def test_a_receiver_sees_the_attributes_it_asked_for(sqs: Any) -> None:
    attributes = {
        "a.one": {"DataType": "String", "StringValue": "1"},
        "a.two": {"DataType": "Binary", "BinaryValue": "AP8="},
        "b": {"DataType": "Number.int", "StringValue": "3"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-x"}}
    sqs.send("q", "x", MessageAttributes=attributes, MessageSystemAttributes=trace)
    received = sqs.receive("q")[0]

    def shown(**request: Any) -> dict[str, Any]:
        asked = ReceiveRequest.parse(sqs.queue("q"), request)
        return describe_received(received, asked, sqs.queue("q"))

    assert "Attributes" not in shown()
    assert shown(AttributeNames=["SentTimestamp"])["Attributes"] == {"SentTimestamp": "1800000000000"}
    assert shown(MessageSystemAttributeNames=["All"])["Attributes"]["AWSTraceHeader"] == "Root=1-x"
    assert set(shown(MessageAttributeNames=["a.*"])["MessageAttributes"]) == {"a.one", "a.two"}
    assert shown(MessageAttributeNames=["All"])["MessageAttributes"]["a.two"] == {
        "DataType": "Binary",
        "BinaryValue": b"\x00\xff",
    }


@pytest.mark.parametrize(
    ("request_members", "message"),
    [
        ({"MaxNumberOfMessages": 11}, "Must be between 1 and 10, if provided."),
        ({"MaxNumberOfMessages": 0}, "Must be between 1 and 10, if provided."),
        ({"WaitTimeSeconds": 21}, "Must be >= 0 and <= 20, if provided."),
        ({"VisibilityTimeout": 43_201}, "Must be between 0 and 43200, if provided."),
        ({"MaxNumberOfMessages": "3"}, "Must be between 1 and 10, if provided."),
    ],
)
def test_a_receive_out_of_limits_is_refused(sqs: Any, request_members: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        ReceiveRequest.parse(sqs.queue("q"), request_members)


@pytest.mark.parametrize("handle", ["", "x", "AAAA", None, "A" * 28])
def test_a_handle_that_was_never_given_out_is_invalid(sqs: Any, handle: object) -> None:
    with pytest.raises(ServiceError) as caught:
        sqs.run(operations.delete_message, QueueUrl="q", ReceiptHandle=handle)

    assert caught.value.code == "ReceiptHandleIsInvalid"


def test_creating_a_queue_again_needs_the_same_attributes(sqs: Any) -> None:
    assert sqs.create("q", VisibilityTimeout="30").number == sqs.queue("q").number
    with pytest.raises(ServiceError, match="different value for attribute VisibilityTimeout"):
        sqs.create("q", VisibilityTimeout="31")


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("a b", {}, "alphanumeric characters, hyphens, or underscores"),
        ("x" * 81, {}, "1 to 80 in length"),
        ("q2", {"FifoQueue": "true"}, "must end with .fifo suffix"),
        ("q2.fifo", {}, "only end with .fifo"),
        ("q2", {"Colour": "red"}, "Unknown Attribute Colour."),
        ("q2", {"DelaySeconds": "901"}, "Invalid value for the parameter DelaySeconds."),
        ("q2", {"DelaySeconds": "-1"}, "Invalid value for the parameter DelaySeconds."),
        ("q2", {"ContentBasedDeduplication": "true"}, "Unknown Attribute ContentBasedDeduplication."),
        ("q2", {"RedrivePolicy": "{}"}, "Invalid value for the parameter RedrivePolicy."),
        ("q2", {"Policy": "x"}, "Invalid value for the parameter Policy."),
    ],
)
def test_a_queue_out_of_shape_is_refused(sqs: Any, name: str, attributes: dict[str, str], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        sqs.create(name, **attributes)


def test_attributes_are_set_and_a_redrive_policy_is_taken_away(sqs: Any) -> None:
    sqs.create("f")
    policy = json.dumps({"deadLetterTargetArn": sqs.catalog.arn("f"), "maxReceiveCount": 3})
    sqs.run(operations.set_attributes, QueueUrl="q", Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "5"})
    assert sqs.queue("q").redrive() == (sqs.catalog.arn("f"), 3)

    sqs.run(operations.set_attributes, QueueUrl="q", Attributes={"RedrivePolicy": ""})

    assert sqs.queue("q").redrive() is None
    assert sqs.queue("q").number_of("VisibilityTimeout") == 5
