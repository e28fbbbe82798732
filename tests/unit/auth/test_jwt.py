"""Tokens: every accepted algorithm verifies, every confusion is refused."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from headwater.auth.jwt import InvalidToken, JwtVerifier, PoolKey, looks_like_jwt, make_pool_key, sign_jwt

NOW = 1_800_000_000.0
CLAIMS = {"sub": "u1", "exp": NOW + 60}


@pytest.fixture(scope="module")
def pool_key() -> PoolKey:
    return make_pool_key()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def test_a_token_of_the_local_pool_is_verified_by_its_key_set(pool_key: PoolKey) -> None:
    token = sign_jwt(pool_key, CLAIMS)

    claims = JwtVerifier(pool_key.jwks()).verify(token, now=NOW)

    assert claims == CLAIMS


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"sub": "u1"}, "exp is missing"),
        ({"exp": NOW}, "expired"),
        ({"exp": NOW + 60, "nbf": NOW + 1}, "not valid yet"),
        ({"exp": "soon"}, "exp is not a number"),
    ],
)
def test_a_token_outside_its_time_is_refused(pool_key: PoolKey, claims: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidToken, match=message):
        JwtVerifier(pool_key.jwks()).verify(sign_jwt(pool_key, claims), now=NOW)


def test_a_changed_claim_breaks_the_signature(pool_key: PoolKey) -> None:
    header, _, signature = sign_jwt(pool_key, CLAIMS).split(".")
    forged = f"{header}.{b64(json.dumps({**CLAIMS, 'sub': 'admin'}).encode())}.{signature}"

    with pytest.raises(InvalidToken, match="signature is wrong"):
        JwtVerifier(pool_key.jwks()).verify(forged, now=NOW)


def test_another_pools_token_is_refused(pool_key: PoolKey) -> None:
    with pytest.raises(InvalidToken, match="no key"):
        JwtVerifier(pool_key.jwks()).verify(sign_jwt(make_pool_key(), CLAIMS), now=NOW)


def test_the_algorithm_none_is_refused(pool_key: PoolKey) -> None:
    token = unsigned({"alg": "none", "kid": pool_key.kid}, CLAIMS) + "."

    with pytest.raises(InvalidToken, match="algorithm 'none' is not accepted"):
        JwtVerifier(pool_key.jwks()).verify(token, now=NOW)


def test_a_public_key_is_never_an_hmac_secret(pool_key: PoolKey) -> None:
    text = unsigned({"alg": "HS256", "kid": pool_key.kid}, CLAIMS)
    secret = base64.urlsafe_b64decode(pool_key.jwks()["keys"][0]["n"] + "==")
    token = f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    with pytest.raises(InvalidToken, match="no key of the key set suits"):
        JwtVerifier(pool_key.jwks()).verify(token, now=NOW)


@pytest.mark.parametrize("bits", ["256", "384", "512"])
@pytest.mark.parametrize("family", ["RS", "PS", "ES", "HS"])
def test_algorithm_is_verified(family: str, bits: str) -> None:
    text = unsigned({"alg": family + bits, "kid": "k"}, CLAIMS)
    algorithm: hashes.HashAlgorithm = getattr(hashes, f"SHA{bits}")()
    key: dict[str, Any]
    if family in ("RS", "PS"):
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = private.public_key().public_numbers()
        key = {"kty": "RSA", "n": number(public.n), "e": number(public.e)}
        pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=algorithm.digest_size)
        signature = private.sign(text.encode(), pss if family == "PS" else padding.PKCS1v15(), algorithm)
    elif family == "ES":
        curve = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}[bits]
        size = (curve.key_size + 7) // 8
        private_ec = ec.generate_private_key(curve)
        point = private_ec.public_key().public_numbers()
        name = {"256": "P-256", "384": "P-384", "512": "P-521"}[bits]
        key = {
            "kty": "EC",
            "crv": name,
            "x": b64(point.x.to_bytes(size, "big")),
            "y": b64(point.y.to_bytes(size, "big")),
        }
        r, s = decode_dss_signature(private_ec.sign(text.encode(), ec.ECDSA(algorithm)))
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    else:
        key = {"kty": "oct", "k": b64(b"shared secret")}
        signature = hmac.new(b"shared secret", text.encode(), f"sha{bits}").digest()

    claims = JwtVerifier({"keys": [{**key, "kid": "k"}]}).verify(f"{text}.{b64(signature)}", now=NOW)

    assert claims["sub"] == "u1"


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": "x"},
        {"keys": [5]},
        {"keys": [{"kty": "RSA", "n": "x"}]},
        {"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}]},
        {"keys": [{"kty": "oct"}]},
    ],
)
def test_a_malformed_key_set_is_refused(jwks: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        JwtVerifier(jwks)


@given(st.text(max_size=40))
def test_no_text_is_a_crash(text: str) -> None:
    with pytest.raises(InvalidToken):
        JwtVerifier({"keys": []}).verify(text, now=NOW)
    assert not looks_like_jwt(text)


def test_keys_of_kinds_that_are_not_understood_are_ignored() -> None:
    key = make_pool_key()
    others = [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "e"}, {"kty": "EC", "crv": "secp256k1"}, {"kid": "x"}]

    claims = JwtVerifier({"keys": [*others, *key.jwks()["keys"]]}).verify(sign_jwt(key, {"exp": 2}), now=1)

    assert claims == {"exp": 2}
