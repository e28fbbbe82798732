"""The Device Shadow service: shadows in the store, asked for over MQTT, the iot-data API and rules.

A thing need not be in the registry to have a shadow. Every answer leaves after the commit of what it says.
Source: AWS IoT Core Developer Guide, "Device Shadow MQTT topics" and "Device Shadow REST API".
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qs, unquote

from headwater.deploy.iot.database import named_page
from headwater.deploy.iot.limits import page_size
from headwater.deploy.routing import json_response
from headwater.errors import HeadwaterError, ServiceError
from headwater.mqtt.ports import Publish
from headwater.server.aws.permissions import Account, Permission
from headwater.shadow import (
    Accepted,
    ShadowError,
    ShadowName,
    ShadowRequest,
    check_token,
    delete_shadow,
    get_shadow,
    parse_request_topic,
    parse_update,
    update_shadow,
)
from headwater.shadow.changes import is_present
from headwater.shadow.document import Document
from headwater.shadow.names import TOPIC_PREFIX, is_thing_name
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.transaction import ReadTransaction, WriteTransaction

_log = logging.getLogger(__name__)
_DATABASE = "shadows"
_SEPARATOR = b"\0"
_LIST_PATH = "/api/things/shadow/ListNamedShadowsForThing/"
# HTTP status -> the exception that botocore's model of iot-data has for it.
_EXCEPTIONS = {
    400: "InvalidRequestException",
    404: "ResourceNotFoundException",
    409: "ConflictException",
    413: "RequestEntityTooLargeException",
    415: "UnsupportedDocumentEncodingException",
}

OnPublish = Callable[[Sequence[Publish]], Awaitable[None] | None]


class PublishTo(Protocol):
    """Publishes from inside. Raises: HeadwaterError for what the rules that see it could not do."""

    def __call__(self, topic: str, payload: bytes) -> Awaitable[None]: ...


class Operation(Protocol):
    """Decides on the stored document of one shadow. Raises: ShadowError."""

    def __call__(self, stored: Document | None) -> Accepted: ...


class Shadows:
    """All shadows. `publish` sends an answer to its topic; the requests come from `on_publish`."""

    def __init__(self, store: Store, *, clock: Callable[[], float], publish: PublishTo) -> None:
        self._store = store
        self._clock = clock
        self._publish_to = publish

    # -- what the service does ------------------------------------------------------------------------------------

    def get(self, name: ShadowName, token: str | None = None) -> Document:
        """The accepted document of get. Raises: ShadowError 404."""
        stored = self._store.read(lambda transaction: _read(transaction, name))
        return get_shadow(stored, name, now=self._clock(), token=token)

    async def update(self, name: ShadowName, payload: bytes) -> Accepted:
        """Merge, commit, then publish what an update publishes. Raises: ShadowError."""
        update, now = parse_update(payload), self._clock()
        accepted = await self._change(name, lambda stored: update_shadow(stored, update, now=now))
        await self._send(f"{name.topic}/update/accepted", accepted.answer)
        if accepted.delta is not None:
            await self._send(f"{name.topic}/update/delta", accepted.delta)
        if accepted.documents is not None:
            await self._send(f"{name.topic}/update/documents", accepted.documents)
        return accepted

    async def delete(self, name: ShadowName, token: str | None = None) -> Accepted:
        """Raises: ShadowError 404."""
        now = self._clock()
        accepted = await self._change(name, lambda stored: delete_shadow(stored, name, now=now, token=token))
        await self._send(f"{name.topic}/delete/accepted", accepted.answer)
        return accepted

    def names(self, thing: str) -> list[str]:
        """The named shadows of a thing, sorted."""
        prefix = _key(ShadowName(thing, ""))

        def read(transaction: ReadTransaction) -> list[str]:
            rows = transaction.scan(_DATABASE, prefix, prefix[:-1] + b"\1")
            found = ((key[len(prefix) :].decode(), json.loads(value)) for key, value in rows)
            return [name for name, document in found if name and is_present(document)]

        return self._store.read(read)

    async def _change(self, name: ShadowName, operation: Operation) -> Accepted:
        def write(transaction: WriteTransaction) -> Accepted:
            accepted = operation(_read(transaction, name))
            transaction.put(_DATABASE, _key(name), encode(accepted.document))
            return accepted

        return await self._store.write(write)

    async def _send(self, topic: str, document: Document) -> None:
        try:
            await self._publish_to(topic, encode(document))
        except HeadwaterError as error:
            # The change is committed: what a rule could not do with the news of it is no failure of the request.
            _log.error("rules failed on %s: %s", topic, error)

    # -- MQTT -----------------------------------------------------------------------------------------------------

    def in_front_of(self, rules: OnPublish) -> OnPublish:
        """Take shadow requests out of what is published; everything, requests too, goes to the rules."""

        def on_publish(batch: Sequence[Publish]) -> Awaitable[None] | None:
            asked = [publish for publish in batch if publish.topic.startswith(TOPIC_PREFIX)]
            handed = rules(batch)
            if not asked:
                return handed
            answering = self._answer_all(asked)
            return answering if handed is None else _both(handed, answering)

        return on_publish

    async def _answer_all(self, batch: Sequence[Publish]) -> None:
        for publish in batch:
            request = parse_request_topic(publish.topic)
            if request is not None and publish.basic_ingest_rule is None:
                await self._answer(request, publish.payload)

    async def _answer(self, request: ShadowRequest, payload: bytes) -> None:
        name, verb = request.name, request.verb
        try:
            if not name.is_valid:
                raise ShadowError(400, f"Invalid thing or shadow name: '{name.text}'")
            if verb == "update":
                await self.update(name, payload)
            elif verb == "delete":
                await self.delete(name, check_token(payload))
            else:
                await self._send(f"{name.topic}/get/accepted", self.get(name, check_token(payload)))
        except ShadowError as error:
            rejected: Document = {"code": error.code, "message": error.message, "timestamp": int(self._clock())}
            if error.token is not None:
                rejected["clientToken"] = error.token
            await self._send(f"{name.topic}/{verb}/rejected", rejected)

    # -- REST -----------------------------------------------------------------------------------------------------

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request of the iot-data API; None if it is for no shadow."""
        query = parse_qs(request.raw_query)
        if request.method == "GET" and request.raw_path.startswith(_LIST_PATH):
            return self._list(unquote(request.raw_path.removeprefix(_LIST_PATH)), query)
        parts = request.raw_path.strip("/").split("/")
        if len(parts) != 3 or parts[0] != "things" or parts[2] != "shadow":
            return None
        name = ShadowName(unquote(parts[1]), query["name"][0] if "name" in query else None)
        try:
            if not name.is_valid:
                raise ShadowError(400, f"Invalid thing or shadow name: '{name.text}'")
            if request.method == "GET":
                answer = self.get(name)
            elif request.method == "POST":
                answer = (await self.update(name, request.body)).answer
            elif request.method == "DELETE":
                answer = (await self.delete(name)).answer
            else:
                return None
        except ShadowError as error:
            return _refusal(error)
        return HttpResponse(200, (("content-type", "application/json"),), encode(answer))

    def _list(self, thing: str, query: Mapping[str, list[str]]) -> HttpResponse:
        if not is_thing_name(thing):
            return _refusal(ShadowError(400, f"Invalid thing name: '{thing[:128]}'"))
        try:
            size = page_size(query.get("pageSize", [""])[0], limit=100)
            names, following = named_page(self.names(thing), query.get("nextToken", [""])[0], size)
        except ServiceError as error:
            return _refusal(ShadowError(400, error.message))
        answer = {"results": names, "timestamp": int(self._clock())}
        return json_response(200, {**answer, "nextToken": following} if following else answer)


