"""Answers of SQS as recorded on the service (LocalStack, tests/aws/services/sqs/*.snapshot.json)."""

import json
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.sqs import operations
from headwater.sqs.queue import MAX_MESSAGE_BYTES

Sqs = Any


def refusal(sqs: Sqs, operation: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        sqs.run(operation, **request)
    return caught.value.code, caught.value.message


def batch(sqs: Sqs, name: str, *entries: dict[str, Any]) -> dict[str, Any]:
    request = {"QueueUrl": name, "Entries": [{"Id": str(n), **entry} for n, entry in enumerate(entries)]}
    return operations.send_message_batch(sqs.transaction, sqs.catalog, request, sqs.sender(len(entries)))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"FifoQueue": "false"}, "Unknown Attribute FifoQueue."),
        ({"ContentBasedDeduplication": "true"}, "Unknown Attribute ContentBasedDeduplication."),
        (
            {"DeduplicationScope": "messageGroup"},
            "You can specify the DeduplicationScope only when FifoQueue is set to true.",
        ),
        (
            {"FifoThroughputLimit": "perMessageGroupId"},
            "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
        ),
    ],
)
def test_a_standard_queue_has_no_attributes_of_fifo_queues(sqs: Sqs, attributes: dict[str, str], message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        sqs.create("standard", **attributes)

    assert (caught.value.code, caught.value.message) == ("InvalidAttributeName", message)


def test_a_fifo_queue_stays_one(sqs: Sqs) -> None:
    sqs.create("a.fifo", FifoQueue="True", ContentBasedDeduplication="TRUE")

    sqs.run(operations.set_attributes, QueueUrl="a.fifo", Attributes={"FifoQueue": "true"})
    refused = refusal(sqs, operations.set_attributes, QueueUrl="a.fifo", Attributes={"FifoQueue": "false"})

    assert sqs.queue("a.fifo").is_set("ContentBasedDeduplication")
    assert refused == (
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    )


def test_a_key_of_ones_own_turns_the_services_encryption_off(sqs: Sqs) -> None:
    sqs.create("work")
    for attributes in (
        {"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"},
        {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"},
    ):
        sqs.run(operations.set_attributes, QueueUrl="work", Attributes=attributes)

    shown = sqs.run(operations.get_attributes, QueueUrl="work", AttributeNames=["All"])["Attributes"]

    assert shown["SqsManagedSseEnabled"] == "false"
    assert "KmsDataKeyReusePeriodSeconds" not in shown
    assert "KmsMasterKeyId" not in shown


def test_the_dead_letter_queue_of_a_redrive_policy_must_exist(sqs: Sqs) -> None:
    policy = json.dumps({"deadLetterTargetArn": sqs.catalog.arn("absent"), "maxReceiveCount": "3"})

    with pytest.raises(ServiceError) as caught:
        sqs.create("work", RedrivePolicy=policy)
    sqs.create("absent")
    queue = sqs.create("work", RedrivePolicy=policy)

    assert caught.value.message.endswith("Reason: Dead letter target does not exist.")
    assert json.loads(queue.attributes["RedrivePolicy"])["maxReceiveCount"] == 3


def test_an_entry_above_the_queues_size_fails_alone(sqs: Sqs) -> None:
    sqs.create("small", MaximumMessageSize="1024")

    answer = batch(sqs, "small", {"MessageBody": "a" * 1024}, {"MessageBody": "a" * 1025})

    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    assert answer["Failed"] == [
        {
            "Id": "1",
            "Code": "InvalidParameterValue",
            "Message": "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
            "SenderFault": True,
        }
    ]


def test_a_batch_without_failures_has_no_list_of_them(sqs: Sqs) -> None:
    assert list(batch(sqs, "q", {"MessageBody": "a"})) == ["Successful"]


def test_attributes_count_against_the_size_of_a_batch(sqs: Sqs) -> None:
    body = "a" * (MAX_MESSAGE_BYTES - len("kStringx"))
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}

    with pytest.raises(ServiceError) as caught:
        batch(sqs, "q", {"MessageBody": body, "MessageAttributes": attributes}, {"MessageBody": "a"})

    assert caught.value.code == "BatchRequestTooLong"
    assert caught.value.message == ("Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"MessageDeduplicationId": "d"}, "The request must contain the parameter MessageGroupId."),
        (
            {"MessageGroupId": "g"},
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
            "explicitly",
        ),
    ],
)
def test_what_a_fifo_entry_lacks_fails_the_whole_batch(sqs: Sqs, entry: dict[str, str], message: str) -> None:
    sqs.create("a.fifo", FifoQueue="true")
    right = {"MessageBody": "a", "MessageGroupId": "g", "MessageDeduplicationId": "d"}

    with pytest.raises(ServiceError) as caught:
        batch(sqs, "a.fifo", right, {"MessageBody": "b", **entry})

    assert (caught.value.code, caught.value.message) == ("InvalidParameterValue", message)
    assert sqs.bodies("a.fifo") == []


