"""What an authorizer's function answered: who the client is, what it may do, and for how long.

Source: AWS IoT Core Developer Guide, "Defining your Lambda function".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.deploy.iot.limits import check_policy_document
from headwater.errors import ServiceError
from headwater.values.policy import PolicyDocument

_PRINCIPAL = re.compile(r"[a-zA-Z0-9]{1,128}\Z")
_MAX_POLICIES = 10
_MAX_POLICY_CHARACTERS = 2048
_SECONDS = range(300, 86_401)


@dataclass(frozen=True, slots=True)
class Grant:
    """An answer that was understood; `texts` are the policies as the function sent them."""

    principal_id: str
    texts: tuple[str, ...]
    policies: tuple[PolicyDocument, ...]
    disconnect_after_s: int
    refresh_after_s: int


def read_grant(answer: object) -> Grant | None:
    """The grant of an answer; None if it says that the client is not authenticated.

    Raises: ServiceError InvalidResponseException naming the member that is wrong.
    """
    if not isinstance(answer, Mapping):
        raise _wrong(f"the answer is an object, found {type(answer).__name__}")
    is_authenticated = answer.get("isAuthenticated")
    if not isinstance(is_authenticated, bool):
        raise _wrong(f"isAuthenticated {is_authenticated!r}, expected true or false")
    if not is_authenticated:
        return None
    principal = answer.get("principalId")
    if not isinstance(principal, str) or _PRINCIPAL.match(principal) is None:
        raise _wrong(f"principalId {str(principal)[:150]!r}, expected 1 to 128 letters and digits")
    texts = _policy_texts(answer.get("policyDocuments"))
    return Grant(
        principal,
        texts,
        tuple(_parsed(number, text) for number, text in enumerate(texts, 1)),
        _seconds(answer, "disconnectAfterInSeconds"),
        _seconds(answer, "refreshAfterInSeconds"),
    )


def _policy_texts(documents: object) -> tuple[str, ...]:
    if not isinstance(documents, list) or not 1 <= len(documents) <= _MAX_POLICIES:
        raise _wrong(f"policyDocuments is a list of 1 to {_MAX_POLICIES} documents")
    texts = tuple(one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in documents)
    for number, text in enumerate(texts, 1):
        if len(text) > _MAX_POLICY_CHARACTERS:
            raise _wrong(f"policy document {number} has {len(text)} characters; the limit is {_MAX_POLICY_CHARACTERS}")
    return texts


def _parsed(number: int, text: str) -> PolicyDocument:
    try:
        return check_policy_document(text)
    except ServiceError as error:
        raise _wrong(f"policy document {number}: {error.message}") from error


def _seconds(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value not in _SECONDS:
        raise _wrong(f"{name} {value!r}, expected a whole number from {_SECONDS[0]} to {_SECONDS[-1]}")
    return value


def _wrong(message: str) -> ServiceError:
    return ServiceError("InvalidResponseException", message)
