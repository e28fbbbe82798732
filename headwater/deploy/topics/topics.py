"""SNS topics: a message goes to every subscribed queue and function whose filter it passes.

Source: SNS API Reference; developer guide, "Fanout to Amazon SQS queues", "Message filtering", "Raw message delivery".
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.errors import HeadwaterError, ServiceError
from headwater.storage.store import Store
from headwater.values.event_patterns import EventPatternError, compile_pattern
from headwater.values.transaction import ReadTransaction

_log = logging.getLogger(__name__)
_DATABASE = "topics"
_MAX_BYTES = 262_144
# Messages here are not signed: who checks signatures would need AWS's certificate.
_SIGNATURE = "EXAMPLE"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber of a topic; `protocol` is sqs or lambda, `endpoint` its ARN."""

    arn: str
    topic_arn: str
    protocol: str
    endpoint: str
    is_raw: bool = False
    filter_policy: str = ""
    filter_scope: str = "MessageAttributes"
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """A message with its attributes in the API's shape (`DataType`, `StringValue`).

    `by_protocol` holds the texts of a message that has some of their own for `sqs` or `lambda`.
    """

    message: str
    subject: str | None = None
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_protocol: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def structured(
        cls,
        document: str | bytes,
        subject: str | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> "Publication":
        """A message whose `MessageStructure` is json: a text for each protocol, and one for all others.

        Raises: ServiceError InvalidParameter. Source: SNS API Reference, Publish, "MessageStructure".
        """
        try:
            texts = orjson.loads(document)
        except orjson.JSONDecodeError as error:
            text = "Invalid parameter: Message Structure - JSON message body failed to parse"
            raise ServiceError("InvalidParameter", text) from error
        if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
            text = "Invalid parameter: Message Structure - No default entry in JSON message body"
            raise ServiceError("InvalidParameter", text)
        named = {protocol: text for protocol, text in texts.items() if isinstance(text, str)}
        return cls(texts["default"], subject, attributes or {}, named)

    def text_for(self, protocol: str) -> str:
        return self.by_protocol.get(protocol, self.message)


SendToQueue = Callable[[str, str, Mapping[str, Any] | None], Awaitable[None]]
InvokeFunction = Callable[[str, bytes], Awaitable[Any]]


class Topics:
    """All topics of an instance. What the API makes is kept in the store; the template's is declared at each start."""

    def __init__(
        self,
        store: Store,
        *,
        region: str,
        account_id: str,
        send: SendToQueue,
        invoke: InvokeFunction,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self.prefix = f"arn:aws:sns:{region}:{account_id}:"
        self._send = send
        self._invoke = invoke
        self._clock = clock
        self.topics: set[str] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self._filters: dict[str, Callable[[Any], bool]] = {}
        self._restore()

    def _restore(self) -> None:
        def read(transaction: ReadTransaction) -> list[tuple[bytes, bytes]]:
            return [(bytes(key), bytes(value)) for key, value in transaction.scan(_DATABASE)]

        for key, value in self._store.read(read):
            if key.startswith(b"topic/"):
                self.topics.add(key.decode().removeprefix("topic/"))
            else:
                self.add(Subscription(**orjson.loads(value)))

    # Topics and subscriptions

    async def create(self, name: str) -> str:
        """Make a topic; one that exists is given again."""
        arn = self.prefix + name
        self.topics.add(arn)
        await self._store.write(lambda transaction: transaction.put(_DATABASE, f"topic/{arn}".encode(), b""))
        return arn

    async def delete(self, topic_arn: str) -> None:
        self.topics.discard(topic_arn)
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, f"topic/{topic_arn}".encode()))
        for subscription in self.of_topic(topic_arn):
            await self.unsubscribe(subscription.arn)

    def of_topic(self, topic_arn: str) -> list[Subscription]:
        return [one for one in self.subscriptions.values() if one.topic_arn == topic_arn]

    async def subscribe(self, topic_arn: str, protocol: str, endpoint: str, attributes: Mapping[str, Any]) -> str:
        """Subscribe a queue or function; the same one is given again.

        Raises: ServiceError NotFound, InvalidParameter.
        """
        self.require(topic_arn)
        for one in self.of_topic(topic_arn):
            if (one.protocol, one.endpoint) == (protocol, endpoint):
                return one.arn
        made = subscription_of(f"{topic_arn}:{uuid.uuid4()}", topic_arn, protocol, endpoint, attributes)
        self.add(made)
        await self._keep(made)
        return made.arn

    async def change(self, arn: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of a subscription. Raises: ServiceError NotFound, InvalidParameter."""
        old = self.find(arn)
        merged = {
            "RawMessageDelivery": old.is_raw,
            "FilterPolicy": old.filter_policy,
            "FilterPolicyScope": old.filter_scope,
            **attributes,
        }
        changed = subscription_of(arn, old.topic_arn, old.protocol, old.endpoint, merged)
        self.add(changed)
        await self._keep(changed)

    def find(self, arn: str) -> Subscription:
        if arn not in self.subscriptions:
            raise ServiceError("NotFound", "Subscription does not exist", status=404)
        return self.subscriptions[arn]

    async def unsubscribe(self, arn: str) -> None:
        self.subscriptions.pop(arn, None)
        self._filters.pop(arn, None)
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, f"subscription/{arn}".encode()))

    def add(self, subscription: Subscription) -> None:
        """Add a subscription for this run. Raises: ServiceError InvalidParameter for its filter policy."""
        self._filters.pop(subscription.arn, None)
        if subscription.filter_policy:
            try:
                self._filters[subscription.arn] = compile_pattern(subscription.filter_policy)
            except EventPatternError as error:
                raise ServiceError("InvalidParameter", f"Invalid parameter: FilterPolicy: {error}") from error
        self.subscriptions[subscription.arn] = subscription

    async def _keep(self, one: Subscription) -> None:
        key, value = f"subscription/{one.arn}".encode(), orjson.dumps(one)
        await self._store.write(lambda transaction: transaction.put(_DATABASE, key, value))

    def require(self, topic_arn: str) -> None:
        """Raises: ServiceError NotFound."""
        if topic_arn not in self.topics:
            raise ServiceError("NotFound", "Topic does not exist", status=404)

    # Messages

    async def publish(self, topic_arn: str, publication: Publication) -> str:
        """Hand a message to every subscriber that wants it; its id, once all have it.

        Raises: ServiceError NotFound, InvalidParameter.
        """
        self.require(topic_arn)
        if not publication.message:
            raise ServiceError("InvalidParameter", "Invalid parameter: Empty message")
        if len(publication.message.encode()) > _MAX_BYTES:
            raise ServiceError("InvalidParameter", "Invalid parameter: Message too long")
        message_id = str(uuid.uuid4())
        for subscription in self.of_topic(topic_arn):
            if self._passes(subscription, publication):
                try:
                    await self._deliver(subscription, publication, message_id)
                except HeadwaterError as error:
                    await self._failed(subscription, publication, error)
        return message_id

    def _passes(self, subscription: Subscription, publication: Publication) -> bool:
        matches = self._filters.get(subscription.arn)
        if matches is None:
            return True
        if subscription.filter_scope == "MessageBody":
            try:
                body = orjson.loads(publication.text_for(subscription.protocol))
            except orjson.JSONDecodeError:
                return False
            return isinstance(body, dict) and matches(body)
        return matches({name: _attribute_value(value) for name, value in publication.attributes.items()})

    async def _deliver(self, subscription: Subscription, publication: Publication, message_id: str) -> None:
        if subscription.protocol == "sqs" and subscription.is_raw:
            await self._send(subscription.endpoint, publication.text_for("sqs"), publication.attributes)
            return
        document = self._document(subscription, publication, message_id)
        if subscription.protocol == "sqs":
            await self._send(subscription.endpoint, orjson.dumps(document).decode(), None)
            return
        document["SigningCertUrl"] = document.pop("SigningCertURL")
        document["UnsubscribeUrl"] = document.pop("UnsubscribeURL")
        record = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription.arn}
        event = {"Records": [{**record, "Sns": {"Subject": None, "MessageAttributes": {}, **document}}]}
        await self._invoke(subscription.endpoint, orjson.dumps(event))

    def _document(self, subscription: Subscription, publication: Publication, message_id: str) -> dict[str, Any]:
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        document: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": subscription.topic_arn,
            "Message": publication.text_for(subscription.protocol),
            "Timestamp": moment.replace("+00:00", "Z"),
            "SignatureVersion": "1",
            "Signature": _SIGNATURE,
            "SigningCertURL": _SIGNATURE,
            "UnsubscribeURL": _SIGNATURE,
        }
        if publication.subject:
            document["Subject"] = publication.subject
        if publication.attributes:
            document["MessageAttributes"] = {
                name: {"Type": value.get("DataType"), "Value": value.get("StringValue", value.get("BinaryValue"))}
                for name, value in publication.attributes.items()
            }
        return document

    async def _failed(self, subscription: Subscription, publication: Publication, error: HeadwaterError) -> None:
        if subscription.dead_letter is None:
            _log.error("topic %s: %s did not take a message: %s", subscription.topic_arn, subscription.endpoint, error)
            return
        await self._send(subscription.dead_letter, publication.text_for(subscription.protocol), publication.attributes)


def subscription_of(
    arn: str, topic_arn: str, protocol: str, endpoint: str, attributes: Mapping[str, Any]
) -> Subscription:
    """A checked subscription. Raises: ServiceError InvalidParameter."""
    if protocol not in ("sqs", "lambda") or endpoint.split(":")[2:3] != [protocol]:
        message = f"Invalid parameter: {protocol} {endpoint!r}: queues (sqs) and functions (lambda) can subscribe here"
        raise ServiceError("InvalidParameter", message)
    policy = attributes.get("FilterPolicy") or ""
    redrive = attributes.get("RedrivePolicy") or {}
    redrive = orjson.loads(redrive) if isinstance(redrive, str) else redrive
    return Subscription(
        arn,
        topic_arn,
        protocol,
        endpoint,
        is_raw=str(attributes.get("RawMessageDelivery", "false")).lower() == "true",
        filter_policy=policy if isinstance(policy, str) else orjson.dumps(policy).decode(),
        filter_scope=str(attributes.get("FilterPolicyScope") or "MessageAttributes"),
        dead_letter=redrive.get("deadLetterTargetArn"),
    )


def _attribute_value(attribute: Mapping[str, Any]) -> Any:
    text = attribute.get("StringValue", "")
    if attribute.get("DataType") in ("Number", "String.Array"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text
