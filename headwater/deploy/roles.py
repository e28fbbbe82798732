"""IAM roles, and the decision on every call made with their keys."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.deploy.managed_policies import MANAGED_POLICIES
from headwater.errors import ServiceError, TemplateError
from headwater.values.aws import principal_arn
from headwater.values.identity import AwsPrincipal
from headwater.values.policy import PolicyDocument, decide


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One issued key pair."""

    access_key_id: str
    secret: str
    principal: AwsPrincipal


@dataclass(slots=True)
class Roles:
    """The stack's roles with their policies, and the keys issued for them."""

    account_id: str
    checks_policies: bool = True
    _policies: dict[str, list[PolicyDocument]] = field(default_factory=dict)
    _keys: dict[str, AccessKey] = field(default_factory=dict)

    def add_role(self, name: str, properties: Mapping[str, Any]) -> None:
        """Register `AWS::IAM::Role` properties. Raises: TemplateError for a policy that cannot be read."""
        documents = self._policies.setdefault(name, [])
        for policy in properties.get("Policies") or []:
            documents.append(PolicyDocument.parse(policy["PolicyDocument"]))
        for arn in properties.get("ManagedPolicyArns") or []:
            policy_name = str(arn).rsplit("/", 1)[-1]
            if str(arn).startswith("arn:aws:iam::aws:policy/"):
                if policy_name not in MANAGED_POLICIES:
                    raise TemplateError(
                        f"the managed policy {policy_name} is not known here; state its actions in Policies",
                        property_path="ManagedPolicyArns",
                    )
                documents.append(PolicyDocument.parse(MANAGED_POLICIES[policy_name]))

    def attach(self, role_names: Sequence[str], document: Mapping[str, Any]) -> None:
        """Attach a policy resource to roles."""
        policy = PolicyDocument.parse(document)
        for name in role_names:
            self._policies.setdefault(name, []).append(policy)

    def issue_key(self, role_name: str | None) -> AccessKey:
        """A fresh key pair of a role, or of the administrator for None."""
        access_key_id = "AKIA" + secrets.token_hex(8).upper()
        principal = AwsPrincipal(access_key_id, self.account_id, role_name)
        key = AccessKey(access_key_id, secrets.token_urlsafe(30), principal)
        self._keys[access_key_id] = key
        return key

    def find_secret(self, access_key_id: str) -> tuple[AwsPrincipal, str] | None:
        """The owner and secret of an issued key."""
        key = self._keys.get(access_key_id)
        return (key.principal, key.secret) if key is not None else None

    def is_allowed(self, principal: AwsPrincipal, action: str, resource: str) -> bool:
        """Whether the principal's policies allow an action on one resource."""
        if principal.role_name is None or not self.checks_policies:
            return True
        policies = self._policies.get(principal.role_name, ())
        return decide(policies, action, resource).allowed

    def authorize(self, principal: AwsPrincipal, action: str, resources: Sequence[str]) -> None:
        """Raises: ServiceError AccessDeniedException naming the first resource that is not allowed."""
        for resource in resources:
            if not self.is_allowed(principal, action, resource):
                raise ServiceError(
                    "AccessDeniedException",
                    f"User: {principal_arn(principal)} is not authorized to perform: {action} on resource: {resource} "
                    f"because no identity-based policy allows the {action} action",
                )
