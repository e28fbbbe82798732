"""Keys of an issuer that are had again when a token names one that is not known."""

import asyncio

import pytest

from headwater.auth.jwt import InvalidToken, JwtVerifier, PoolKey, make_pool_key, parse_jwt, sign_jwt
from headwater.auth.key_sets import RENEWAL_INTERVAL_S, RenewedKeys

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def keys() -> tuple[PoolKey, PoolKey]:
    return make_pool_key(), make_pool_key()


class Issuer:
    """Gives the key set it was told to, and counts how often."""

    def __init__(self, key: PoolKey | None) -> None:
        self.key = key
        self.asked = 0

    async def __call__(self) -> JwtVerifier | None:
        self.asked += 1
        await asyncio.sleep(0)
        return None if self.key is None else JwtVerifier(self.key.jwks())


def token_of(key: PoolKey) -> str:
    return sign_jwt(key, {"sub": "u1", "exp": NOW + 3600})


async def subject(renewed: RenewedKeys, token: str, now: float = NOW) -> str:
    return str((await renewed.verify(parse_jwt(token), now=now))["sub"])


async def test_a_token_of_a_new_key_is_verified_with_keys_fetched_once(keys: tuple[PoolKey, PoolKey]) -> None:
    old, new = keys
    issuer = Issuer(new)
    renewed = RenewedKeys(JwtVerifier(old.jwks()), issuer)

    assert await subject(renewed, token_of(old)) == "u1"
    assert issuer.asked == 0
    assert await asyncio.gather(*(subject(renewed, token_of(new)) for _ in range(5))) == ["u1"] * 5
    assert issuer.asked == 1


async def test_a_key_that_was_taken_away_is_refused_after_the_renewal(keys: tuple[PoolKey, PoolKey]) -> None:
    old, new = keys
    renewed = RenewedKeys(JwtVerifier(old.jwks()), Issuer(new))
    await subject(renewed, token_of(new))

    with pytest.raises(InvalidToken, match="no key of the key set suits"):
        await subject(renewed, token_of(old))


async def test_unknown_keys_ask_the_issuer_once_in_a_while(keys: tuple[PoolKey, PoolKey]) -> None:
    old, stranger = keys
    issuer = Issuer(None)
    renewed = RenewedKeys(JwtVerifier(old.jwks()), issuer)

    for moment in (0.0, 1.0, RENEWAL_INTERVAL_S - 1, RENEWAL_INTERVAL_S):
        with pytest.raises(InvalidToken):
            await subject(renewed, token_of(stranger), NOW + moment)

    assert issuer.asked == 2
    assert await subject(renewed, token_of(old)) == "u1"


async def test_a_wrong_signature_of_a_known_key_asks_nobody(keys: tuple[PoolKey, PoolKey]) -> None:
    issuer = Issuer(keys[1])
    renewed = RenewedKeys(JwtVerifier(keys[0].jwks()), issuer)

    with pytest.raises(InvalidToken, match="signature is wrong"):
        await subject(renewed, token_of(keys[0])[:-8] + "AAAAAAAA")

    assert issuer.asked == 0
