"""Policies, their versions and their targets in the `iot` API."""

from collections.abc import Mapping

from headwater.deploy.iot.certificates import certificate_of_arn
from headwater.deploy.iot.members import Answer, Handler, marker_of, page, size_of
from headwater.deploy.iot.operations import Call
from headwater.deploy.iot.registry import DeviceRegistry, groups_above


class PoliciesApi:
    """What `handlers` gives answers one operation each. Every method raises ServiceError."""

    def __init__(self, registry: DeviceRegistry) -> None:
        self._registry = registry
        self._policies = registry.policies

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListPolicies": self.list_all,
            "CreatePolicy": self.create,
            "GetPolicy": self.get,
            "DeletePolicy": self.delete,
            "CreatePolicyVersion": self.create_version,
            "GetPolicyVersion": self.get_version,
            "ListPolicyVersions": self.list_versions,
            "SetDefaultPolicyVersion": self.set_default_version,
            "DeletePolicyVersion": self.delete_version,
            "AttachPolicy": self.attach,
            "DetachPolicy": self.detach,
            "ListAttachedPolicies": self.list_attached,
            "ListTargetsForPolicy": self.list_targets,
            "AttachPrincipalPolicy": self.attach,
            "DetachPrincipalPolicy": self.detach,
            "ListPrincipalPolicies": self.list_attached,
            "GetEffectivePolicies": self.effective,
        }

    async def list_all(self, call: Call) -> Answer:
        rows, marker = self._policies.listed(
            ascending=call.flag("isAscendingOrder"), token=marker_of(call), size=size_of(call, "pageSize")
        )
        return page("policies", rows, "nextMarker", marker)

    async def create(self, call: Call) -> Answer:
        policy = await self._policies.create(call.path["policyName"], call.body.get("policyDocument"))
        members = {name: policy[name] for name in ("policyName", "policyArn", "policyDocument")}
        return {**members, "policyVersionId": policy["defaultVersionId"]}

    async def get(self, call: Call) -> Answer:
        return self._policies.get(call.path["policyName"])

    async def delete(self, call: Call) -> Answer:
        await self._policies.delete(call.path["policyName"])
        return {}

    async def create_version(self, call: Call) -> Answer:
        text = call.body.get("policyDocument")
        return await self._policies.create_version(call.path["policyName"], text, is_default=call.flag("setAsDefault"))

    async def get_version(self, call: Call) -> Answer:
        return self._policies.version(call.path["policyName"], call.path["policyVersionId"])

    async def list_versions(self, call: Call) -> Answer:
        return {"policyVersions": self._policies.versions(call.path["policyName"])}

    async def set_default_version(self, call: Call) -> Answer:
        await self._policies.set_default_version(call.path["policyName"], call.path["policyVersionId"])
        return {}

    async def delete_version(self, call: Call) -> Answer:
        await self._policies.delete_version(call.path["policyName"], call.path["policyVersionId"])
        return {}

    async def attach(self, call: Call) -> Answer:
        await self._policies.attach(call.path["policyName"], call.principal)
        return {}

    async def detach(self, call: Call) -> Answer:
        await self._policies.detach(call.path["policyName"], call.principal)
        return {}

    async def list_attached(self, call: Call) -> Answer:
        above = {"above": groups_above} if call.flag("recursive") else {}
        rows, marker = self._policies.attached_to(
            call.principal, token=marker_of(call), size=size_of(call, "pageSize"), **above
        )
        return page("policies", rows, "nextMarker", marker)

    async def list_targets(self, call: Call) -> Answer:
        rows, marker = self._policies.targets_of(
            call.path["policyName"], token=marker_of(call), size=size_of(call, "pageSize")
        )
        return page("targets", rows, "nextMarker", marker)

    async def effective(self, call: Call) -> Answer:
        """What counts for a certificate, and for a thing by its groups."""
        certificate_id = certificate_of_arn(call.principal) if call.principal else ""
        found = self._registry.effective_policies(certificate_id, call.query.get("thingName", ""))
        members = ("policyName", "policyArn", "policyDocument")
        return {"effectivePolicies": [{name: policy[name] for name in members} for policy in found]}
