"""JSON Web Tokens: verified against a key set, and made for the local user pool."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from headwater.errors import RemoteProtocolError

MAX_TOKEN_BYTES = 64 * 1024
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_DIGESTS: Mapping[str, Callable[..., Any]] = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
_CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVE_OF_ALG = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_KEY_TYPE_OF_ALG = {"RS": "RSA", "PS": "RSA", "ES": "EC", "HS": "oct"}


class InvalidToken(RemoteProtocolError):
    """The token proves nothing; `is_expired` tells a token that was valid once."""

    def __init__(self, message: str, *, is_expired: bool = False) -> None:
        super().__init__(message)
        self.is_expired = is_expired


class UnknownKey(InvalidToken):
    """The token is signed with a key that is not in the key set."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token taken apart; nothing in it is proven."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class PoolKey:
    """The signing key of a local user pool: PEM text (PKCS#8, unencrypted) and the id derived from its public half."""

    kid: str
    private_pem: str

    def jwks(self) -> dict[str, Any]:
        """The public key set that a verifier downloads."""
        key = _load_private(self.private_pem).public_key().public_numbers()
        members = {"kty": "RSA", "alg": "RS256", "use": "sig", "n": _unsigned(key.n), "e": _unsigned(key.e)}
        return {"keys": [{"kid": self.kid, **members}]}


def make_pool_key() -> PoolKey:
    """A new RSA key of 2048 bits. The randomness is the cryptography library's own: no caller may supply it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PoolKey(kid=base64.b64encode(hashlib.sha256(public).digest()).decode(), private_pem=pem.decode())


def sign_jwt(key: PoolKey, claims: Mapping[str, Any]) -> str:
    """A compact RS256 token, as Cognito signs its tokens."""
    header = {"kid": key.kid, "alg": "RS256"}
    signed = b".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    signature = _load_private(key.private_pem).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return (signed + b"." + _encode(signature)).decode()


def parse_jwt(token: str) -> UnverifiedToken:
    """Take a compact token apart.

    Raises: InvalidToken if it is no JWS of three parts with JSON objects, or above 64 KiB.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken("a token has three parts and at most 64 KiB")
    try:
        header, claims = (json.loads(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
    except (ValueError, RecursionError) as error:
        raise InvalidToken("the token is not base64url JSON") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidToken("the token's parts are not JSON objects")
    return UnverifiedToken(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def looks_like_jwt(token: str) -> bool:
    """Whether AppSync would take the text for a token of a user pool or an OpenID Connect provider."""
    try:
        return "alg" in parse_jwt(token).header
    except InvalidToken:
        return False


class JwtVerifier:
    """Verifies tokens against one JSON Web Key Set, whose keys are loaded once.

    The algorithm must suit the key's type (and its `alg`, if it has one), so that a public key is never taken for an
    HMAC secret; `none` and a `crit` header are refused.
    Source: RFC 7515, RFC 7517, RFC 7518, RFC 8725 §3.1.
    """

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        """Raises: InvalidToken if a key is malformed."""
        keys = jwks.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise InvalidToken("a key set has a list `keys` of objects")
        # Keys of kinds that are not understood are to be ignored (RFC 7517 §5).
        self._keys = [(key, _load_public(key)) for key in keys if key.get("use", "sig") == "sig" and _is_known(key)]

    def verify(self, token: str | UnverifiedToken, *, now: float, leeway_s: float = 0.0) -> Mapping[str, Any]:
        """The claims of a token whose signature, `exp` and `nbf` hold at `now` (epoch seconds).

        Raises: InvalidToken.
        """
        parsed = parse_jwt(token) if isinstance(token, str) else token
        alg = parsed.header.get("alg")
        if not isinstance(alg, str) or alg[:2] not in _KEY_TYPE_OF_ALG or alg[2:] not in _HASHES:
            raise InvalidToken(f"algorithm {alg!r} is not accepted, expected RS, PS, ES or HS with 256, 384 or 512")
        if "crit" in parsed.header:
            raise InvalidToken("the token has critical header parameters")
        kid = parsed.header.get("kid")
        suitable = [public for key, public in self._keys if _suits(key, alg, kid)]
        if not suitable:
            raise UnknownKey(f"no key of the key set suits kid {kid!r} and algorithm {alg}")
        if not any(_is_signed_by(public, alg, parsed) for public in suitable):
            raise InvalidToken("the signature is wrong")
        _check_times(parsed.claims, now, leeway_s)
        return parsed.claims


def _check_times(claims: Mapping[str, Any], now: float, leeway_s: float) -> None:
    for name in ("exp", "nbf", "iat"):
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise InvalidToken(f"claim {name} is not a number")
    if "exp" not in claims:
        raise InvalidToken("claim exp is missing")
    if now >= claims["exp"] + leeway_s:
        raise InvalidToken("the token has expired", is_expired=True)
    if now < claims.get("nbf", 0) - leeway_s:
        raise InvalidToken("the token is not valid yet")


def _suits(key: Mapping[str, Any], alg: str, kid: Any) -> bool:
    return (
        key.get("kty") == _KEY_TYPE_OF_ALG[alg[:2]]
        and key.get("alg", alg) == alg
        and key.get("crv") == _CURVE_OF_ALG.get(alg)
        and (kid is None or key.get("kid") == kid)
    )


def _is_signed_by(public: Any, alg: str, token: UnverifiedToken) -> bool:
    algorithm = _HASHES[alg[2:]]
    if alg.startswith("HS"):
        expected = hmac.new(public, token.signed, _DIGESTS[alg[2:]]).digest()
        return hmac.compare_digest(expected, token.signature)
    try:
        if alg.startswith("RS"):
            public.verify(token.signature, token.signed, padding.PKCS1v15(), algorithm)
        elif alg.startswith("PS"):
            pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=algorithm.digest_size)
            public.verify(token.signature, token.signed, pss, algorithm)
        else:
            public.verify(_der_signature(public, token.signature), token.signed, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _der_signature(public: ec.EllipticCurvePublicKey, signature: bytes) -> bytes:
    """A token holds r and s side by side (RFC 7518 §3.4), the library wants them in DER."""
    size = (public.curve.key_size + 7) // 8
    if len(signature) != 2 * size:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _is_known(key: Mapping[str, Any]) -> bool:
    kind = key.get("kty")
    return kind in ("RSA", "oct") or (kind == "EC" and key.get("crv") in _CURVES)


def _load_public(key: Mapping[str, Any]) -> Any:
    try:
        if key.get("kty") == "RSA":
            return rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
        if key.get("kty") == "EC":
            return ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), _CURVES[key["crv"]]).public_key()
        return _decode(key["k"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidToken(f"key {key.get('kid')!r} of the key set is malformed") from error


def _load_private(pem: str) -> rsa.RSAPrivateKey:
    # The key was made here; proving again that its parts fit took 35 ms of every start.
    key = serialization.load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidToken(f"the pool key is {type(key).__name__}, expected an RSA private key")
    return key


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _unsigned(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
