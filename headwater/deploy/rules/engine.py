"""Flow 2/8 and 3/8: publishes meet the topic rules, and the actions of those that fire are carried out.

One chunk of a connection is one call. The Kinesis records of all chunks that come in one turn of the event loop go
into their streams as one write, so that a PUBACK stands for a commit that many publishes and connections share.
"""

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from headwater.deploy.rules.lineage import REPUBLISHING, Lineage, RepublishLoopError, lineage_of
from headwater.errors import HeadwaterError, ServiceError, TemplateError
from headwater.mqtt.codec.packets import Properties
from headwater.mqtt.ports import Publish
from headwater.rules import NOT_FIRED, Message, Rule, compile_rule, to_json
from headwater.rules.actions import Action, ActionRequest, compile_action, compile_actions, error_document
from headwater.rules.external import AnswerNeeded, Answers, ExternalCall
from headwater.values.topics import TopicFilterTrie

_log = logging.getLogger(__name__)
# IoT Core's default where AwsIotSqlVersion is left out, also in CloudFormation.
DEFAULT_VERSION: Final = "2015-10-08"
_SHARED_KIND = "Kinesis"
_REPUBLISH = "Republish"
_NOT_IN_ERROR_ACTIONS = "which an error action may not"
_THROTTLES = ("ProvisionedThroughputExceededException", "ThrottlingException", "TooManyRequestsException")


class ActionsFailedError(HeadwaterError):
    """An action and the rule's error action failed: nothing keeps the message."""


@dataclass(slots=True)
class LocalRecords:
    """What CloudWatch actions would have written, the newest thousand of each."""

    logs: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))
    metrics: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))


class Perform(Protocol):
    """Carries out requests of one kind in order; one outcome for each, None for success, else what was wrong."""

    def __call__(self, requests: Sequence[ActionRequest]) -> Awaitable[Sequence[HeadwaterError | None]]: ...


class Ask(Protocol):
    """Gives the answer of another service to a function of a rule. Raises: HeadwaterError, which ends the rule."""

    def __call__(self, call: ExternalCall) -> Awaitable[Any]: ...


@dataclass(slots=True, eq=False)
class DeployedRule:
    """One topic rule; `fired` and `failed` count since the start.

    `last` ends when the newest publish that waits for other services has been dealt with, so that they stay in order.
    """

    name: str
    rule: Rule
    actions: tuple[Action, ...]
    error_action: Action | None
    is_enabled: bool = True
    fired: int = 0
    failed: int = 0
    last: asyncio.Future[None] | None = None

    @property
    def shares_writes(self) -> bool:
        return all(action.kind == _SHARED_KIND for action in self.actions)

    @property
    def asks_others(self) -> bool:
        return bool(self.rule.external) or any(action.external for action in self.actions)


class _Firing(msgspec.Struct, gc=False):
    """One request of one firing, until its outcome is known."""

    rule: DeployedRule
    message: Message
    action: Action
    request: ActionRequest
    outcome: HeadwaterError | None = None


