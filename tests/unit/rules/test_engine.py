"""The rule engine with performers of the test: sharing writes, retries, error actions, order."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from headwater.deploy.rules.engine import ActionsFailedError, RuleEngine
from headwater.errors import HeadwaterError, ServiceError, TemplateError
from headwater.mqtt.ports import ClientContext, Publish
from headwater.rules.actions import ActionRequest
from headwater.rules.external import ExternalCall

STREAM = {"Kinesis": {"StreamName": "s", "PartitionKey": "${topic(2)}", "RoleArn": "r"}}
QUEUE = {"Sqs": {"QueueUrl": "q", "RoleArn": "r"}}
CLIENT = ClientContext("device-1", "thumb", "192.0.2.1")


class Performer:
    """Keeps what it is asked for; `outcomes` are given one after the other, then success."""

    def __init__(self, *outcomes: HeadwaterError | None) -> None:
        self.calls: list[list[ActionRequest]] = []
        self.outcomes = list(outcomes)

    async def __call__(self, requests: Sequence[ActionRequest]) -> Sequence[HeadwaterError | None]:
        self.calls.append(list(requests))
        return [self.outcomes.pop(0) if self.outcomes else None for _ in requests]

    @property
    def payloads(self) -> list[Any]:
        return [json.loads(request.payload) for call in self.calls for request in call]


def engine(stream: Performer, queue: Performer, **options: Any) -> RuleEngine:
    performers = {"Kinesis": stream, "Sqs": queue}
    return RuleEngine(performers, lambda count: bytes(count), "123456789012", retry_delays_s=(0.0, 0.0), **options)


def rule(sql: str, *actions: Any, error: Any = None, **fields: Any) -> dict[str, Any]:
    found = {"Sql": sql, "AwsIotSqlVersion": "2016-03-23", "Actions": list(actions), **fields}
    return {**found, "ErrorAction": error} if error else found


def publish(topic: str, payload: Any = None, **fields: Any) -> Publish:
    return Publish(topic, json.dumps(payload or {}).encode(), 1, client=CLIENT, received_at=1.0, **fields)


async def done(work: Any) -> None:
    if work is not None:
        await work


async def test_chunks_of_one_turn_share_a_write() -> None:
    stream = Performer()
    rules = engine(stream, Performer())
    rules.add("r", rule("SELECT n FROM 'dt/+'", STREAM))

    await asyncio.gather(*(done(rules.on_publish([publish(f"dt/d{n}", {"n": n})])) for n in range(5)))
    await done(rules.on_publish([publish("dt/d9", {"n": 9})]))

    assert [len(call) for call in stream.calls] == [5, 1]
    assert [request.parameters["PartitionKey"] for request in stream.calls[0]] == ["d0", "d1", "d2", "d3", "d4"]


async def test_a_failure_in_a_shared_write_is_that_chunk_s_alone() -> None:
    fault = ServiceError("ValidationException", "no")
    stream, queue = Performer(None, fault, None), Performer(fault)
    rules = engine(stream, queue)
    rules.add("r", rule("SELECT n FROM 'dt/+'", STREAM, error=QUEUE))

    works = [rules.on_publish([publish("dt/d", {"n": n})]) for n in range(3)]
    outcomes = await asyncio.gather(*map(done, works), return_exceptions=True)

    assert outcomes[0] is outcomes[2] is None
    assert isinstance(outcomes[1], ActionsFailedError)
    assert [document["failures"][0]["errorMessage"] for document in queue.payloads] == ["ValidationException: no"]


@pytest.mark.parametrize("action", [STREAM, QUEUE])
async def test_a_failure_that_may_pass_is_tried_again(action: dict[str, Any]) -> None:
    fault = ServiceError("InternalFailure", "later", status=500)
    stream, queue = (
        (Performer(fault, fault), Performer()) if action is STREAM else (Performer(), Performer(fault, fault))
    )
    rules = engine(stream, queue)
    deployed = rules.add("r", rule("SELECT n FROM 'dt/+'", action, error=QUEUE))

    await done(rules.on_publish([publish("dt/d", {"n": 1})]))

    assert (stream.payloads + queue.payloads, deployed.failed) == ([{"n": 1}] * 3, 0)


async def test_the_error_action_gets_one_document_for_all_failures_of_a_publish() -> None:
    fault = ServiceError("AccessDeniedException", "no")
    stream, queue = Performer(fault), Performer(fault)
    rules = engine(stream, queue)
    deployed = rules.add("r", rule("SELECT n FROM 'dt/+'", STREAM, QUEUE, error=QUEUE))

    await done(rules.on_publish([publish("dt/d", {"n": 1})]))

    document = queue.payloads[-1]
    assert [failure["failedAction"] for failure in document["failures"]] == ["KinesisAction", "SqsAction"]
    assert (document["ruleName"], document["topic"], document["clientId"]) == ("r", "dt/d", "device-1")
    assert (deployed.fired, deployed.failed) == (1, 1)


async def test_without_an_error_action_a_failure_is_counted_and_the_publish_acknowledged() -> None:
    rules = engine(Performer(ServiceError("AccessDeniedException", "no")), Performer())
    deployed = rules.add("r", rule("SELECT n FROM 'dt/+'", STREAM))

    await done(rules.on_publish([publish("dt/d")]))

    assert deployed.failed == 1


async def test_publishes_that_ask_other_services_stay_in_order() -> None:
    answered = [asyncio.Event() for _ in range(3)]

    async def ask(call: ExternalCall) -> Any:
        await answered[call.arguments[1]["n"]].wait()
        return {"n": call.arguments[1]["n"]}

    queue = Performer()
    rules = engine(Performer(), queue, ask=ask)
    rules.add("r", rule("SELECT aws_lambda('f', {'n': n}).n AS n FROM 'dt/+'", QUEUE))

    works = [asyncio.ensure_future(done(rules.on_publish([publish("dt/d", {"n": n})]))) for n in range(3)]
    for event in reversed(answered):
        event.set()
        await asyncio.sleep(0)
    await asyncio.gather(*works)

    assert queue.payloads == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_a_service_that_does_not_answer_ends_the_rule_without_its_error_action() -> None:
    async def ask(call: ExternalCall) -> Any:
        raise ServiceError("RuleFunctionTimeout", "too slow")

    queue = Performer()
    rules = engine(Performer(), queue, ask=ask)
    deployed = rules.add("r", rule("SELECT aws_lambda('f', *) AS n FROM 'dt/+'", QUEUE, error=QUEUE))

    await done(rules.on_publish([publish("dt/d")]))

    assert (queue.calls, deployed.fired, deployed.failed) == ([], 0, 1)


async def test_every_matching_rule_runs_and_disabled_ones_do_not() -> None:
    queue = Performer()
    rules = engine(Performer(), queue)
    rules.add("one", rule("SELECT 1 AS r FROM 'dt/+'", QUEUE))
    rules.add("two", rule("SELECT 2 AS r FROM 'dt/#'", QUEUE))
    rules.add("off", rule("SELECT 3 AS r FROM 'dt/#'", QUEUE, RuleDisabled=True))
    rules.add("direct", rule("SELECT 4 AS r", QUEUE))

    await done(rules.on_publish([publish("dt/d")]))
    await done(rules.on_publish([publish("x", basic_ingest_rule="direct")]))
    await done(rules.on_publish([publish("dt/d", basic_ingest_rule="off"), publish("dt/d", basic_ingest_rule="none")]))

    assert sorted(payload["r"] for payload in queue.payloads) == [1, 2, 4]


def test_nothing_is_to_be_awaited_when_no_rule_fires() -> None:
    rules = engine(Performer(), Performer())
    rules.add("r", rule("SELECT n FROM 'dt/+' WHERE n > 1", QUEUE))

    assert rules.on_publish([publish("dt/d", {"n": 1}), publish("other")]) is None


def test_an_action_nobody_performs_is_refused_when_loaded() -> None:
    with pytest.raises(TemplateError, match="Lambda"):
        engine(Performer(), Performer()).add("r", rule("SELECT *", {"Lambda": {"FunctionArn": "f"}}))


def republish(topic: str) -> dict[str, Any]:
    return {"Republish": {"Topic": topic, "RoleArn": "r"}}


class Republisher:
    """Publishes what republish actions ask for, as the broker does; `topics` are those of all it published."""

    def __init__(self) -> None:
        self.rules: RuleEngine | None = None
        self.topics: list[str] = []

    async def __call__(self, requests: Sequence[ActionRequest]) -> Sequence[HeadwaterError | None]:
        assert self.rules is not None
        for request in requests:
            self.topics.append(str(request.parameters["Topic"]))
            await done(self.rules.on_publish([Publish(self.topics[-1], request.payload, 0, received_at=1.0)]))
        return [None] * len(requests)


def looping(queue: Performer, **options: Any) -> tuple[RuleEngine, Republisher]:
    republisher = Republisher()
    rules = engine(Performer(), queue, **options)
    rules.performers = {**rules.performers, "Republish": republisher}
    republisher.rules = rules
    return rules, republisher


async def test_a_chain_of_republishes_ends_after_ten_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    queue = Performer()
    rules, republisher = looping(queue)
    rules.add("ping", rule("SELECT * FROM 'ping'", republish("pong"), error=QUEUE))
    rules.add("pong", rule("SELECT * FROM 'pong'", republish("ping"), error=QUEUE))

    await done(rules.on_publish([publish("ping")]))

    assert republisher.topics == ["pong", "ping"] * 5
    (document,) = queue.payloads
    assert document["ruleName"] == "ping"
    assert document["failures"][0]["errorMessage"] == (
        "RepublishLoopException: 10 republish actions led to this one: rules form a loop"
    )
    (line,) = [record for record in caplog.records if record.name.endswith("lineage")]
    assert "a publish to ping" in line.getMessage()
    assert "by the topic rules ping, pong" in line.getMessage()


@pytest.mark.parametrize("actions", [2, 3, 10])
async def test_one_publish_makes_a_thousand_by_republishing_at_most(
    actions: int, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Performer()
    rules, republisher = looping(queue)
    deployed = rules.add("many", rule("SELECT * FROM 'many'", *[republish("many")] * actions, error=QUEUE))

    await done(rules.on_publish([publish("many"), publish("many")]))

    assert len(republisher.topics) == 2000
    assert deployed.fired == 2002
    # One document for each publish of whose actions some were refused.
    refused = [document["failures"] for document in queue.payloads]
    assert len(refused) == deployed.failed
    assert sum(map(len, refused)) == actions * 2002 - 2000
    assert {failure["errorMessage"].partition(":")[0] for found in refused for failure in found} == {
        "RepublishLoopException"
    }
    assert len([record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]) == 2


async def test_a_wide_fan_out_that_is_no_loop_is_carried_out() -> None:
    rules, republisher = looping(Performer())
    for number in range(9):
        rules.add(f"first_{number}", rule("SELECT * FROM 'in'", *[republish("second")] * 10))
    rules.add("second", rule("SELECT * FROM 'second'", *[republish("out")] * 10))

    for _ in range(3):
        await done(rules.on_publish([publish("in")]))

    assert (republisher.topics.count("second"), republisher.topics.count("out")) == (270, 2700)


async def test_an_error_action_that_republishes_into_the_loop_is_counted_too() -> None:
    rules, republisher = looping(Performer())
    rules.add("again", rule("SELECT * FROM 'again'", QUEUE, error=republish("again")))
    rules.performers = {**rules.performers, "Sqs": Performer(*[ServiceError("NoSuchQueue", "no")] * 50)}

    with pytest.raises(ActionsFailedError, match="RepublishLoopException"):
        await done(rules.on_publish([publish("again")]))

    assert republisher.topics == ["again"] * 10


async def test_rules_that_ask_and_republish_to_each_other_do_not_wait_for_themselves() -> None:
    async def answer(_call: ExternalCall) -> Any:
        await asyncio.sleep(0)
        return 1

    queue = Performer()
    rules, republisher = looping(queue, ask=answer)
    asking = "SELECT aws_lambda('arn:aws:lambda:us-east-1:123456789012:function:f', 1) AS n FROM"
    rules.add("ping", rule(f"{asking} 'ping'", republish("pong"), error=QUEUE))
    rules.add("pong", rule(f"{asking} 'pong'", republish("ping"), error=QUEUE))

    both = [done(rules.on_publish([publish(topic)])) for topic in ("ping", "pong")]
    await asyncio.wait_for(asyncio.gather(*both), 5)

    assert len(republisher.topics) == 20
    assert len(queue.payloads) == 2
