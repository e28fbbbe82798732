"""Flow 1/8: what devices ask of fleet provisioning over MQTT, and its answers to the connection that asked.

Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API" and "Pre-provisioning hooks". The guide has no list
of error codes: InvalidCertificateOwnershipToken, InvalidParameters and AccessDenied are those that users of the service
have published, the others follow their form.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cbor2

from headwater.deploy.iot.certificates import Certificates
from headwater.deploy.iot.limits import invalid
from headwater.deploy.provisioning.body import CERTIFICATE_ID
from headwater.deploy.provisioning.ownership import Ownership
from headwater.deploy.provisioning.registration import Authorize, Registration
from headwater.deploy.provisioning.templates import ProvisioningTemplates, Settings
from headwater.errors import ServiceError
from headwater.mqtt.ports import ClientContext, Publish
from headwater.values.topics import PRIVATE_PREFIXES

_log = logging.getLogger(__name__)
HOOK_TIMEOUT_S = 5.0
_MAX_DEPTH = 16
# A message may name what the device sent, which together with the rest would be more than a publish carries.
_MAX_MESSAGE_CHARACTERS = 1024
# A publish carries 128 KB; the rest of the answer is the thing's name.
_MAX_CONFIGURATION_CHARACTERS = 127 * 1024
_DENIED = "User not authorized to perform this action."
Document = dict[str, Any]
OnPublish = Callable[[Sequence[Publish]], Awaitable[None] | None]
AuthorizeRole = Callable[[str], Authorize]
Answer = Callable[[ClientContext, str, bytes], bool]


class InvokeFunction(Protocol):
    """Runs a function and gives its JSON answer. Raises: ServiceError for one that fails."""

    def __call__(self, function_arn: str, payload: bytes, /, *, timeout_s: float) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a topic asks for; `template` only of a provision request."""

    operation: Literal["create", "create-from-csr", "provision"]
    format: Literal["json", "cbor"]
    template: str = ""


def parse_request(topic: str) -> Request | None:
    """The request of a topic; None for the answers' topics and everything else."""
    match topic.split("/"):
        case ["$aws", "certificates", ("create" | "create-from-csr") as operation, ("json" | "cbor") as form]:
            return Request(operation, form)
        case ["$aws", "provisioning-templates", template, "provision", ("json" | "cbor") as form] if template:
            return Request("provision", form, template)
    return None


