"""Decide which tenant a caller acts for, from what AppSync verified alone."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import AppSyncResolver

DEMO_TENANT = "demo"


class UnauthorizedException(Exception):
    """The caller may not do this; AppSync answers with its own text. Its name is the error type clients see."""


class BadRequest(Exception):
    """An argument is wrong: the value found and the one expected. Its name is the error type clients see."""


def caller_tenant(identity: Mapping[str, Any] | None, named: str | None = None) -> str | None:
    """Return the caller's tenant; None for a service (IAM) that named none.

    An API key is the demo viewer; a person has the claim `custom:tenantId`, which only ID tokens carry; a partner is
    told by the authorizer's context.
    Raises: UnauthorizedException for an identity that is none of these.
    """
    if not identity:
        return DEMO_TENANT
    if "claims" in identity:
        tenant_id = identity["claims"].get("custom:tenantId")
        if not tenant_id:
            raise UnauthorizedException("the token has no claim custom:tenantId")
        return str(tenant_id)
    if "resolverContext" in identity:
        tenant_id = (identity["resolverContext"] or {}).get("tenantId")
        if not tenant_id:
            raise UnauthorizedException("the authorizer named no tenant")
        return str(tenant_id)
    if "accountId" not in identity:
        raise UnauthorizedException("the identity is of no known kind")
    return named


def may_see(identity: Mapping[str, Any] | None, tenant_id: str) -> bool:
    """Say whether an item of `tenant_id` exists for this caller."""
    return caller_tenant(identity) in (None, tenant_id)


def required_tenant(identity: Mapping[str, Any] | None, named: str | None) -> str:
    """As `caller_tenant`, for work that needs one tenant."""
    tenant_id = caller_tenant(identity, named)
    if not tenant_id:
        raise BadRequest("tenantId is required: a service belongs to no tenant")
    return tenant_id


def caller_identity(app: AppSyncResolver) -> Mapping[str, Any] | None:
    """Take the identity AppSync verified from the event being resolved; None for an API key."""
    assert app.current_event is not None
    identity: Mapping[str, Any] | None = app.current_event.raw_event.get("identity")
    return identity
