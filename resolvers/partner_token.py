"""What a partner's token looks like, and how the table keeps it: as a digest, never as itself."""

import hashlib
import hmac
import re

from streams.items import Item, key

_TOKEN = re.compile(r"hwp_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


def token_text(token_id: str, secret: str) -> str:
    """Write a token; `token_id` has 16 hexadecimal digits, `secret` is 32 random bytes in URL-safe base64."""
    return f"hwp_{token_id}_{secret}"


def parse_token(text: str) -> tuple[str, str] | None:
    """Take a token apart into id and secret; None when it is none."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else (match[1], match[2])


def digest(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def is_digest_of(kept: str, secret: str) -> bool:
    return hmac.compare_digest(kept, digest(secret))


def token_key(token_id: str) -> Item:
    return key(f"PARTNER#{token_id}", "TOKEN")


def tokens_partition(tenant_id: str) -> str:
    """GSI1 partition of a tenant's tokens."""
    return f"TENANT#{tenant_id}#PARTNERS"