class FleetProvisioning:
    """Answers the requests that `in_front_of` finds among publishes. `answer` sends to one connection alone."""

    def __init__(
        self,
        certificates: Certificates,
        templates: ProvisioningTemplates,
        registration: Registration,
        ownership: Ownership,
        *,
        invoke: InvokeFunction,
        authorize: AuthorizeRole,
        answer: Answer,
    ) -> None:
        self._certificates = certificates
        self._templates = templates
        self._registration = registration
        self._ownership = ownership
        self._invoke = invoke
        self._authorize = authorize
        self._answer = answer

    def in_front_of(self, others: OnPublish) -> OnPublish:
        """Take provisioning requests out of what is published: nobody else sees keys and tokens."""

        def on_publish(batch: Sequence[Publish]) -> Awaitable[None] | None:
            private = [publish for publish in batch if publish.topic.startswith(PRIVATE_PREFIXES)]
            if not private:
                return others(batch)
            rest = [publish for publish in batch if not publish.topic.startswith(PRIVATE_PREFIXES)]
            handed = others(rest) if rest else None
            answering = self._answer_all(private)
            return answering if handed is None else _both(handed, answering)

        return on_publish

    async def _answer_all(self, batch: Sequence[Publish]) -> None:
        await asyncio.gather(*(self._handle(publish) for publish in batch))

    async def _handle(self, publish: Publish) -> None:
        request, client = parse_request(publish.topic), publish.client
        if request is None or client is None or publish.basic_ingest_rule is not None:
            _log.warning("nobody answers a publish to %s", publish.topic)
            return
        try:
            outcome, document = "accepted", await self._perform(request, _decoded(request, publish.payload), client)
        except ServiceError as error:
            shown = error.message[:_MAX_MESSAGE_CHARACTERS]
            _log.warning("%s: %s is rejected: %s", client.client_id, publish.topic, shown)
            outcome, document = "rejected", _error_document(error)
        payload = json.dumps(document).encode() if request.format == "json" else cbor2.dumps(document)
        if not self._answer(client, f"{publish.topic}/{outcome}", payload):
            _log.warning("%s has not subscribed to %s/%s", client.client_id, publish.topic, outcome)

    async def _perform(self, request: Request, body: Mapping[str, Any], client: ClientContext) -> Document:
        if request.operation == "provision":
            return await self._provision(request.template, body, client)
        csr = None
        if request.operation == "create-from-csr":
            csr = body.get("certificateSigningRequest")
            if csr is None:
                raise invalid("certificateSigningRequest cannot be empty.")
        token, keep = self._ownership.issue()
        issued = await self._certificates.create_pending(csr, also=keep)
        return {**issued, "certificateOwnershipToken": token}

    async def _provision(self, name: str, body: Mapping[str, Any], client: ClientContext) -> Document:
        token = body.get("certificateOwnershipToken")
        certificate_id = self._ownership.certificate_of(token)
        parameters = _parameters(body.get("parameters"), "parameters")
        template, settings, arn = self._templates.active(name)
        if settings.hook_arn is not None:
            asked = {
                "claimCertificateId": client.principal_id,
                "certificateId": certificate_id,
                "certificatePem": self._certificates.describe(certificate_id)["certificatePem"],
                "templateArn": arn,
                "clientId": client.client_id,
                "parameters": parameters,
            }
            parameters |= await self._ask_hook(settings, asked)
        wanted = template.evaluate({**parameters, CERTIFICATE_ID: certificate_id})
        size = len(json.dumps(wanted.configuration))
        if size > _MAX_CONFIGURATION_CHARACTERS:
            message = f"the device configuration has {size} characters; the limit is {_MAX_CONFIGURATION_CHARACTERS}"
            raise invalid(message)
        registered = await self._registration.register(
            wanted,
            certificate_id,
            self._authorize(settings.role_arn),
            also=lambda changes: self._ownership.spend(changes, str(token)),
        )
        answer: Document = {"deviceConfiguration": dict(wanted.configuration)}
        return {**answer, "thingName": registered.thing_name} if registered.thing_name else answer

    async def _ask_hook(self, settings: Settings, asked: Mapping[str, Any]) -> dict[str, str]:
        """The parameters the hook adds. Raises: ServiceError AccessDeniedException if it does not allow the device."""
        try:
            told = await self._invoke(str(settings.hook_arn), json.dumps(asked).encode(), timeout_s=HOOK_TIMEOUT_S)
        except ServiceError as error:
            _log.error("the pre-provisioning hook %s failed: %s", settings.hook_arn, error.message)
            raise _denied() from error
        if not isinstance(told, Mapping) or told.get("allowProvisioning") is not True:
            _log.warning("the pre-provisioning hook %s does not allow %s", settings.hook_arn, asked["clientId"])
            raise _denied()
        try:
            return _parameters(told.get("parameterOverrides"), "parameterOverrides")
        except ServiceError as error:
            _log.error("the pre-provisioning hook %s answered wrongly: %s", settings.hook_arn, error.message)
            raise _denied() from error


def _decoded(request: Request, payload: bytes) -> Mapping[str, Any]:
    """Raises: ServiceError InvalidRequestException."""
    if not payload:
        return {}
    try:
        body = json.loads(payload) if request.format == "json" else cbor2.loads(payload, max_depth=_MAX_DEPTH)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise invalid(f"the payload is no {request.format}: {error}") from error
    if not isinstance(body, Mapping):
        raise invalid(f"the payload is an object, found {type(body).__name__}")
    return body


def _parameters(given: object, what: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(_is_text(one) for pair in given.items() for one in pair):
        raise invalid(f"{what} is an object of texts")
    return dict(given)


def _is_text(value: object) -> bool:
    """JSON may spell halves of surrogate pairs, which no text holds."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _error_document(error: ServiceError) -> Document:
    code = error.code.removesuffix("Exception")
    if code == "InvalidRequest":
        code = "InvalidParameters"
    message = _DENIED if code == "AccessDenied" else error.message[:_MAX_MESSAGE_CHARACTERS]
    return {"statusCode": 403 if code == "AccessDenied" else error.status, "errorCode": code, "errorMessage": message}


def _denied() -> ServiceError:
    return ServiceError("AccessDeniedException", _DENIED, status=403)


async def _both(handed: Awaitable[None], answering: Awaitable[None]) -> None:
    """Wait for both, so that neither is left half done; the rules' failure counts first."""
    outcomes = await asyncio.gather(handed, answering, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
