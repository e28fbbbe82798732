"""Provisioning templates, claims and RegisterThing in the `iot` API."""

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from headwater.deploy.iot.limits import invalid
from headwater.deploy.iot.members import (
    Answer,
    Handler,
    integer_of,
    object_of,
    page,
    size_of,
    text_of,
    texts_of,
    token_of,
)
from headwater.deploy.iot.operations import Call
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.provisioning.body import ProvisioningBody
from headwater.deploy.provisioning.registration import Registration
from headwater.deploy.provisioning.templates import TYPE, ProvisioningTemplates, Settings, check_settings, hook_arn_of

CLAIM_LIFETIME = datetime.timedelta(minutes=5)


class ProvisioningApi:
    """What `handlers` gives answers one operation each. Every method raises ServiceError."""

    def __init__(
        self,
        registry: DeviceRegistry,
        templates: ProvisioningTemplates,
        registration: Registration,
        *,
        function_exists: Callable[[str], bool],
    ) -> None:
        self._registry = registry
        self._templates = templates
        self._registration = registration
        self._function_exists = function_exists

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateProvisioningTemplate": self.create,
            "DescribeProvisioningTemplate": self.describe,
            "ListProvisioningTemplates": self.list_all,
            "UpdateProvisioningTemplate": self.update,
            "DeleteProvisioningTemplate": self.delete,
            "CreateProvisioningTemplateVersion": self.create_version,
            "DescribeProvisioningTemplateVersion": self.describe_version,
            "ListProvisioningTemplateVersions": self.list_versions,
            "DeleteProvisioningTemplateVersion": self.delete_version,
            "CreateProvisioningClaim": self.create_claim,
            "RegisterThing": self.register,
        }

    async def create(self, call: Call) -> Answer:
        body = call.body
        if body.get("type", TYPE) != TYPE:
            raise invalid(f"type {body.get('type')!r} does not work here, {TYPE} does")
        settings = Settings(
            role_arn=text_of(body, "provisioningRoleArn") or "",
            description=text_of(body, "description") or "",
            is_enabled=body.get("enabled") is True,
            hook_arn=self._hook(body),
        )
        made = await self._templates.create(body.get("templateName"), body.get("templateBody"), settings)
        return {member: made[member] for member in ("templateArn", "templateName", "defaultVersionId")}

    async def describe(self, call: Call) -> Answer:
        return self._templates.describe(call.path["templateName"])

    async def list_all(self, call: Call) -> Answer:
        rows, token = self._templates.listed(token=token_of(call), size=size_of(call, "maxResults"))
        return page("templates", rows, "nextToken", token)

    async def update(self, call: Call) -> Answer:
        body = call.body
        changed: dict[str, Any] = {}
        for member, name in (("provisioningRoleArn", "role_arn"), ("description", "description")):
            if body.get(member) is not None:
                changed[name] = text_of(body, member)
        if body.get("enabled") is not None:
            changed["is_enabled"] = body["enabled"] is True
        if body.get("removePreProvisioningHook") is True:
            changed["hook_arn"] = None
        elif body.get("preProvisioningHook") is not None:
            changed["hook_arn"] = self._hook(body)
        check_settings(Settings(**{"role_arn": "arn:aws:iam::0:role/unchanged", **changed}))
        default = integer_of(body.get("defaultVersionId"), "defaultVersionId")
        await self._templates.update(call.path["templateName"], changed, default)
        return {}

    async def delete(self, call: Call) -> Answer:
        await self._templates.delete(call.path["templateName"])
        return {}

    async def create_version(self, call: Call) -> Answer:
        text = call.body.get("templateBody")
        is_default = call.flag("setAsDefault")
        return await self._templates.create_version(call.path["templateName"], text, is_default=is_default)

    async def describe_version(self, call: Call) -> Answer:
        return self._templates.version(call.path["templateName"], call.path["versionId"])

    async def list_versions(self, call: Call) -> Answer:
        rows, token = self._templates.versions(
            call.path["templateName"], token=token_of(call), size=size_of(call, "maxResults")
        )
        return page("versions", rows, "nextToken", token)

    async def delete_version(self, call: Call) -> Answer:
        await self._templates.delete_version(call.path["templateName"], call.path["versionId"])
        return {}

    async def create_claim(self, call: Call) -> Answer:
        """A certificate for five minutes that may do nothing but be exchanged by this template."""
        return await self.claim(self._templates.describe(call.path["templateName"])["templateName"])

    async def claim(self, template: str) -> Answer:
        """The claim itself, for a template that is there."""
        return await self._registry.certificates.create_claim(self._claim_policy(template), CLAIM_LIFETIME)

    async def register(self, call: Call) -> Answer:
        """RegisterThing: with the rights of the caller, who needs none beside this operation."""
        body = ProvisioningBody.parse(call.body.get("templateBody"))
        wanted = body.evaluate(texts_of(call.body, "parameters"))
        if wanted.certificate is None:
            raise invalid(f"the template has no certificate ({', '.join(body.resources)})")
        certificates = self._registry.certificates
        certificate_id = wanted.certificate.certificate_id
        if certificate_id is None:
            issued = await certificates.create_from_csr(wanted.certificate.signing_request, is_active=False)
            certificate_id = issued["certificateId"]
        pem = certificates.describe(certificate_id)["certificatePem"]
        registered = await self._registration.register(wanted, certificate_id, lambda action, resource: None)
        return {"certificatePem": pem, "resourceArns": registered.resource_arns}

    def _hook(self, body: Mapping[str, Any]) -> str | None:
        arn = hook_arn_of(object_of(body, "preProvisioningHook"))
        if arn is not None and not self._function_exists(arn):
            raise invalid(f"preProvisioningHook.targetArn: there is no function {arn}")
        return arn

    def _claim_policy(self, template: str) -> str:
        arn = self._registry.account.arn
        places = ("$aws/certificates/create/*", "$aws/certificates/create-from-csr/*")
        topics = [*places, f"$aws/provisioning-templates/{template}/provision/*"]
        statements = [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [arn("iot", f"topic/{topic}") for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [arn("iot", f"topicfilter/{topic}") for topic in topics],
            },
        ]
        return json.dumps({"Version": "2012-10-17", "Statement": statements})
