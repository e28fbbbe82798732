"""The `iot-data` REST API: publish, retained messages, connections.

Source: AWS IoT Core API Reference, Publish, GetRetainedMessage, ListRetainedMessages, DeleteConnection.
"""

import base64
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote

import orjson

from headwater.deploy.iot.answers import error_answer, refuse
from headwater.deploy.iot.database import page_of
from headwater.deploy.iot.limits import invalid, not_found, page_size
from headwater.deploy.routing import json_response
from headwater.errors import ServiceError
from headwater.mqtt.codec.packets import Properties
from headwater.mqtt.ports import Publish
from headwater.server.aws.permissions import Account, Permission, rest_permissions_of
from headwater.server.mqtt.server import MqttServer
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.topics import TopicError, is_wildcard

_MAX_PAYLOAD_BYTES = 128 * 1024
_MAX_EXPIRY_S = 0xFFFFFFFF
_FORMATS = {"UNSPECIFIED_BYTES": 0, "UTF8_DATA": 1}
_KNOWN = "Publish, GetRetainedMessage, ListRetainedMessages, DeleteConnection and those of shadows"
Query = Mapping[str, list[str]]


class IotDataApi:
    """`handle` is an HttpHandler for all but shadows, which have one of their own; other calls are refused by name."""

    def __init__(self, mqtt: MqttServer, clock: Callable[[], float]) -> None:
        self._mqtt = mqtt
        self._clock = clock

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        query = parse_qs(request.raw_query)
        folder, _, name = request.raw_path.strip("/").partition("/")
        try:
            if request.method == "POST" and folder == "topics" and name:
                return await self._publish(request, topic_of(request.raw_path), query)
            if request.method == "GET" and folder == "retainedMessage":
                return self._retained(unquote(name)) if name else self._list_retained(query)
            if request.method == "DELETE" and folder == "connections" and name and "/" not in name:
                return self._disconnect(unquote(name), query)
            raise await refuse("iot-data", request, _KNOWN)
        except ServiceError as error:
            return error_answer(error)

    async def _publish(self, request: HttpRequest, topic: str, query: Query) -> HttpResponse:
        qos = query.get("qos", ["0"])[0]
        if qos not in ("0", "1"):
            raise invalid(f"qos {qos!r} is not 0 or 1")
        if len(request.body) > _MAX_PAYLOAD_BYTES:
            message = f"the payload has {len(request.body)} bytes; the limit is {_MAX_PAYLOAD_BYTES}"
            raise ServiceError("RequestEntityTooLargeException", message, status=413)
        retain = query.get("retain", ["false"])[0] == "true"
        properties = _properties(request, query)
        try:
            await self._mqtt.publish(topic, request.body, qos=int(qos), retain=retain, properties=properties)
        except TopicError as error:
            raise invalid(str(error)) from error
        return json_response(200, {"message": "OK"})

    def _retained(self, topic: str) -> HttpResponse:
        found = self._mqtt.broker.retained.get(topic)
        if found is None or _is_over(found, self._clock()):
            raise not_found(f"There is no retained message for topic {topic}")
        answer = {
            "topic": found.topic,
            "payload": base64.b64encode(found.payload).decode(),
            "qos": found.qos,
            "lastModifiedTime": int(found.received_at * 1000),
        }
        user_properties = found.properties.user_properties if found.properties is not None else ()
        if user_properties:
            document = orjson.dumps([{name: value} for name, value in user_properties])
            answer["userProperties"] = base64.b64encode(document).decode()
        return json_response(200, answer)

    def _list_retained(self, query: Query) -> HttpResponse:
        now, token = self._clock(), query.get("nextToken", [""])[0]
        rows = [
            (
                one.topic,
                {
                    "topic": one.topic,
                    "payloadSize": len(one.payload),
                    "qos": one.qos,
                    "lastModifiedTime": int(one.received_at * 1000),
                },
            )
            for one in sorted(self._mqtt.broker.retained, key=lambda one: one.topic)
            if not _is_over(one, now)
        ]
        listed, following = page_of(rows, token, page_size(query.get("maxResults", [""])[0], limit=200))
        return json_response(200, {"retainedTopics": listed, **({"nextToken": following} if following else {})})

    def _disconnect(self, client_id: str, query: Query) -> HttpResponse:
        if query.get("preventWillMessage", ["false"])[0] == "true":
            raise invalid("preventWillMessage does not work here")
        clean = query.get("cleanSession", ["false"])[0] == "true"
        if not self._mqtt.broker.disconnect(client_id, self._clock(), clean_session=clean):
            raise not_found(f"no client {client_id!r} is connected")
        return json_response(200, {})


