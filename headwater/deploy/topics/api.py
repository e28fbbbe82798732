"""The SNS API, in the query protocol that SDKs speak.

Source: SNS API Reference (2010-03-31).
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from headwater.deploy.topics.topics import Publication, Subscription, Topics
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account, Permission
from headwater.values.http import HttpRequest, HttpResponse

_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
Form = Mapping[str, str]


def sns_permissions(request: HttpRequest, account: Account) -> list[Permission]:
    """What a request needs: its action on its topic."""
    form = _form(request)
    resource = form.get("TopicArn") or form.get("TargetArn") or account.arn("sns", form.get("Name", "*"))
    return [Permission(f"sns:{form.get('Action', '')}", (resource,))]


class TopicsApi:
    """An instance's `handle` is an HttpHandler."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._operations: dict[str, Callable[[Form], Awaitable[str]]] = {
            "CreateTopic": self._create,
            "DeleteTopic": self._delete,
            "ListTopics": self._list,
            "GetTopicAttributes": self._topic_attributes,
            "Subscribe": self._subscribe,
            "Unsubscribe": self._unsubscribe,
            "ListSubscriptions": self._list_all,
            "ListSubscriptionsByTopic": self._list_of_topic,
            "GetSubscriptionAttributes": self._subscription_attributes,
            "SetSubscriptionAttributes": self._set_subscription,
            "Publish": self._publish,
            "PublishBatch": self._publish_batch,
        }

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one action."""
        form, request_id = _form(request), str(uuid.uuid4())
        action = form.get("Action", "")
        metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        try:
            if action not in self._operations:
                raise ServiceError("InvalidAction", f"SNS's {action!r} does not work here")
            result = await self._operations[action](form)
        except ServiceError as error:
            fault = f"<Type>Sender</Type><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
            ending = f"<Error>{fault}</Error><RequestId>{request_id}</RequestId>"
            return _xml(error.status, f'<ErrorResponse xmlns="{_NAMESPACE}">{ending}</ErrorResponse>')
        wrapped = f"<{action}Result>{result}</{action}Result>"
        return _xml(200, f'<{action}Response xmlns="{_NAMESPACE}">{wrapped}{metadata}</{action}Response>')

    # Topics

    async def _create(self, form: Form) -> str:
        name = form.get("Name", "")
        if name.endswith(".fifo") or _pairs(form, "Attributes").get("FifoTopic") == "true":
            raise ServiceError("InvalidParameter", "Invalid parameter: FIFO topics do not work here")
        if not name:
            raise ServiceError("InvalidParameter", "Invalid parameter: Topic Name")
        return _element("TopicArn", await self._topics.create(name))

    async def _delete(self, form: Form) -> str:
        await self._topics.delete(form.get("TopicArn", ""))
        return ""

    async def _list(self, form: Form) -> str:
        members = "".join(f"<member>{_element('TopicArn', arn)}</member>" for arn in sorted(self._topics.topics))
        return f"<Topics>{members}</Topics>"

    async def _topic_attributes(self, form: Form) -> str:
        arn = form.get("TopicArn", "")
        self._topics.require(arn)
        confirmed = str(len(self._topics.of_topic(arn)))
        return _attributes({"TopicArn": arn, "SubscriptionsConfirmed": confirmed, "Owner": arn.split(":")[4]})

    # Subscriptions

    async def _subscribe(self, form: Form) -> str:
        arn = await self._topics.subscribe(
            form.get("TopicArn", ""), form.get("Protocol", ""), form.get("Endpoint", ""), _pairs(form, "Attributes")
        )
        return _element("SubscriptionArn", arn)

    async def _unsubscribe(self, form: Form) -> str:
        await self._topics.unsubscribe(form.get("SubscriptionArn", ""))
        return ""

    async def _list_all(self, form: Form) -> str:
        return _subscriptions(list(self._topics.subscriptions.values()))

    async def _list_of_topic(self, form: Form) -> str:
        self._topics.require(form.get("TopicArn", ""))
        return _subscriptions(self._topics.of_topic(form["TopicArn"]))

    async def _subscription_attributes(self, form: Form) -> str:
        one = self._topics.find(form.get("SubscriptionArn", ""))
        shown = {"SubscriptionArn": one.arn, "TopicArn": one.topic_arn, "Protocol": one.protocol}
        shown |= {"Endpoint": one.endpoint, "RawMessageDelivery": str(one.is_raw).lower()}
        if one.filter_policy:
            shown |= {"FilterPolicy": one.filter_policy, "FilterPolicyScope": one.filter_scope}
        return _attributes(shown)

    async def _set_subscription(self, form: Form) -> str:
        attribute = {form.get("AttributeName", ""): form.get("AttributeValue", "")}
        await self._topics.change(form.get("SubscriptionArn", ""), attribute)
        return ""

    # Messages

    async def _publish(self, form: Form) -> str:
        topic = form.get("TopicArn") or form.get("TargetArn") or ""
        if not topic:
            raise ServiceError("InvalidParameter", "Invalid parameter: only topics can be published to here")
        return _element("MessageId", await self._topics.publish(topic, _publication(form, "")))

    async def _publish_batch(self, form: Form) -> str:
        topic, successful, failed = form.get("TopicArn", ""), "", ""
        self._topics.require(topic)
        for number in range(1, 11):
            prefix = f"PublishBatchRequestEntries.member.{number}."
            identifier = form.get(f"{prefix}Id")
            if identifier is None:
                break
            try:
                message_id = await self._topics.publish(topic, _publication(form, prefix))
                successful += f"<member>{_element('Id', identifier)}{_element('MessageId', message_id)}</member>"
            except ServiceError as error:
                fault = _element("Code", error.code) + _element("Message", error.message)
                failed += f"<member>{_element('Id', identifier)}{fault}<SenderFault>true</SenderFault></member>"
        return f"<Successful>{successful}</Successful><Failed>{failed}</Failed>"


def _form(request: HttpRequest) -> dict[str, str]:
    body = request.body.decode("utf-8", "replace") if request.body else request.raw_query
    return dict(parse_qsl(body, keep_blank_values=True))


def _pairs(form: Form, name: str) -> dict[str, str]:
    """The map of `name.entry.N.key` and `name.entry.N.value`."""
    found: dict[str, str] = {}
    number = 1
    while (key := form.get(f"{name}.entry.{number}.key")) is not None:
        found[key] = form.get(f"{name}.entry.{number}.value", "")
        number += 1
    return found


def _publication(form: Form, prefix: str) -> Publication:
    attributes: dict[str, dict[str, Any]] = {}
    number = 1
    while (name := form.get(f"{prefix}MessageAttributes.entry.{number}.Name")) is not None:
        value = f"{prefix}MessageAttributes.entry.{number}.Value."
        attributes[name] = {
            key: form[value + key] for key in ("DataType", "StringValue", "BinaryValue") if value + key in form
        }
        number += 1
    message, subject = form.get(f"{prefix}Message", ""), form.get(f"{prefix}Subject")
    if form.get(f"{prefix}MessageStructure") == "json":
        return Publication.structured(message, subject, attributes)
    return Publication(message, subject, attributes)


def _subscriptions(found: list[Subscription]) -> str:
    members = ""
    for one in found:
        texts = {"SubscriptionArn": one.arn, "Owner": one.topic_arn.split(":")[4], "Protocol": one.protocol}
        texts |= {"Endpoint": one.endpoint, "TopicArn": one.topic_arn}
        members += "<member>" + "".join(_element(name, text) for name, text in texts.items()) + "</member>"
    return f"<Subscriptions>{members}</Subscriptions>"


def _attributes(values: Mapping[str, str]) -> str:
    entries = "".join(
        f"<entry>{_element('key', name)}{_element('value', text)}</entry>" for name, text in values.items()
    )
    return f"<Attributes>{entries}</Attributes>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _xml(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, (("content-type", "text/xml"),), text.encode())
