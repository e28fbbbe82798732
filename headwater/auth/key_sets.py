"""The keys of a token issuer, which are had again when a token names one that is not among them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from headwater.auth.jwt import JwtVerifier, UnknownKey, UnverifiedToken

_log = logging.getLogger(__name__)

# Whoever sends tokens with made-up key ids causes this many requests to the issuer, and no more.
RENEWAL_INTERVAL_S: Final = 30.0


class RenewedKeys:
    """The key set of one issuer. `fetch` gets it anew, or gives None (and logs why) where it cannot be had."""

    def __init__(self, verifier: JwtVerifier, fetch: Callable[[], Awaitable[JwtVerifier | None]]) -> None:
        self._verifier = verifier
        self._fetch = fetch
        self._next_renewal = 0.0
        self._renewing = asyncio.Lock()

    async def verify(self, token: UnverifiedToken, *, now: float) -> Mapping[str, Any]:
        """As JwtVerifier.verify; a key that is not known is looked for at the issuer, at most every 30 seconds.

        Raises: InvalidToken.
        """
        known = self._verifier
        try:
            return known.verify(token, now=now)
        except UnknownKey:
            async with self._renewing:
                if self._verifier is known:
                    await self._renew(now)
            if self._verifier is known:
                raise
            return self._verifier.verify(token, now=now)

    async def _renew(self, now: float) -> None:
        if now < self._next_renewal:
            return
        self._next_renewal = now + RENEWAL_INTERVAL_S
        found = await self._fetch()
        if found is not None:
            _log.info("the keys of an issuer were fetched again, for a token names another one")
            self._verifier = found
