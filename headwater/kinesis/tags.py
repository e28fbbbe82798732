"""The tags of a stream or a consumer: what may be in them, and how many there may be."""

import re
from collections.abc import Mapping
from dataclasses import replace

from headwater.errors import ServiceError
from headwater.kinesis.stream import Stream, StreamCatalog

MAX_TAGS = 50
_BAD_TAG = re.compile(r"[^\u00C0-\u1FFF\u2C00-\uD7FFA-Za-z0-9_./\-=+ @%:]")


def add_tags(catalog: StreamCatalog, stream: Stream, tags: Mapping[str, str]) -> Stream:
    """Raises: as merged_tags."""
    return replace(stream, tags=merged_tags(catalog, stream.name, stream.tags, tags))


def remove_tags(catalog: StreamCatalog, stream: Stream, keys: list[str]) -> Stream:
    """Raises: as tags_without."""
    return replace(stream, tags=tags_without(catalog, stream.name, stream.tags, keys))


def merged_tags(
    catalog: StreamCatalog, stream_name: str, present: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, str]:
    """Raises: ServiceError `InvalidArgumentException` for illegal characters or more than 50 tags."""
    _check_tags(catalog, stream_name, [*tags, *tags.values()], "add tags to")
    merged = {**present, **tags}
    if len(merged) > MAX_TAGS:
        # The service says 10 and means 50.
        raise _invalid(
            f"Failed to add tags to stream {stream_name} under account {catalog.account_id} because a given stream "
            "cannot have more than 10 tags associated with it."
        )
    return merged


def tags_without(
    catalog: StreamCatalog, stream_name: str, present: Mapping[str, str], keys: list[str]
) -> dict[str, str]:
    """Raises: ServiceError `InvalidArgumentException` for illegal characters."""
    _check_tags(catalog, stream_name, keys, "remove tags from")
    return {key: value for key, value in present.items() if key not in keys}


def _check_tags(catalog: StreamCatalog, stream_name: str, texts: list[str], what: str) -> None:
    if any(_BAD_TAG.search(text) for text in texts):
        raise _invalid(
            "Some tags contain invalid characters. Valid characters: "
            "Unicode letters, digits, white space, _ . / = + - % @."
        )
    if any("%" in text for text in texts):
        raise _invalid(
            f"Failed to {what} stream {stream_name} under account {catalog.account_id} because some tags contained "
            "illegal characters. The allowed characters are Unicode letters, white-spaces, "
            "'_',',','/','=','+','-','@'."
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
