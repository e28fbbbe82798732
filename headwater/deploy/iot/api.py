"""The `iot` REST API over the device registry.

Source: AWS IoT API Reference.
"""

from collections.abc import Mapping, Sequence

from headwater.deploy.iot.answers import error_answer, refuse
from headwater.deploy.iot.group_api import GroupsApi
from headwater.deploy.iot.limits import invalid
from headwater.deploy.iot.members import (
    Answer,
    Handler,
    integer_of,
    marker_of,
    number_in_query,
    object_of,
    page,
    size_of,
    text_of,
    token_of,
)
from headwater.deploy.iot.operations import Call, read_call
from headwater.deploy.iot.policy_api import PoliciesApi
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.routing import json_response
from headwater.errors import ServiceError
from headwater.values.http import HttpRequest, HttpResponse

_ENDPOINT_TYPES = ("iot:Data-ATS", "iot:Data")


class IotApi:
    """`handle` is an HttpHandler. `endpoint` is the host that devices connect to.

    `more` has the operations of services that stand on the registry, by name.
    """

    def __init__(self, registry: DeviceRegistry, endpoint: str, *, more: Sequence[Mapping[str, Handler]] = ()) -> None:
        self._registry = registry
        self._endpoint = endpoint
        self._handlers: dict[str, Handler] = {
            "CreateKeysAndCertificate": self.create_keys,
            "CreateCertificateFromCsr": self.create_from_csr,
            "ListCertificates": self.list_certificates,
            "DescribeCertificate": self.describe_certificate,
            "UpdateCertificate": self.update_certificate,
            "DeleteCertificate": self.delete_certificate,
            "ListThings": self.list_things,
            "CreateThing": self.create_thing,
            "DescribeThing": self.describe_thing,
            "UpdateThing": self.update_thing,
            "DeleteThing": self.delete_thing,
            "AttachThingPrincipal": self.attach_thing,
            "DetachThingPrincipal": self.detach_thing,
            "ListThingPrincipals": self.list_thing_principals,
            "ListPrincipalThings": self.list_principal_things,
            "DescribeEndpoint": self.describe_endpoint,
            **PoliciesApi(registry).handlers(),
            **GroupsApi(registry).handlers(),
        }
        for handlers in more:
            self._handlers.update(handlers)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; what does not work here is refused by its name."""
        try:
            call = read_call(request)
            handler = None if call is None else self._handlers.get(call.operation.name)
            if call is None or handler is None:
                raise await refuse("iot", request, ", ".join(self._handlers))
            return json_response(200, await handler(call))
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
            ascending=call.flag("isAscendingOrder"), token=marker_of(call), size=size_of(call, "pageSize")
        )
        return page("certificates", rows, "nextMarker", marker)

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
            token=token_of(call),
            size=size_of(call, "maxResults"),
        )
        members = ("thingName", "thingTypeName", "thingArn", "attributes", "version")
        listed = [{name: row[name] for name in members if name in row} for row in rows]
        return page("things", listed, "nextToken", token)

    async def create_thing(self, call: Call) -> Answer:
        if call.body.get("billingGroupName") is not None:
            raise invalid("billingGroupName does not work here")
        payload = object_of(call.body, "attributePayload")
        attributes = object_of(payload, "attributes")
        thing = await self._registry.things.create(
            call.path["thingName"], text_of(call.body, "thingTypeName"), attributes
        )
        return {name: thing[name] for name in ("thingName", "thingArn", "thingId")}

    async def describe_thing(self, call: Call) -> Answer:
        return self._registry.things.describe(call.path["thingName"])

    async def update_thing(self, call: Call) -> Answer:
        payload = object_of(call.body, "attributePayload")
        await self._registry.things.update(
            call.path["thingName"],
            type_name=text_of(call.body, "thingTypeName"),
            removes_type=call.body.get("removeThingType") is True,
            attributes=object_of(payload, "attributes") if payload.get("attributes") is not None else None,
            merges=payload.get("merge") is True,
            expected_version=integer_of(call.body.get("expectedVersion"), "expectedVersion"),
        )
        return {}

    async def delete_thing(self, call: Call) -> Answer:
        await self._registry.things.delete(call.path["thingName"], number_in_query(call, "expectedVersion"))
        return {}

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
            call.path["thingName"], token=token_of(call), size=size_of(call, "maxResults")
        )
        return page("principals", rows, "nextToken", token)

    async def list_principal_things(self, call: Call) -> Answer:
        rows, token = self._registry.certificates.things_of(
            call.principal, token=token_of(call), size=size_of(call, "maxResults")
        )
        return page("things", rows, "nextToken", token)

    async def describe_endpoint(self, call: Call) -> Answer:
        kind = call.query.get("endpointType", "iot:Data-ATS")
        if kind not in _ENDPOINT_TYPES:
            raise invalid(f"endpointType {kind!r} does not work here; {' and '.join(_ENDPOINT_TYPES)} do")
        return {"endpointAddress": self._endpoint}
