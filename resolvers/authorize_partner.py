"""The API's Lambda authorizer: let a partner's token in, as a viewer of the tenant that issued it."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from resolvers.partner_token import digest, is_digest_of, parse_token, token_key
from streams import items
from streams.aws.calls import Service
from streams.aws.environment import required, service

# AppSync asks again after this time: a revoked token works so long at most.
ALLOWED_TTL_S = 60
REFUSED = {"isAuthorized": False}


def authorize(event: Mapping[str, Any], *, table: Service, table_name: str, now_ms: int) -> dict[str, Any]:
    """Answer an authorizer event.

    `resolverContext.tenantId` is what resolvers take for the caller's tenant. Every reason to refuse answers the same,
    so that nobody learns which ids exist. What partners may call is said by `@aws_lambda` in the schema.
    Source: AppSync Developer Guide, "AWS_LAMBDA authorization".
    """
    parsed = parse_token(str(event.get("authorizationToken", "")))
    if parsed is None:
        return REFUSED
    token_id, secret = parsed
    found = table.call("GetItem", {"TableName": table_name, "Key": token_key(token_id), "ConsistentRead": True})
    item = items.plain_item(found.get("Item", {}))
    # Compared in any case: the time it takes tells nothing about the id.
    is_right = is_digest_of(item.get("secretDigest", digest("")), secret)
    if not item or not is_right or "revokedAt" in item or item["expiresAt"] <= now_ms:
        return REFUSED
    return {
        "isAuthorized": True,
        "resolverContext": {"tenantId": item["tenantId"], "tokenId": token_id},
        "deniedFields": [],
        "ttlOverride": min(ALLOWED_TTL_S, (item["expiresAt"] - now_ms) // 1000),
    }


logger = Logger(service="authorize-partner")


@cache
def _table() -> Service:
    return service("dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Decide about one token (AppSync keeps the answer for its TTL)."""
    answer = authorize(event, table=_table(), table_name=required("TABLE_NAME"), now_ms=int(time.time() * 1000))
    if not answer["isAuthorized"]:
        logger.info("partner token refused", extra={"request_id": event.get("requestContext", {}).get("requestId")})
    return answer