def test_a_receive_gives_one_group_before_the_next(sqs: Sqs) -> None:
    sqs.create("a.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for body in ("g1-m1", "g2-m1", "g1-m2", "g1-m3"):
        sqs.send("a.fifo", body, MessageGroupId=body[:2])

    assert sqs.bodies("a.fifo") == ["g1-m1", "g1-m2", "g1-m3", "g2-m1"]


def test_the_handle_of_an_earlier_receive_ends_the_timeout(sqs: Sqs) -> None:
    sqs.create("work")
    sqs.send("work", "a")
    first = sqs.receive("work", visibility_s=0)[0]
    sqs.receive("work", visibility_s=30)

    sqs.run(operations.change_visibility, QueueUrl="work", ReceiptHandle=first.receipt_handle, VisibilityTimeout=0)

    assert sqs.bodies("work") == ["a"]


def test_a_trace_header_has_a_digest_of_its_own(sqs: Sqs) -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}

    answer = sqs.send("q", "test", MessageSystemAttributes=system)

    assert answer["MD5OfMessageSystemAttributes"] == "5ae4d5d7636402d80f4eb6d213245a88"


def test_a_handle_that_is_none_is_named(sqs: Sqs) -> None:
    assert refusal(sqs, operations.delete_message, QueueUrl="q", ReceiptHandle="garbage") == (
        "ReceiptHandleIsInvalid",
        'The input receipt handle "garbage" is not a valid receipt handle.',
    )


def test_permissions_are_statements_of_the_policy(sqs: Sqs) -> None:
    sqs.create("work")
    asked = {"Label": "share", "AWSAccountIds": ["668614515564"], "Actions": ["ReceiveMessage"]}

    sqs.run(operations.add_permission, QueueUrl="work", **asked)
    policy = json.loads(sqs.queue("work").attributes["Policy"])
    repeated = refusal(sqs, operations.add_permission, QueueUrl="work", **asked)
    sqs.run(operations.remove_permission, QueueUrl="work", Label="share")

    arn = sqs.catalog.arn("work")
    assert policy == {
        "Version": "2008-10-17",
        "Id": f"{arn}/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "share",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::668614515564:root"},
                "Action": "SQS:ReceiveMessage",
                "Resource": arn,
            }
        ],
    }
    assert repeated == (
        "InvalidParameterValue",
        "Value share for parameter Label is invalid. Reason: Already exists.",
    )
    assert "Policy" not in sqs.queue("work").attributes


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"Actions": []}, "MissingParameter", "The request must contain the parameter Actions."),
        ({"Actions": ["RemovePermission"]}, "InvalidParameterValue", "Only the queue owner"),
        ({"Actions": ["SendMessage"] * 8}, "OverLimit", "8 Actions were found, maximum allowed is 7."),
        ({"AWSAccountIds": []}, "InvalidParameterValue", "Value [] for parameter PrincipalId is invalid."),
        ({"AWSAccountIds": ["12"]}, "InvalidParameterValue", "Unable to verify."),
        ({"Label": None}, "MissingParameter", "The request must contain the parameter Label."),
        ({"Label": "no spaces"}, "InvalidParameterValue", "Can only include alphanumeric"),
    ],
)
def test_a_permission_out_of_shape_is_refused(sqs: Sqs, changed: dict[str, Any], code: str, reason: str) -> None:
    asked = {"Label": "share", "AWSAccountIds": ["668614515564"], "Actions": ["SendMessage"], **changed}

    refused = refusal(sqs, operations.add_permission, QueueUrl="q", **asked)

    assert refused[0] == code
    assert reason in refused[1]


def test_source_queues_come_in_pages(sqs: Sqs) -> None:
    sqs.create("dead")
    policy = json.dumps({"deadLetterTargetArn": sqs.catalog.arn("dead"), "maxReceiveCount": 3})
    for name in ("a", "b", "c"):
        sqs.create(name, RedrivePolicy=policy)

    def page(**more: Any) -> dict[str, Any]:
        request = {"QueueUrl": "dead", "MaxResults": 2, **more}
        return operations.list_source_queues(sqs.transaction, sqs.catalog, request, lambda name: name)

    first = page()

    assert first["queueUrls"] == ["a", "b"]
    assert page(NextToken=first["NextToken"]) == {"queueUrls": ["c"]}


def test_a_receive_attempt_is_refused(sqs: Sqs) -> None:
    sqs.create("a.fifo", FifoQueue="true")

    for name, code in (("q", "InvalidParameterValue"), ("a.fifo", "UnsupportedOperation")):
        with pytest.raises(ServiceError) as caught:
            operations.ReceiveRequest.parse(sqs.queue(name), {"ReceiveRequestAttemptId": "again"})
        assert caught.value.code == code
