"""Events find the rules they match, and targets get what the rule says."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from headwater.deploy.events.bus import EventBus, TargetInput
from headwater.deploy.events.rule import parse_rule, value_at
from headwater.errors import ServiceError

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


class Subject:
    def __init__(self) -> None:
        self.given: list[TargetInput] = []
        self.dead: list[tuple[str, Mapping[str, Any]]] = []
        self.refuses = ""
        self.bus = EventBus("us-east-1", "123456789012", self._deliver, self._dead_letter, lambda: 1_700_000_000.0)

    async def _deliver(self, given: TargetInput) -> None:
        if self.refuses and self.refuses == given.target.arn:
            raise ServiceError("AccessDeniedException", "no")
        self.given.append(given)

    async def _dead_letter(self, arn: str, text: str, attributes: Mapping[str, Any]) -> None:
        self.dead.append((arn, attributes))

    def rule(self, pattern: Any, *targets: Mapping[str, Any], name: str = "r", **definition: Any) -> None:
        full = {"EventPattern": json.dumps(pattern), **definition}
        self.bus.add(parse_rule(name, self.bus.arn(f"rule/{name}"), full, list(targets)))

    async def put(self, detail: Any = None, **entry: Any) -> dict[str, Any]:
        full = {"Source": "shop", "DetailType": "Order", "Detail": json.dumps(detail or {}), **entry}
        return await self.bus.put_events([full])

    @property
    def texts(self) -> list[str]:
        return [given.text for given in self.given]


@pytest.fixture
def subject() -> Subject:
    return Subject()


async def test_matching_rule_gets_the_whole_event(subject: Subject) -> None:
    subject.rule({"source": ["shop"], "detail": {"n": [{"numeric": [">", 1]}]}}, {"Id": "1", "Arn": FUNCTION})

    answer = await subject.put({"n": 2}, Resources=["arn:x"])
    await subject.put({"n": 1})

    (text,) = subject.texts
    assert answer["FailedEntryCount"] == 0
    assert json.loads(text) == {
        "version": "0",
        "id": answer["Entries"][0]["EventId"],
        "detail-type": "Order",
        "source": "shop",
        "account": "123456789012",
        "time": "2023-11-14T22:13:20Z",
        "region": "us-east-1",
        "resources": ["arn:x"],
        "detail": {"n": 2},
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"Input": '{"fixed":true}'}, '{"fixed":true}'),
        ({"InputPath": "$.detail.items[1].name"}, '"b"'),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"n": "$.detail.n", "s": "$.source"},
                    "InputTemplate": '{"n":<n>,"s":<s>}',
                }
            },
            '{"n":2,"s":"shop"}',
        ),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"s": "$.source"},
                    "InputTemplate": '"<s> by <aws.events.rule-name>"',
                }
            },
            '"shop by r"',
        ),
        ({"InputTransformer": {"InputPathsMap": {"x": "$.detail.x"}, "InputTemplate": '{"x":"<x>"}'}}, '{"x":""}'),
    ],
)
async def test_target_gets_its_input(subject: Subject, target: dict[str, Any], expected: str) -> None:
    subject.rule({"source": ["shop"]}, {"Id": "1", "Arn": QUEUE, **target})

    await subject.put({"n": 2, "items": [{"name": "a"}, {"name": "b"}]})

    assert subject.texts == [expected]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": None}, "InvalidArgument"),
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Detail": "{"}, "MalformedDetail"),
        ({"Source": "aws.ec2"}, "NotAuthorizedForSourceException"),
        ({"EventBusName": "absent"}, "ResourceNotFoundException"),
    ],
)
async def test_bad_entry_fails_alone(subject: Subject, changes: dict[str, Any], code: str) -> None:
    good = {"Source": "shop", "DetailType": "Order", "Detail": "{}"}

    answer = await subject.bus.put_events([{**good, **changes}, good])

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == code
    assert "EventId" in answer["Entries"][1]


@pytest.mark.parametrize("count", [0, 11])
async def test_request_has_one_to_ten_entries(subject: Subject, count: int) -> None:
    with pytest.raises(ServiceError, match="entries"):
        await subject.bus.put_events([{}] * count)


async def test_bus_hands_on_to_another_bus(subject: Subject) -> None:
    subject.bus.buses.add("other")
    subject.rule({"source": ["shop"]}, {"Id": "1", "Arn": subject.bus.arn("event-bus/other")})
    subject.rule({"source": ["shop"]}, {"Id": "1", "Arn": FUNCTION}, name="o", EventBusName="other")

    await subject.put()

    assert [given.target.arn for given in subject.given] == [FUNCTION]


async def test_buses_in_a_circle_end(subject: Subject) -> None:
    subject.rule(
        {"source": ["shop"]}, {"Id": "1", "Arn": subject.bus.arn("event-bus/default")}, {"Id": "2", "Arn": QUEUE}
    )

    await subject.put()

    assert 1 <= len(subject.given) <= 10


async def test_disabled_rule_matches_nothing(subject: Subject) -> None:
    subject.rule({"source": ["shop"]}, {"Id": "1", "Arn": FUNCTION}, State="DISABLED")

    await subject.put()

    assert subject.given == []


async def test_target_that_refuses_leaves_a_dead_letter_and_the_others_get_theirs(subject: Subject) -> None:
    subject.refuses = FUNCTION
    target = {"Id": "1", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}
    subject.rule({"source": ["shop"]}, target, {"Id": "2", "Arn": QUEUE})

    await subject.put()

    assert [given.target.arn for given in subject.given] == [QUEUE]
    ((arn, attributes),) = subject.dead
    assert arn == QUEUE
    assert attributes["ERROR_CODE"]["StringValue"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ({}, "ValidationException"),
        ({"EventPattern": "{"}, "InvalidEventPatternException"),
        ({"EventPattern": '{"a":"b"}'}, "InvalidEventPatternException"),
        ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "ValidationException"),
        ({"ScheduleExpression": "rate(1 minute)", "EventBusName": "other"}, "ValidationException"),
    ],
)
def test_rule_is_refused(definition: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        parse_rule("r", "arn", definition, [])

    assert refused.value.code == code


def test_path_that_points_at_nothing_is_told_from_null() -> None:
    assert value_at("$.a", {"a": None}) is None
    assert value_at("$.b", {"a": None}) is not None
