"""The runtime's access keys, and what each role's policies let it do."""

import hmac
from collections.abc import Iterable, Mapping, Sequence

from headwater.errors import ServiceError
from headwater.values.aws import principal_arn
from headwater.values.identity import AwsPrincipal
from headwater.values.policy import PolicyDocument, decide
from headwater.values.policy_conditions import Context


class AccessKeys:
    """The keys the runtime issued, by access key id, with their secrets and session tokens."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[AwsPrincipal, str, str]] = {}

    def add(self, principal: AwsPrincipal, secret: str, *, session_token: str = "") -> None:
        """A key with a session token is only good together with it."""
        self._keys[principal.access_key_id] = (principal, secret, session_token)

    def find(self, access_key_id: str) -> tuple[AwsPrincipal, str] | None:
        """The principal and secret of a key; None if the runtime did not issue it."""
        found = self._keys.get(access_key_id)
        return None if found is None else (found[0], found[1])

    def accepts_token(self, access_key_id: str, session_token: str) -> bool:
        """Whether the session token belongs to the key."""
        found = self._keys.get(access_key_id)
        return found is not None and hmac.compare_digest(found[2].encode(), session_token.encode())


class RolePolicies:
    """Holds role principals to their policies; the administrator may do everything.

    Calling it raises ServiceError `AccessDeniedException` in the service's words.
    """

    def __init__(self, policies_by_role: Mapping[str, Iterable[PolicyDocument]]) -> None:
        self._policies = {role: tuple(policies) for role, policies in policies_by_role.items()}

    def __call__(
        self,
        principal: AwsPrincipal,
        action: str,
        resources: Sequence[str],
        context: Context | None = None,
    ) -> None:
        """Every resource must be allowed. Without one, what matters is whether the action is allowed anywhere.

        The latter is for GetRecords, whose shard iterator was only given out for a stream that was allowed.
        Raises: ServiceError `AccessDeniedException`.
        """
        if principal.role_name is None:
            return
        policies = self._policies.get(principal.role_name, ())
        if not resources:
            if not any(statement.allows_action(action) for policy in policies for statement in policy.statements):
                raise _denied(principal, f"{action} because no identity-based policy allows the {action} action")
            return
        for resource in resources:
            decision = decide(policies, action, resource, context)
            if not decision.allowed:
                raise _denied(principal, decision.reason)


def _denied(principal: AwsPrincipal, what: str) -> ServiceError:
    return ServiceError(
        "AccessDeniedException", f"User: {principal_arn(principal)} is not authorized to perform: {what}"
    )