def topic_of(raw_path: str) -> str:
    """The topic that `POST /topics/<topic>` publishes to. Who decides about it must not read the path differently."""
    return unquote(raw_path.strip("/").partition("/")[2])


def data_permissions(request: HttpRequest, account: Account) -> list[Permission]:
    """What a role needs for a request. Source: Service Authorization Reference, "AWS IoT"."""
    folder, _, name = request.raw_path.strip("/").partition("/")
    if request.method == "DELETE" and folder == "connections":
        return [Permission("iot:DeleteConnection", (account.arn("iot", f"client/{unquote(name)}"),))]
    needed = rest_permissions_of("iotdata", request.method, request.raw_path, account)
    # Given more than once, whichever of them counts when it is published.
    if folder == "topics" and "true" in parse_qs(request.raw_query).get("retain", ()):
        needed.append(Permission("iot:RetainPublish", (account.arn("iot", f"topic/{topic_of(request.raw_path)}"),)))
    return needed


def _is_over(publish: Publish, now: float) -> bool:
    return publish.expires_at is not None and publish.expires_at <= now


def _properties(request: HttpRequest, query: Query) -> Properties | None:
    """The MQTT 5 properties of a publish. Raises: ServiceError InvalidRequestException."""
    response_topic = query.get("responseTopic", [None])[0]
    if response_topic is not None and is_wildcard(response_topic):
        raise invalid(f"responseTopic {response_topic!r} has a wildcard")
    format_name = request.header("x-amz-mqtt5-payload-format-indicator")
    if format_name and format_name not in _FORMATS:
        raise invalid(f"payloadFormatIndicator {format_name!r} is not one of {', '.join(_FORMATS)}")
    properties = Properties(
        payload_format_indicator=_FORMATS[format_name] if format_name else None,
        message_expiry_interval=_expiry(query.get("messageExpiry", [""])[0]),
        content_type=query.get("contentType", [None])[0],
        response_topic=response_topic,
        correlation_data=_base64(request.header("x-amz-mqtt5-correlation-data"), "correlationData"),
        user_properties=_user_properties(request.header("x-amz-mqtt5-user-properties")),
    )
    return None if properties == Properties() else properties


def _expiry(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _MAX_EXPIRY_S):
        raise invalid(f"messageExpiry {text[:20]!r} is not a number of seconds up to {_MAX_EXPIRY_S}")
    return int(text)


def _user_properties(header: str) -> tuple[tuple[str, str], ...]:
    """The header is base64 of a JSON list of one-member objects (botocore's `jsonvalue`)."""
    if not header:
        return ()
    try:
        rows = orjson.loads(base64.b64decode(header, validate=True))
    except ValueError as error:
        raise invalid(f"userProperties is not base64 of JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and len(row) == 1 for row in rows):
        raise invalid('userProperties is a JSON list of objects with one member each, [{"name": "value"}]')
    pairs = tuple(pair for row in rows for pair in row.items())
    for name, value in pairs:
        if not isinstance(value, str) or len(name.encode()) > 0xFFFF or len(value.encode()) > 0xFFFF:
            raise invalid(f"the user property {name[:100]!r} is not text")
    return pairs


def _base64(text: str, member: str) -> bytes | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise invalid(f"{member} is not base64: {error}") from error
