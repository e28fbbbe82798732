"""Page tokens that clients cannot read, change, or use at another resolver."""

import base64
import binascii
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from headwater.errors import DataSourceError

KEY_BYTES = 64


class PageTokens:
    """Encrypts the last evaluated key of a page. `secret` is 64 random bytes that outlive the process.

    AES-SIV needs no nonce: equal pages give equal tokens, which caching relies on.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"the secret of page tokens has {KEY_BYTES} bytes, not {len(secret)}")
        self._cipher = AESSIV(secret)

    def seal(self, key: dict[str, Any], *binding: str) -> str:
        """The token for a last evaluated key, valid for the same `binding` only."""
        sealed = self._cipher.encrypt(orjson.dumps(key), [part.encode() for part in binding])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: Any, *binding: str) -> dict[str, Any]:
        """The last evaluated key of a token. Raises: DataSourceError for a token not made for this binding."""
        try:
            sealed = base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
            opened: dict[str, Any] = orjson.loads(self._cipher.decrypt(sealed, [part.encode() for part in binding]))
        except (AttributeError, UnicodeEncodeError, binascii.Error, ValueError, InvalidTag) as error:
            raise DataSourceError("Invalid pagination token given.", "DynamoDB:BadRequestException") from error
        return opened
