"""AWS Signature Version 4: find the signature of a request and prove that the secret's owner made it."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

from headwater.errors import ServiceError
from headwater.values.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW_S = 15 * 60
MAX_EXPIRES_S = 7 * 24 * 3600
_CACHED_KEYS = 1024
_UNRESERVED = "-_.~"
# As SDKs write it; any other form is taken apart slowly.
_USUAL_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s=]+)/([^/,\s=]+)/([^/,\s=]+)/([^/,\s=]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]+)\Z"
)


# Not frozen: one is made for each request, and freezing costs 1 µs. Nothing changes it afterwards.
@dataclass(slots=True)
class SignableRequest:
    """What a signature covers; `path` and `query` as they went over the wire, header names in lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def of(cls, request: HttpRequest) -> "SignableRequest":
        return cls(request.method, request.raw_path, request.raw_query, request.headers, request.body)

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(slots=True)
class Signature:
    """The claims of a signature, not yet proven. `expires_s` is 0 unless the URL was presigned."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    is_presigned: bool = False
    expires_s: int = 0

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def appsync_realtime_request(
    endpoint_path: str, headers: Mapping[str, str], body: bytes, *, is_connect: bool
) -> SignableRequest:
    """What an AppSync real-time client signed: a POST that is never sent.

    At connect it is `POST <endpoint>/connect` with body `{}`, for a subscription `POST <endpoint>` with the exact
    text of `payload.data`; `headers` is the header object of the client.
    Source: AppSync Developer Guide, "Building a real-time WebSocket client", IAM.
    """
    path = endpoint_path + ("/connect" if is_connect else "")
    lowered = tuple((name.lower(), str(value)) for name, value in headers.items())
    return SignableRequest("POST", path, "", lowered, body)


def find_signature(request: SignableRequest) -> Signature | None:
    """The signature in the Authorization header or the query string; None if the request has neither.

    Raises: ServiceError `IncompleteSignatureException` or `InvalidSignatureException` for a malformed one.
    """
    authorization = request.header("authorization") or ""
    has_header = authorization.startswith(ALGORITHM)
    query = _query_pairs(request.query) if request.query else ()
    if any(key == "X-Amz-Algorithm" for key, _ in query):
        if has_header:
            found = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
            raise ServiceError("InvalidSignatureException", found)
        return _presigned(dict(query))
    return _from_header(request, authorization) if has_header else None


class SignatureMismatch(ServiceError):
    """A signature that is not that of its request."""

    def __init__(self, canonical: str, to_sign: str) -> None:
        text = (
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )
        super().__init__("InvalidSignatureException", text, status=403)
        self._canonical = canonical
        self._to_sign = to_sign

    @property
    def explanation(self) -> str:
        """The message with what should have been signed, headers included."""
        canonical = f"The Canonical String for this request should have been\n'{self._canonical}'"
        return f"{self.message}\n\n{canonical}\n\nThe String-to-Sign should have been\n'{self._to_sign}'\n"


class SigV4Verifier:
    """Verifies signatures; keeps up to 1024 derived keys, since four HMACs a request are a third of the work."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], bytes] = {}

    def verify(self, request: SignableRequest, signature: Signature, *, secret: str, now: float) -> None:
        """Raises: ServiceError `InvalidSignatureException` if the time or the signature is wrong."""
        _check_time(signature, now)
        if "host" not in signature.signed_headers:
            raise _invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
        canonical = canonical_request(request, signature)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        scope = signature.scope
        to_sign = f"{ALGORITHM}\n{signature.timestamp}\n{scope}\n{digest}"
        expected = hmac.digest(self._key(secret, scope), to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), signature.signature.encode()):
            raise SignatureMismatch(canonical, to_sign)

    def _key(self, secret: str, scope: str) -> bytes:
        cached = self._keys.get((secret, scope))
        if cached is None:
            if len(self._keys) >= _CACHED_KEYS:
                self._keys.clear()
            cached = signing_key(secret, scope)
            self._keys[secret, scope] = cached
        return cached