@dataclass(slots=True)
class RuleEngine:
    """All topic rules of the stack.

    A failed action is tried again after each of `retry_delays_s` if its failure may pass; then the error action runs.
    """

    performers: Mapping[str, Perform]
    entropy: Callable[[int], bytes]
    account_id: str
    ask: Ask | None = None
    retry_delays_s: Sequence[float] = (0.1, 0.4, 1.6)
    records: LocalRecords = field(default_factory=LocalRecords)
    rules: dict[str, DeployedRule] = field(default_factory=dict)
    _trie: TopicFilterTrie[DeployedRule] = field(default_factory=TopicFilterTrie)
    _asking: set[DeployedRule] = field(default_factory=set)
    _alone: set[DeployedRule] = field(default_factory=set)
    _turn: list[tuple[asyncio.Future[None], list[_Firing]]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, name: str, payload: Mapping[str, Any]) -> DeployedRule:
        """Add a rule from its `TopicRulePayload`. Raises: TemplateError for what cannot be compiled."""
        deployed = compile_deployed(name, payload)
        for action in (*deployed.actions, *([deployed.error_action] if deployed.error_action else [])):
            if action.kind not in self.performers:
                raise TemplateError(f"the action {action.kind} has nothing to act on here")
        if deployed.asks_others:
            self._asking.add(deployed)
        if not deployed.shares_writes:
            self._alone.add(deployed)
        self.rules[name] = deployed
        if deployed.is_enabled and deployed.rule.topic_filter is not None:
            self._trie.add(deployed.rule.topic_filter, deployed)
        return deployed

    def on_publish(self, batch: Sequence[Publish]) -> Awaitable[None] | None:
        """Run the rules on accepted publishes, in order; None when none of them fires. Hot: bench/rules.py."""
        firings: list[_Firing] = []
        later: list[Awaitable[None]] = []
        is_alone = False
        for publish in batch:
            matched = (
                self._trie.match(publish.topic) if publish.basic_ingest_rule is None else self._basic_ingest(publish)
            )
            if matched:
                message = self.message(publish)
                for deployed in matched:
                    if deployed in self._asking:
                        later.append(self._in_turn(deployed, message))
                    else:
                        self._fire(deployed, message, firings)
                        is_alone = is_alone or deployed in self._alone
        if later:
            return self._perform_all(firings, later)
        if not firings:
            return None
        return self._perform(firings) if is_alone else self._perform_shared(firings)

    def _basic_ingest(self, publish: Publish) -> Sequence[DeployedRule]:
        deployed = self.rules.get(publish.basic_ingest_rule or "")
        if deployed is None or not deployed.is_enabled:
            _log.error("Basic Ingest names the rule %r, which is not there or disabled", publish.basic_ingest_rule)
            return ()
        return (deployed,)

    def message(self, publish: Publish) -> Message:
        """The publish as rules see it."""
        client, properties = publish.client, publish.properties
        message = Message(
            publish.topic, publish.payload, int(publish.received_at * 1000), self.entropy, self.account_id
        )
        if client is not None:
            message.client_id, message.source_ip = client.client_id, client.source_ip
            message.principal = client.principal_id or None
        message.lineage = REPUBLISHING.get()
        if properties is not None:
            message.properties, message.user_properties = _mqtt_properties(properties), properties.user_properties
        return message

    def _fire(self, deployed: DeployedRule, message: Message, firings: list[_Firing]) -> None:
        try:
            self._evaluate(deployed, message, firings)
        except (ValueError, RecursionError) as error:
            deployed.failed += 1
            _log.error("rule %s cannot be evaluated on a publish to %s: %s", deployed.name, message.topic, error)

    def _evaluate(
        self, deployed: DeployedRule, message: Message, firings: list[_Firing], answers: Answers | None = None
    ) -> None:
        """Raises: AnswerNeeded; ValueError for a result that cannot be written."""
        environment = deployed.rule.environment(message, answers)
        result = deployed.rule.evaluate(environment)
        if result is NOT_FIRED:
            return
        payload = to_json(result)
        found = [
            _Firing(deployed, message, action, action.request(environment, payload)) for action in deployed.actions
        ]
        deployed.fired += 1
        firings += found

    def _in_turn(self, deployed: DeployedRule, message: Message) -> Awaitable[None]:
        """Evaluate with the answers of other services; act after the publishes that came before."""
        before, mine = deployed.last, asyncio.get_running_loop().create_future()
        if self._comes_of_a_turn(message):
            before = None
        else:
            deployed.last = mine
        return self._take_turn(deployed, message, before, mine)

    def _comes_of_a_turn(self, message: Message) -> bool:
        """Whether a turn is not over before this publish is dealt with: of the two, one would wait for ever."""
        lineage: Lineage | None = message.lineage
        return lineage is not None and any(self.rules.get(name) in self._asking for name in lineage.rules)

    async def _take_turn(
        self, deployed: DeployedRule, message: Message, before: asyncio.Future[None] | None, mine: asyncio.Future[None]
    ) -> None:
        firings: list[_Firing] = []
        try:
            await self._evaluate_asking(deployed, message, firings)
            if before is not None:
                await asyncio.shield(before)
            if firings:
                await self._perform(firings)
        finally:
            mine.set_result(None)

    async def _evaluate_asking(self, deployed: DeployedRule, message: Message, firings: list[_Firing]) -> None:
        answers = Answers()
        try:
            while True:
                answers.restart()
                try:
                    self._evaluate(deployed, message, firings, answers)
                    return
                except AnswerNeeded as needed:
                    if self.ask is None:
                        raise ServiceError("NotConnected", "there are no services to ask", status=500) from None
                    answers.give(await self.ask(needed.call))
        except (ValueError, RecursionError, HeadwaterError) as error:
            # The service ends such a rule without any action; the error action hears of failed actions only.
            deployed.failed += 1
            _log.error("rule %s cannot be evaluated on a publish to %s: %s", deployed.name, message.topic, error)

    async def _perform_all(self, firings: list[_Firing], later: list[Awaitable[None]]) -> None:
        await asyncio.gather(*later, *([self._perform(firings)] if firings else []))

    def _perform_shared(self, firings: list[_Firing]) -> asyncio.Future[None]:
        """Perform with all else that comes in this turn of the event loop."""
        loop = asyncio.get_running_loop()
        if not self._turn:
            loop.call_soon(self._end_turn)
        done: asyncio.Future[None] = loop.create_future()
        self._turn.append((done, firings))
        return done

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, []
        self._keep(self._perform_turn(turn))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform_turn(self, turn: list[tuple[asyncio.Future[None], list[_Firing]]]) -> None:
        firings = [firing for _, chunk in turn for firing in chunk]
        try:
            outcomes = await self.performers[_SHARED_KIND]([firing.request for firing in firings])
        except Exception as error:
            for done, _ in turn:
                _end(done, error)
            return
        for firing, outcome in zip(firings, outcomes, strict=True):
            firing.outcome = outcome
        for done, chunk in turn:
            if all(firing.outcome is None for firing in chunk):
                _end(done, None)
            else:
                self._keep(self._recover(done, chunk))

    async def _recover(self, done: asyncio.Future[None], firings: list[_Firing]) -> None:
        try:
            again = [firing for firing in firings if firing.outcome is not None and _may_pass(firing.outcome)]
            if again:
                await asyncio.sleep(self.retry_delays_s[0] if self.retry_delays_s else 0)
                await self._run_kind(_SHARED_KIND, again)
            await self._settle(firings)
        except Exception as error:
            _end(done, error)
        else:
            _end(done, None)

    async def _perform(self, firings: list[_Firing]) -> None:
        await self._run(firings)
        await self._settle(firings)

    async def _settle(self, firings: list[_Firing]) -> None:
        """Run the error actions of what failed. Raises: ActionsFailedError."""
        failed: dict[tuple[int, int], list[_Firing]] = {}
        for firing in firings:
            if firing.outcome is not None:
                failed.setdefault((id(firing.rule), id(firing.message)), []).append(firing)
        if not failed:
            return
        errors: list[_Firing] = []
        for group in failed.values():
            errors.extend(self._error_firing(group))
        await self._run(errors)
        for firing in errors:
            if firing.outcome is not None:
                _log.error("the error action of rule %s failed: %s", firing.rule.name, firing.outcome)
                # Nothing keeps this message now, so its sender must not be told that it arrived.
                raise ActionsFailedError(f"rule {firing.rule.name}: {firing.outcome}") from firing.outcome

    def _error_firing(self, group: list[_Firing]) -> list[_Firing]:
        deployed, message = group[0].rule, group[0].message
        deployed.failed += 1
        for firing in group:
            # Of a loop the first refusal was logged with its rules; the others would be a line for each message.
            level = logging.DEBUG if isinstance(firing.outcome, RepublishLoopError) else logging.ERROR
            _log.log(level, "rule %s: action %s failed: %s", deployed.name, firing.action.kind, firing.outcome)
        if deployed.error_action is None:
            return []
        failures = [(firing.action.kind, firing.action.resource, str(firing.outcome)) for firing in group]
        environment = deployed.rule.environment(message)
        request = deployed.error_action.request(environment, error_document(deployed.name, message, failures))
        return [_Firing(deployed, message, deployed.error_action, request)]

    async def _run(self, firings: list[_Firing]) -> None:
        by_kind: dict[str, list[_Firing]] = {}
        for firing in firings:
            by_kind.setdefault(firing.request.kind, []).append(firing)
        if len(by_kind) == 1:
            ((kind, group),) = by_kind.items()
            await self._run_kind(kind, group)
        else:
            await asyncio.gather(*(self._run_kind(kind, group) for kind, group in by_kind.items()))

    async def _run_kind(self, kind: str, group: list[_Firing]) -> None:
        for delay_s in (*self.retry_delays_s, None):
            if kind == _REPUBLISH:
                await self._republish(group)
            else:
                outcomes = await self.performers[kind]([firing.request for firing in group])
                for firing, outcome in zip(group, outcomes, strict=True):
                    firing.outcome = outcome
            group = [firing for firing in group if firing.outcome is not None and _may_pass(firing.outcome)]
            if not group or delay_s is None:
                return
            await asyncio.sleep(delay_s)

    async def _republish(self, group: list[_Firing]) -> None:
        """One by one, so that each new publish knows where it comes from."""
        for firing in group:
            lineage: Lineage = firing.message.lineage or lineage_of(firing.message.topic)
            # The other republish actions of the same publish count with this one.
            firing.message.lineage = lineage
            try:
                token = REPUBLISHING.set(lineage.step(firing.rule.name))
            except RepublishLoopError as error:
                firing.outcome = error
                continue
            try:
                (firing.outcome,) = await self.performers[_REPUBLISH]([firing.request])
            finally:
                REPUBLISHING.reset(token)


