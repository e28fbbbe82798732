"""Mutation.createPartnerToken and revokePartnerToken: give another system read access to one tenant, and end it."""

import secrets
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers.caller import BadRequest, caller_identity, may_see, required_tenant
from resolvers.partner_token import digest, token_key, token_text, tokens_partition
from streams import items
from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service

MAX_DAYS = 365
DAY_MS = 86_400_000


class NotFound(Exception):
    """The tenant has no such token."""


def create(
    given: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
    *,
    table: Service,
    table_name: str,
    now_ms: int,
    token_id: str,
    secret: str,
) -> dict[str, Any]:
    """Store a new token and answer it, the only time that its text is shown.

    Raises: BadRequest with the value and what was expected.
    """
    tenant_id = required_tenant(identity, given.get("tenantId"))
    name, days = given["name"], given.get("expiresInDays")
    days = 90 if days is None else days
    if not 0 < len(name) <= 128:
        raise BadRequest(f"name has {len(name)} characters, expected 1 to 128")
    if not 1 <= days <= MAX_DAYS:
        raise BadRequest(f"expiresInDays is {days}, expected 1 to {MAX_DAYS}")
    expires_at = now_ms + days * DAY_MS
    item: items.Item = {
        **token_key(token_id),
        "tokenId": {"S": token_id},
        "tenantId": {"S": tenant_id},
        "name": {"S": name},
        "secretDigest": {"S": digest(secret)},
        "createdAt": {"N": str(now_ms)},
        "expiresAt": {"N": str(expires_at)},
        "GSI1PK": {"S": tokens_partition(tenant_id)},
        "GSI1SK": {"S": f"{now_ms:013d}#{token_id}"},
        # Shown as expired for a month.
        "ttl": {"N": str(expires_at // 1000 + 30 * 86_400)},
        "schemaVersion": items.SCHEMA_VERSION,
    }
    put = {"TableName": table_name, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}
    table.call("PutItem", put)
    return {"partnerToken": shown(items.plain_item(item)), "token": token_text(token_id, secret)}


def revoke(
    token_id: str, identity: Mapping[str, Any] | None, *, table: Service, table_name: str, now_ms: int
) -> dict[str, Any]:
    """End a token's access; again is the same. Raises: NotFound."""
    update = {
        "TableName": table_name,
        "Key": token_key(token_id),
        "UpdateExpression": "SET revokedAt = if_not_exists(revokedAt, :now)",
        "ConditionExpression": "tenantId = :tenant",
        "ReturnValues": "ALL_NEW",
    }
    read = {"TableName": table_name, "Key": token_key(token_id), "ConsistentRead": True}
    found = items.plain_item(table.call("GetItem", read).get("Item", {}))
    if not found or not may_see(identity, found["tenantId"]):
        raise NotFound(f"there is no partner token {token_id!r}")
    values = {":now": {"N": str(now_ms)}, ":tenant": {"S": found["tenantId"]}}
    try:
        changed = table.call("UpdateItem", {**update, "ExpressionAttributeValues": values})
    except AwsError as error:
        if error.code == "ConditionalCheckFailedException":
            raise NotFound(f"there is no partner token {token_id!r} any more") from error
        raise
    return shown(items.plain_item(changed["Attributes"]))


def shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what clients see of a token: never its digest."""
    revoked_at = fields.get("revokedAt")
    return {
        **{name: fields[name] for name in ("tokenId", "tenantId", "name")},
        "createdAt": items.iso_time(fields["createdAt"]),
        "expiresAt": items.iso_time(fields["expiresAt"]),
        "revokedAt": None if revoked_at is None else items.iso_time(revoked_at),
    }


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="partner-tokens")


@cache
def _table() -> Service:
    return service("dynamodb")


@app.resolver(type_name="Mutation", field_name="createPartnerToken")
def create_partner_token(input: dict[str, Any]) -> dict[str, Any]:
    """Answer one Mutation.createPartnerToken."""
    return create(
        input,
        caller_identity(app),
        table=_table(),
        table_name=required("TABLE_NAME"),
        now_ms=int(time.time() * 1000),
        token_id=secrets.token_hex(8),
        secret=secrets.token_urlsafe(32),
    )


@app.resolver(type_name="Mutation", field_name="revokePartnerToken")
def revoke_partner_token(tokenId: str) -> dict[str, Any]:
    """Answer one Mutation.revokePartnerToken, or `errorType` and `errorMessage` for the resolver's code to raise: to it
    every exception of a function is `Lambda:Unhandled`.
    """
    now_ms = int(time.time() * 1000)
    try:
        return revoke(tokenId, caller_identity(app), table=_table(), table_name=required("TABLE_NAME"), now_ms=now_ms)
    except NotFound as error:
        return {"errorType": "NotFound", "errorMessage": str(error)}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync; resolvers/Mutation.revokePartnerToken.js makes the event of a revocation."""
    return app.resolve(event, context)
