"""AWS Signature Version 4 for the requests of HTTP data sources."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class SigningConfig:
    """`AwsIamConfig` of an HTTP data source and the credentials of its role."""

    region: str
    service: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def sign(
    config: SigningConfig,
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    now_s: float,
) -> dict[str, str]:
    """The headers of a request together with those that sign it; `headers` has lower-case names, `host` included.

    Source: AWS General Reference, "Signature Version 4 signing process".
    """
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    payload_hash = hashlib.sha256(body).hexdigest()
    signed = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
    if config.session_token is not None:
        signed["x-amz-security-token"] = config.session_token
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~%"),
            "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in sorted(query)),
            *(f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)),
            "",
            names,
            payload_hash,
        ]
    )
    scope = f"{stamp[:8]}/{config.region}/{config.service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{config.secret_access_key}".encode()
    for part in (stamp[:8], config.region, config.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={config.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return {**signed, "authorization": authorization}
