"""Sign an AWS request with Signature Version 4, without botocore's 200 ms of import."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Lambda puts in the environment for a function's role; `session_token` is empty for a long-lived key."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    signed = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        signed = hmac.digest(signed, part.encode(), "sha256")
    return signed


@lru_cache(maxsize=8)
def _stamp(now_s: int) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def signed_headers(
    credentials: Credentials,
    *,
    region: str,
    service: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now_s: float,
    query: str = "",
    method: str = "POST",
) -> dict[str, str]:
    """Return `headers` with the date, the token and the authorization of one request.

    `headers` have lower-case names and values without inner runs of spaces; `path` is as sent, percent-encoded once
    (signing encodes it again); `query` is as sent, names in order.
    Source: AWS IAM User Guide, "Create a signed AWS API request".
    """
    stamp = _stamp(int(now_s))
    signed = {**headers, "host": host, "x-amz-date": stamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = sorted(signed)
    listed = ";".join(names)
    canonical_headers = "".join(f"{name}:{signed[name]}\n" for name in names)
    canonical = (
        f"{method}\n{quote(path, safe='/~')}\n{query}\n{canonical_headers}\n{listed}\n{sha256(body).hexdigest()}"
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_access_key, stamp[:8], region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{credentials.access_key_id}/{scope}"
    signed["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={listed}, Signature={signature}"
    return signed
