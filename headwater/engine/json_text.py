"""Encode responses as JSON."""

import json
from typing import Any

import orjson


def encode_json(value: Any) -> bytes:
    """UTF-8 without spaces. What orjson refuses (lone surrogates, integers above 64 bits) is escaped by `json`."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
