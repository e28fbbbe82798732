"""Tags of functions and event source mappings: kept and shown.

Source: Lambda API Reference, TagResource; messages marked (recorded) were recorded on AWS.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headwater.errors import ServiceError
from headwater.functions.admin.answers import constraint, invalid, not_found
from headwater.functions.admin.records import FunctionRecords, new_revision
from headwater.functions.admin.request import check_tags
from headwater.functions.service import FunctionService

_ARN_PATTERN = (
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+"
    r"(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)"
)
_ARN = re.compile(_ARN_PATTERN)


class TaggedMappings(Protocol):
    """Tags of event source mappings, by UUID."""

    def tags(self, mapping_id: str) -> Mapping[str, str]: ...
    async def set_tags(self, mapping_id: str, tags: Mapping[str, str]) -> None: ...


class Tags:
    """TagResource, UntagResource and ListTags."""

    def __init__(self, service: FunctionService, records: FunctionRecords, mappings: TaggedMappings) -> None:
        self._service = service
        self._records = records
        self._mappings = mappings

    async def add(self, arn: str, given: Any) -> None:
        current = self._current(arn)
        if not given:  # (recorded)
            raise invalid("An error occurred and the request cannot be processed.")
        await self._set(arn, check_tags({**current, **check_tags(given)}))

    async def remove(self, arn: str, keys: Sequence[str]) -> None:
        current = self._current(arn)
        if not keys:  # (recorded)
            raise ServiceError(
                "ValidationException",
                "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be "
                "null",
            )
        await self._set(arn, {key: value for key, value in current.items() if key not in keys})

    def list(self, arn: str) -> dict[str, Any]:
        return {"Tags": self._current(arn)}

    def _current(self, arn: str) -> dict[str, str]:
        """Raises: ServiceError for what is no ARN of a function or mapping, or of none that is here."""
        if not _ARN.fullmatch(arn):  # (recorded)
            raise constraint("resource", arn, f"satisfy regular expression pattern: {_ARN_PATTERN}")
        kind, *rest = arn.split(":")[5:]
        if kind == "event-source-mapping":
            try:
                return dict(self._mappings.tags(rest[0]))
            except ServiceError as error:  # (recorded)
                raise not_found(f"Event source mapping not found: {arn}") from error
        if kind != "function":
            raise invalid(f"Tags of a {kind} are not supported here.")
        if len(rest) > 1:  # (recorded)
            raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
        return dict(self._records.of(self._service.config(arn).name).tags)

    async def _set(self, arn: str, tags: dict[str, str]) -> None:
        kind, name = arn.split(":")[5:7]
        if kind == "event-source-mapping":
            await self._mappings.set_tags(name, tags)
            return
        record = self._records.of(name)
        record.tags, record.revision_id = tags, new_revision()
        self._records.save(record)