def signing_key(secret: str, scope: str) -> bytes:
    """The key of one scope: day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def canonical_request(request: SignableRequest, signature: Signature) -> str:
    """Source: IAM User Guide, "Create a signed AWS API request", step 1."""
    is_s3 = signature.service == "s3"
    lines = [
        request.method,
        _canonical_path(request.path, is_s3=is_s3),
        _canonical_query(request.query, signature),
        *_canonical_headers(request.headers, signature.signed_headers),
        "",
        ";".join(signature.signed_headers),
        _payload_hash(request, signature),
    ]
    return "\n".join(lines)


def _canonical_path(path: str, *, is_s3: bool) -> str:
    # S3 signs the path as sent; every other service normalises it and encodes the already encoded path again.
    if is_s3 or path == "/":
        return path or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    normal = "/" + "/".join(kept)
    if path.endswith("/") and normal != "/":
        normal += "/"
    return quote(normal, safe="/" + _UNRESERVED)


def _canonical_query(query: str, signature: Signature) -> str:
    if not query:
        return ""
    pairs = _query_pairs(query)
    if signature.is_presigned:
        names = [name for name, _ in pairs]
        left_out = {"X-Amz-Signature"}
        if signature.service == "iotdevicegateway" and names[-1] == "X-Amz-Security-Token":
            # IoT's clients append the session token after signing, every other client signs it.
            left_out.add("X-Amz-Security-Token")
        pairs = [(name, value) for name, value in pairs if name not in left_out]
    return "&".join(f"{k}={v}" for k, v in sorted((_encode(k), _encode(v)) for k, v in pairs))


def _query_pairs(query: str) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _encode(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


def _canonical_headers(headers: Iterable[tuple[str, str]], names: Iterable[str]) -> list[str]:
    """`name:value` of each name; values of a repeated header are joined, runs of spaces shortened."""
    values = dict.fromkeys(names, "")
    seen: set[str] = set()
    for name, value in headers:
        if name in values:
            text = " ".join(value.split())
            values[name] = f"{values[name]},{text}" if name in seen else text
            seen.add(name)
    return [f"{name}:{values[name]}" for name in names]


def _payload_hash(request: SignableRequest, signature: Signature) -> str:
    declared = request.header("x-amz-content-sha256") or ""
    if declared == "UNSIGNED-PAYLOAD" or declared.startswith("STREAMING-"):
        return declared
    if signature.is_presigned and signature.service == "s3" and not declared:
        return "UNSIGNED-PAYLOAD"
    return hashlib.sha256(request.body).hexdigest()


def _from_header(request: SignableRequest, authorization: str) -> Signature:
    date_header = request.header("x-amz-date")
    usual = _USUAL_HEADER.match(authorization)
    if usual is not None and date_header:
        access_key_id, date, region, service, names, signature = usual.groups()
        return Signature(access_key_id, date, region, service, tuple(names.split(";")), signature, date_header)
    pairs = (part.strip().partition("=") for part in re.split(r"[,\s]+", authorization[len(ALGORITHM) :]))
    members = {name: value for name, _, value in pairs if name}
    wrong = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not members.get(name)
    ]
    timestamp = date_header or _http_date(request.header("date"))
    if not timestamp:
        wrong.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if wrong:
        raise ServiceError("IncompleteSignatureException", f"{' '.join(wrong)} Authorization={ALGORITHM}")
    access_key_id, date, region, service = _credential(members["Credential"])
    return Signature(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(members["SignedHeaders"].lower().split(";")),
        signature=members["Signature"],
        timestamp=timestamp,
    )


def _presigned(query: Mapping[str, str]) -> Signature:
    needed = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
    wrong = [f"AWS query-string parameters must include '{name}'." for name in needed if not query.get(name)]
    if wrong:
        raise ServiceError("IncompleteSignatureException", f"{' '.join(wrong)} Re-examine the query-string parameters.")
    if query["X-Amz-Algorithm"] != ALGORITHM:
        raise _invalid(f"Unsupported AWS 'algorithm': '{query['X-Amz-Algorithm']}'.")
    expires = query.get("X-Amz-Expires", "900")
    if not expires.isascii() or not expires.isdecimal() or not 0 < int(expires) <= MAX_EXPIRES_S:
        raise _invalid(f"X-Amz-Expires must be between 1 and {MAX_EXPIRES_S} seconds, found {expires!r}")
    access_key_id, date, region, service = _credential(query["X-Amz-Credential"])
    return Signature(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(query["X-Amz-SignedHeaders"].lower().split(";")),
        signature=query["X-Amz-Signature"],
        timestamp=query["X-Amz-Date"],
        is_presigned=True,
        expires_s=int(expires),
    )


def _credential(text: str) -> tuple[str, str, str, str]:
    # An access key may hold slashes, the scope's four parts may not.
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise ServiceError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request",
        )
    return parts[0], parts[1], parts[2], parts[3]


def _http_date(text: str | None) -> str:
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if text else ""
    except ValueError:
        return ""


def _check_time(signature: Signature, now: float) -> None:
    try:
        signed = _epoch_s(signature.timestamp)
    except ValueError as error:
        raise _invalid(f"Date must be in ISO-8601 'basic format'. Got '{signature.timestamp}'.") from error
    if signature.date != signature.timestamp[:8]:
        raise _invalid(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{signature.date}' != '{signature.timestamp[:8]}', from '{signature.timestamp}'."
        )
    lifetime = signature.expires_s if signature.is_presigned else MAX_SKEW_S
    if now > signed + lifetime:
        late = f"{_stamp(now - lifetime)} ({_stamp(now)} - {lifetime // 60} min.)"
        raise _invalid(f"Signature expired: {signature.timestamp} is now earlier than {late}")
    if signed > now + MAX_SKEW_S:
        early = f"{_stamp(now + MAX_SKEW_S)} ({_stamp(now)} + 15 min.)"
        raise _invalid(f"Signature not yet current: {signature.timestamp} is still later than {early}")


def _epoch_s(stamp: str) -> float:
    """`YYYYMMDDTHHMMSSZ` as epoch seconds; strptime takes 8 µs for it. Raises: ValueError."""
    digits = stamp[:8] + stamp[9:15]
    if len(stamp) != 16 or stamp[8] != "T" or stamp[15] != "Z" or not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{stamp!r} is not YYYYMMDDTHHMMSSZ")
    year, month, day = int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])
    return datetime(year, month, day, int(stamp[9:11]), int(stamp[11:13]), int(stamp[13:15]), tzinfo=UTC).timestamp()


def _stamp(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidSignatureException", message, status=403)
