"""The `iot` REST API over the device registry.

Source: AWS IoT API Reference.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headwater.deploy.iot.answers import error_answer, refuse
from headwater.deploy.iot.limits import invalid, page_size
from headwater.deploy.iot.operations import OPERATIONS, Call, read_call
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.routing import json_response
from headwater.errors import ServiceError
from headwater.values.http import HttpRequest, HttpResponse

Answer = Mapping[str, Any]
_ENDPOINT_TYPES = ("iot:Data-ATS", "iot:Data")


class IotApi:
    """`handle` is an HttpHandler. `endpoint` is the host that devices connect to."""

    def __init__(self, registry: DeviceRegistry, endpoint: str) -> None:
        self._registry = registry
        self._endpoint = endpoint

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; what does not work here is refused by its name."""
        try:
            call = read_call(request)
            if call is None:
                raise await refuse("iot", request, ", ".join(one.name for one in OPERATIONS))
            return json_response(200, await _HANDLERS[call.operation.name](self, call))
        except ServiceError as error:
            return error_answer(error)

    # -- certificates ---------------------------------------------------------------------------------------------

    async def create_keys(self, call: Call) -> Answer:
        return await self._registry.certificates.create_with_key(is_active=call.flag("setAsActive"))

    async def create_from_csr(self, call: Call) -> Answer:
        request = call.body.get("certificateSigningRequest")
        return await self._registry.certificates.create_from_csr(request, is_active=call.flag("setAsActive"))

    async def list_certificates(self, call: Call) -> Answer:
        rows, marker = self._registry.certificates.listed(
            ascending=call.flag("isAscendingOrder"), token=_marker(call), size=_size(call, "pageSize")
        )
        return _page("certificates", rows, "nextMarker", marker)

    async def describe_certificate(self, call: Call) -> Answer:
        return {"certificateDescription": self._registry.certificates.describe(call.path["certificateId"])}

    async def update_certificate(self, call: Call) -> Answer:
        await self._registry.certificates.set_status(call.path["certificateId"], call.query.get("newStatus", ""))
        return {}

    async def delete_certificate(self, call: Call) -> Answer:
        force = call.flag("forceDelete")
        await self._registry.certificates.delete(call.path["certificateId"], detaches_policies=force)
        return {}

    # -- things ---------------------------------------------------------------------------------------------------

    async def list_things(self, call: Call) -> Answer:
        rows, token = self._registry.things.listed(
            type_name=call.query.get("thingTypeName", ""),
            attribute=call.query.get("attributeName", ""),
            value=call.query.get("attributeValue", ""),
            is_prefix=call.flag("usePrefixAttributeValue"),
            token=call.query.get("nextToken", ""),
            size=_size(call, "maxResults"),
        )
        members = ("thingName", "thingTypeName", "thingArn", "attributes", "version")
        listed = [{name: row[name] for name in members if name in row} for row in rows]
        return _page("things", listed, "nextToken", token)

    async def create_thing(self, call: Call) -> Answer:
        if call.body.get("billingGroupName") is not None:
            raise invalid("billingGroupName does not work here")
        payload = _object(call.body, "attributePayload")
        attributes = _object(payload, "attributes")
        thing = await self._registry.things.create(
            call.path["thingName"], _text(call.body, "thingTypeName"), attributes
        )
        return {name: thing[name] for name in ("thingName", "thingArn", "thingId")}

    async def describe_thing(self, call: Call) -> Answer:
        return self._registry.things.describe(call.path["thingName"])

    async def update_thing(self, call: Call) -> Answer:
        payload = _object(call.body, "attributePayload")
        await self._registry.things.update(
            call.path["thingName"],
            type_name=_text(call.body, "thingTypeName"),
            removes_type=call.body.get("removeThingType") is True,
            attributes=_object(payload, "attributes") if payload.get("attributes") is not None else None,
            merges=payload.get("merge") is True,
            expected_version=_integer(call.body.get("expectedVersion"), "expectedVersion"),
        )
        return {}

    async def delete_thing(self, call: Call) -> Answer:
        given = call.query.get("expectedVersion")
        expected = _integer(int(given) if given is not None and given.isdecimal() else given, "expectedVersion")
        await self._registry.things.delete(call.path["thingName"], expected)
        return {}

    async def create_type(self, call: Call) -> Answer:
        properties = _object(call.body, "thingTypeProperties")
        kind = await self._registry.things.create_type(call.path["thingTypeName"], properties)
        return {name: kind[name] for name in ("thingTypeName", "thingTypeArn", "thingTypeId")}

    async def describe_type(self, call: Call) -> Answer:
        return self._registry.things.describe_type(call.path["thingTypeName"])

    async def list_types(self, call: Call) -> Answer:
        rows, token = self._registry.things.list_types(
            name=call.query.get("thingTypeName", ""),
            token=call.query.get("nextToken", ""),
            size=_size(call, "maxResults"),
        )
        return _page("thingTypes", rows, "nextToken", token)

    # -- policies -------------------------------------------------------------------------------------------------

    async def list_policies(self, call: Call) -> Answer:
        rows, marker = self._registry.policies.listed(
            ascending=call.flag("isAscendingOrder"), token=_marker(call), size=_size(call, "pageSize")
        )
        return _page("policies", rows, "nextMarker", marker)

    async def create_policy(self, call: Call) -> Answer:
        policy = await self._registry.policies.create(call.path["policyName"], call.body.get("policyDocument"))
        members = {name: policy[name] for name in ("policyName", "policyArn", "policyDocument")}
        return {**members, "policyVersionId": policy["defaultVersionId"]}

    async def get_policy(self, call: Call) -> Answer:
        return self._registry.policies.get(call.path["policyName"])

    async def delete_policy(self, call: Call) -> Answer:
        await self._registry.policies.delete(call.path["policyName"])
        return {}

    async def attach_policy(self, call: Call) -> Answer:
        await self._registry.policies.attach(call.path["policyName"], call.principal)
        return {}

    async def detach_policy(self, call: Call) -> Answer:
        await self._registry.policies.detach(call.path["policyName"], call.principal)
        return {}

    async def list_attached_policies(self, call: Call) -> Answer:
        rows, marker = self._registry.policies.attached_to(
            call.principal, token=_marker(call), size=_size(call, "pageSize")
        )
        return _page("policies", rows, "nextMarker", marker)

    async def list_targets(self, call: Call) -> Answer:
        rows, marker = self._registry.policies.targets_of(
            call.path["policyName"], token=_marker(call), size=_size(call, "pageSize")
        )
        return _page("targets", rows, "nextMarker", marker)

    # -- attachments and the endpoint -----------------------------------------------------------------------------

    async def attach_thing(self, call: Call) -> Answer:
        kind = call.query.get("thingPrincipalType", "NON_EXCLUSIVE_THING")
        if kind != "NON_EXCLUSIVE_THING":
            raise invalid(f"thingPrincipalType {kind!r} does not work here, NON_EXCLUSIVE_THING does")
        await self._registry.certificates.attach_thing(call.path["thingName"], call.principal)
        return {}

    async def detach_thing(self, call: Call) -> Answer:
        await self._registry.certificates.detach_thing(call.path["thingName"], call.principal)
        return {}

    async def list_thing_principals(self, call: Call) -> Answer:
        rows, token = self._registry.certificates.principals_of(
            call.path["thingName"], token=call.query.get("nextToken", ""), size=_size(call, "maxResults")
        )
        return _page("principals", rows, "nextToken", token)

    async def list_principal_things(self, call: Call) -> Answer:
        rows, token = self._registry.certificates.things_of(
            call.principal, token=call.query.get("nextToken", ""), size=_size(call, "maxResults")
        )
        return _page("things", rows, "nextToken", token)

    async def describe_endpoint(self, call: Call) -> Answer:
        kind = call.query.get("endpointType", "iot:Data-ATS")
        if kind not in _ENDPOINT_TYPES:
            raise invalid(f"endpointType {kind!r} does not work here; {' and '.join(_ENDPOINT_TYPES)} do")
        return {"endpointAddress": self._endpoint}