def compile_deployed(name: str, payload: Mapping[str, Any]) -> DeployedRule:
    """A rule from its `TopicRulePayload`. Raises: TemplateError for what cannot be compiled."""
    sql, version = str(payload.get("Sql", "")), str(payload.get("AwsIotSqlVersion", DEFAULT_VERSION))
    error_action = payload.get("ErrorAction")
    return DeployedRule(
        name,
        compile_rule(sql, version),
        compile_actions(payload.get("Actions") or [], sql, version),
        compile_action(error_action, sql, version, no_external=_NOT_IN_ERROR_ACTIONS) if error_action else None,
        is_enabled=str(payload.get("RuleDisabled", "false")).lower() != "true",
    )


def _end(done: asyncio.Future[None], error: Exception | None) -> None:
    """Tell who waits, if anybody still does."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _may_pass(error: HeadwaterError) -> bool:
    """Whether the service would try again."""
    return isinstance(error, ServiceError) and (error.status >= 500 or error.code in _THROTTLES)


def _mqtt_properties(properties: Properties) -> dict[str, Any]:
    """By the names of get_mqtt_property()."""
    data = properties.correlation_data
    found = {
        "format_indicator": "UTF8_DATA" if properties.payload_format_indicator else "UNSPECIFIED_BYTES",
        "content_type": properties.content_type,
        "response_topic": properties.response_topic,
        "correlation_data": None if data is None else base64.b64encode(data).decode(),
    }
    return {name: value for name, value in found.items() if value is not None}