async def _both(handed: Awaitable[None], answering: Awaitable[None]) -> None:
    """Wait for both, so that neither is left half done; the rules' failure counts first."""
    outcomes = await asyncio.gather(handed, answering, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def encode(document: Document) -> bytes:
    """JSON as it is stored and sent. Numbers stay as they came, integers of any length too."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _read(transaction: ReadTransaction, name: ShadowName) -> Document | None:
    raw = transaction.get(_DATABASE, _key(name))
    return None if raw is None else json.loads(raw)


def _key(name: ShadowName) -> bytes:
    """The classic shadow's key is the thing's alone; the separator is in no name."""
    return name.thing.encode() + (b"" if name.shadow is None else _SEPARATOR + name.shadow.encode())


def shadow_permissions(request: HttpRequest, account: Account) -> list[Permission] | None:
    """What a role needs to list the shadows of a thing; None for every other request."""
    if request.method != "GET" or not request.raw_path.startswith(_LIST_PATH):
        return None
    thing = unquote(request.raw_path.removeprefix(_LIST_PATH))
    return [Permission("iot:ListNamedShadowsForThing", (account.arn("iot", f"thing/{thing}"),))]


def _refusal(error: ShadowError) -> HttpResponse:
    code = _EXCEPTIONS.get(error.code, "InternalFailureException")
    answer = json_response(error.code, {"message": error.message})
    return HttpResponse(answer.status, (*answer.headers, ("x-amzn-errortype", code)), answer.body)