_HANDLERS: Mapping[str, Callable[[IotApi, Call], Awaitable[Answer]]] = {
    "CreateKeysAndCertificate": IotApi.create_keys,
    "CreateCertificateFromCsr": IotApi.create_from_csr,
    "ListCertificates": IotApi.list_certificates,
    "DescribeCertificate": IotApi.describe_certificate,
    "UpdateCertificate": IotApi.update_certificate,
    "DeleteCertificate": IotApi.delete_certificate,
    "ListThings": IotApi.list_things,
    "CreateThing": IotApi.create_thing,
    "DescribeThing": IotApi.describe_thing,
    "UpdateThing": IotApi.update_thing,
    "DeleteThing": IotApi.delete_thing,
    "AttachThingPrincipal": IotApi.attach_thing,
    "DetachThingPrincipal": IotApi.detach_thing,
    "ListThingPrincipals": IotApi.list_thing_principals,
    "ListPrincipalThings": IotApi.list_principal_things,
    "ListThingTypes": IotApi.list_types,
    "CreateThingType": IotApi.create_type,
    "DescribeThingType": IotApi.describe_type,
    "ListPolicies": IotApi.list_policies,
    "CreatePolicy": IotApi.create_policy,
    "GetPolicy": IotApi.get_policy,
    "DeletePolicy": IotApi.delete_policy,
    "AttachPolicy": IotApi.attach_policy,
    "DetachPolicy": IotApi.detach_policy,
    "ListAttachedPolicies": IotApi.list_attached_policies,
    "ListTargetsForPolicy": IotApi.list_targets,
    "DescribeEndpoint": IotApi.describe_endpoint,
}


def _page(member: str, rows: list[Any], token_member: str, token: str) -> Answer:
    return {member: rows, token_member: token} if token else {member: rows}


def _marker(call: Call) -> str:
    return call.query.get("marker", "")


def _size(call: Call, name: str) -> int | None:
    return page_size(call.query.get(name, ""))


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise invalid(f"{name} is an object, found {type(value).__name__}")
    return value or {}


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} is text, found {type(value).__name__}")
    return value


def _integer(value: object, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise invalid(f"{name} is an integer, found {value!r}")
    return value
