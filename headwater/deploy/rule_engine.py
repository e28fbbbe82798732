"""Flow 2/8 and 3/8: publishes meet the topic rules, and the actions of those that fire are carried out.

One chunk of a connection is one call: its Kinesis records go into the stream as one write for each stream, so that
a PUBACK stands for a commit that many publishes share.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.errors import HeadwaterError, TemplateError
from headwater.mqtt.ports import Publish
from headwater.rules import NOT_FIRED, Message, Rule, compile_rule, to_json
from headwater.rules.actions import Action, ActionRequest, compile_action, compile_actions, error_document
from headwater.values.topics import TopicFilterTrie

_log = logging.getLogger(__name__)
# IoT Core's default where AwsIotSqlVersion is left out, also in CloudFormation.
_DEFAULT_VERSION = "2015-10-08"


class Perform(Protocol):
    """Carries out requests of one kind in order; one outcome for each, None for success, else what was wrong."""

    def __call__(self, requests: Sequence[ActionRequest]) -> Awaitable[Sequence[HeadwaterError | None]]: ...


@dataclass(slots=True, eq=False)
class DeployedRule:
    """One topic rule; `fired` and `failed` count since the start."""

    name: str
    rule: Rule
    actions: tuple[Action, ...]
    error_action: Action | None
    is_enabled: bool = True
    fired: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Firing:
    """One request of one firing, until its outcome is known."""

    rule: DeployedRule
    message: Message
    action: Action
    request: ActionRequest
    outcome: HeadwaterError | None = None


@dataclass(slots=True)
class RuleEngine:
    """All topic rules of the stack."""

    performers: Mapping[str, Perform]
    entropy: Callable[[int], bytes]
    account_id: str
    rules: dict[str, DeployedRule] = field(default_factory=dict)
    _trie: TopicFilterTrie[DeployedRule] = field(default_factory=TopicFilterTrie)

    def add(self, name: str, payload: Mapping[str, Any]) -> DeployedRule:
        """Add a rule from its `TopicRulePayload`. Raises: TemplateError for what cannot be compiled."""
        sql, version = str(payload.get("Sql", "")), str(payload.get("AwsIotSqlVersion", _DEFAULT_VERSION))
        rule = compile_rule(sql, version)
        error_action = payload.get("ErrorAction")
        deployed = DeployedRule(
            name,
            rule,
            compile_actions([action for action in payload.get("Actions", []) if _is_live(action)], sql, version),
            compile_action(error_action, sql, version) if error_action and _is_live(error_action) else None,
            is_enabled=str(payload.get("RuleDisabled", "false")).lower() != "true",
        )
        for action in (*deployed.actions, *([deployed.error_action] if deployed.error_action else [])):
            if action.kind not in self.performers:
                raise TemplateError(f"the action {action.kind} has nothing to act on here")
        self.rules[name] = deployed
        if deployed.is_enabled and rule.topic_filter is not None:
            self._trie.add(rule.topic_filter, deployed)
        return deployed

    def on_publish(self, batch: Sequence[Publish]) -> Awaitable[None] | None:
        """Run the rules on accepted publishes, in order; None when none of them fires."""
        firings: list[_Firing] = []
        for publish in batch:
            matched = self._matching(publish)
            if matched:
                message = self._message(publish)
                for deployed in matched:
                    self._fire(deployed, message, firings)
        return self._perform(firings) if firings else None

    def _matching(self, publish: Publish) -> Sequence[DeployedRule]:
        if publish.basic_ingest_rule is None:
            return self._trie.match(publish.topic)
        deployed = self.rules.get(publish.basic_ingest_rule)
        if deployed is None or not deployed.is_enabled:
            _log.error("Basic Ingest names the rule %r, which is not there or disabled", publish.basic_ingest_rule)
            return ()
        return (deployed,)

    def _message(self, publish: Publish) -> Message:
        client = publish.client
        return Message(
            topic=publish.topic,
            payload=publish.payload,
            now_ms=int(publish.received_at * 1000),
            entropy=self.entropy,
            account_id=self.account_id,
            client_id=client.client_id if client is not None else None,
            principal=client.principal_id if client is not None else None,
            source_ip=client.source_ip if client is not None else None,
            trace_id=self.entropy(16).hex() if client is not None else None,
        )

    def _fire(self, deployed: DeployedRule, message: Message, firings: list[_Firing]) -> None:
        environment = deployed.rule.environment(message)
        result = deployed.rule.evaluate(environment)
        if result is NOT_FIRED:
            return
        deployed.fired += 1
        payload = to_json(result)
        for action in deployed.actions:
            firings.append(_Firing(deployed, message, action, action.request(environment, payload)))

    async def _perform(self, firings: list[_Firing]) -> None:
        await self._run(firings)
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
                raise firing.outcome

    def _error_firing(self, group: list[_Firing]) -> list[_Firing]:
        deployed, message = group[0].rule, group[0].message
        deployed.failed += 1
        for firing in group:
            _log.error("rule %s: action %s failed: %s", deployed.name, firing.action.kind, firing.outcome)
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
        outcomes = await self.performers[kind]([firing.request for firing in group])
        for firing, outcome in zip(group, outcomes, strict=True):
            firing.outcome = outcome


def _is_live(action: Mapping[str, Any]) -> bool:
    """Log and metric actions are deploy-only: they change nothing that code or clients see."""
    return not set(action) <= {"CloudwatchLogs", "CloudwatchMetric"}
