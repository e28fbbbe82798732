"""What the AWS API front needs of a service, whichever store or process is behind it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from headwater.values.identity import AwsPrincipal


class AwsService(Protocol):
    """One API of the JSON protocols, found by the prefix of its `X-Amz-Target` header."""

    @property
    def target_prefix(self) -> str:
        """For example `Kinesis_20131202`."""
        ...

    async def call(self, operation: str, request: dict[str, Any], principal: AwsPrincipal) -> dict[str, Any]:
        """Answer one operation; blobs may be `bytes` or base64 text in the request and are `bytes` in the answer.

        Raises: ServiceError, also `UnknownOperationException` for an operation the service does not have.
        """
        ...


@runtime_checkable
class PromptAwsService(AwsService, Protocol):
    """A service that also answers without a coroutine, which costs more than many an operation."""

    def start(
        self, operation: str, request: dict[str, Any], done: Callable[[bool, Any], None]
    ) -> dict[str, Any] | None:
        """The answer; or None, and `done` gets true and the answer, or false and what `call` would raise.

        Raises: ServiceError, for what is known at once.
        """
        ...


class Authorize(Protocol):
    """Decides whether a principal may perform an action; the policies are the implementer's."""

    def __call__(self, principal: AwsPrincipal, action: str, resources: Sequence[str]) -> None:
        """Raises: ServiceError `AccessDeniedException` naming the first resource that is not allowed."""
        ...


def principal_arn(principal: AwsPrincipal) -> str:
    """The caller as error messages and `GetCallerIdentity` name it; without a name a session has its role's."""
    if principal.role_name is None:
        return f"arn:aws:iam::{principal.account_id}:user/administrator"
    session = principal.session_name or principal.role_name
    return f"arn:aws:sts::{principal.account_id}:assumed-role/{principal.role_name}/{session}"


def service_of(arn: str) -> str:
    """The service that an ARN names; empty for what is no ARN."""
    parts = arn.split(":", 5)
    return parts[2] if len(parts) == 6 else ""
