"""IAM roles, and the decision on every call made with their keys."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.deploy.denials import denial
from headwater.deploy.managed_policies import MANAGED_POLICIES
from headwater.errors import TemplateError
from headwater.values.identity import AwsPrincipal
from headwater.values.policy import Decision, PolicyDocument, decide

_ALLOWED = Decision(True, "the policies are not asked")
# A role names few resources over and over; a client that invents names must not fill the memory.
_KEPT_DECISIONS = 10_000


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One issued key pair."""

    access_key_id: str
    secret: str
    principal: AwsPrincipal


@dataclass(frozen=True, slots=True)
class Use:
    """How often a role asked for an action on a resource; `*` where the request shows none."""

    action: str
    resource: str
    count: int
    is_allowed: bool


@dataclass(slots=True)
class Roles:
    """The stack's roles with their policies, the keys issued for them, and a count of what they were used for."""

    account_id: str
    checks_policies: bool = True
    _policies: dict[str, list[PolicyDocument]] = field(default_factory=dict)
    _keys: dict[str, AccessKey] = field(default_factory=dict)
    _function_keys: dict[tuple[str | None, str], AccessKey] = field(default_factory=dict)
    _decisions: dict[tuple[str, str, str], Decision] = field(default_factory=dict)
    _uses: dict[tuple[str, str, str, bool], int] = field(default_factory=dict)
    counts_all: bool = True

    def add_role(self, name: str, properties: Mapping[str, Any]) -> None:
        """Register `AWS::IAM::Role` properties. Raises: TemplateError for a policy that cannot be read."""
        self._decisions.clear()
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
        self._decisions.clear()
        policy = PolicyDocument.parse(document)
        for name in role_names:
            self._policies.setdefault(name, []).append(policy)

    def has_role(self, name: str) -> bool:
        """Whether the stack has a role."""
        return name in self._policies

    def policies(self, name: str) -> tuple[PolicyDocument, ...]:
        """A role's policies."""
        return tuple(self._policies.get(name, ()))

    def uses(self, name: str) -> list[Use]:
        """What a role asked for since the start, by action and resource."""
        return [
            Use(action, resource, count, is_allowed)
            for (role, action, resource, is_allowed), count in sorted(self._uses.items())
            if role == name
        ]

    def issue_key(self, role_name: str | None, session_name: str = "") -> AccessKey:
        """A fresh key pair of a role, or of the administrator for None."""
        access_key_id = "AKIA" + secrets.token_hex(8).upper()
        principal = AwsPrincipal(access_key_id, self.account_id, role_name, session_name)
        key = AccessKey(access_key_id, secrets.token_urlsafe(30), principal)
        self._keys[access_key_id] = key
        return key

    def function_variables(self, role_arn: str, function_name: str, endpoint_url: str) -> dict[str, str]:
        """What lets a function call AWS APIs with its role's rights, in a session named after it.

        A role the template does not have (of a function made through the Lambda API) is the administrator's.
        """
        name = role_arn.rsplit("/", 1)[-1]
        role = name if name in self._policies else None
        session = (role, function_name)
        if session not in self._function_keys:
            self._function_keys[session] = self.issue_key(role, function_name)
        key = self._function_keys[session]
        return {
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_ENDPOINT_URL": endpoint_url,
        }

    def find_secret(self, access_key_id: str) -> tuple[AwsPrincipal, str] | None:
        """The owner and secret of an issued key."""
        key = self._keys.get(access_key_id)
        return (key.principal, key.secret) if key is not None else None

    def is_allowed(self, principal: AwsPrincipal, action: str, resource: str) -> bool:
        """Whether the principal's policies allow an action on one resource."""
        return self._decide(principal, action, resource).allowed

    def is_denied(self, principal: AwsPrincipal, action: str, resource: str) -> bool:
        """Whether a Deny statement of the principal's policies covers an action on one resource.

        For what needs no grant: unlike `is_allowed`, only a refusal counts as a use.
        """
        if principal.role_name is None or not self.checks_policies:
            return False
        is_denied = self._kept(principal.role_name, action, resource).is_explicit
        if is_denied:
            self._count(principal.role_name, action, resource, is_allowed=False)
        return is_denied

    def _decide(self, principal: AwsPrincipal, action: str, resource: str) -> Decision:
        if principal.role_name is None:
            return _ALLOWED
        if not self.checks_policies:
            self._count(principal.role_name, action, resource, is_allowed=True)
            return _ALLOWED
        decision = self._kept(principal.role_name, action, resource)
        self._count(principal.role_name, action, resource, is_allowed=decision.allowed)
        return decision

    def _kept(self, role_name: str, action: str, resource: str) -> Decision:
        key = (role_name, action, resource)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= _KEPT_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[key] = decide(self._policies.get(role_name, ()), action, resource)
        return decision

    def _count(self, role_name: str, action: str, resource: str, *, is_allowed: bool) -> None:
        key = (role_name, action, resource, is_allowed)
        if key in self._uses:
            self._uses[key] += 1
        elif len(self._uses) < _KEPT_DECISIONS:
            self._uses[key] = 1
        else:
            self.counts_all = False

    def authorize(self, principal: AwsPrincipal, action: str, resources: Sequence[str]) -> None:
        """Raises: ServiceError AccessDeniedException naming the first resource that is not allowed.

        No resource means that the request does not show one: then the action must be allowed on any.
        """
        if not resources and not self._allows_somewhere(principal, action):
            raise denial(principal, action, "*", is_explicit=False)
        for resource in resources:
            decision = self._decide(principal, action, resource)
            if not decision.allowed:
                raise denial(principal, action, resource, is_explicit=decision.is_explicit)

    def _allows_somewhere(self, principal: AwsPrincipal, action: str) -> bool:
        if principal.role_name is None or not self.checks_policies:
            return True
        policies = self._policies.get(principal.role_name, ())
        is_allowed = any(statement.allows_action(action) for policy in policies for statement in policy.statements)
        self._count(principal.role_name, action, "*", is_allowed=is_allowed)
        return is_allowed
