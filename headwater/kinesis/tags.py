"""The tags of a stream or a consumer: what may be in them, and how many there may be."""

import re
from collections.abc import Mapping
from dataclasses import replace

from headwater.errors import ServiceError
from headwater.kinesis.stream import Stream, StreamCatalog

MAX_TAGS = 50
_BAD_TAG = re.compile(r"[^\u00C0-\u1FFF\u2C00-\uD7FFA-Za-z0-9_./\-=+ @%:]")


def add_tags(catalog: StreamCatalog, stream: Stream, tags: Mapping[str, str]) -> Stream:
    """Raises: ServiceError `InvalidArgumentException` for illegal characters or more than 50 tags."""
    _check_tags(catalog, stream, [*tags, *tags.values()], "add tags to")
    merged = {**stream.tags, **tags}
    if len(merged) > MAX_TAGS:
        # The service says 10 and means 50.
        raise _invalid(
            f"Failed to add tags to stream {stream.name} under account {catalog.account_id} because a given stream "
            "cannot have more than 10 tags associated with it."
        )
    return replace(stream, tags=merged)


def remove_tags(catalog: StreamCatalog, stream: Stream, keys: list[str]) -> Stream:
    """Raises: ServiceError `InvalidArgumentException` for illegal characters."""
    _check_tags(catalog, stream, keys, "remove tags from")
    return replace(stream, tags={k: v for k, v in stream.tags.items() if k not in keys})


def _check_tags(catalog: StreamCatalog, stream: Stream, texts: list[str], what: str) -> None:
    if any(_BAD_TAG.search(text) for text in texts):
        raise _invalid(
            "Some tags contain invalid characters. Valid characters: "
            "Unicode letters, digits, white space, _ . / = + - % @."
        )
    if any("%" in text for text in texts):
        raise _invalid(
            f"Failed to {what} stream {stream.name} under account {catalog.account_id} because some tags contained "
            "illegal characters. The allowed characters are Unicode letters, white-spaces, "
            "'_',',','/','=','+','-','@'."
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
