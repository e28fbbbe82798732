"""All event source mappings of an instance, with the Lambda API's create, update, get, list and delete."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from headwater.errors import ServiceError
from headwater.eventsource.config import Backoff, QueueMappingConfig
from headwater.eventsource.counts import MappingCounts
from headwater.eventsource.mapping_request import (
    MappingSettings,
    build_config,
    check_create,
    check_update,
    invalid,
)
from headwater.eventsource.ports import Checkpoints, Invoke, OnFailure, QueueSource, RecordSource
from headwater.eventsource.queue_mapping import QueueMapping
from headwater.eventsource.stream.mapping import StreamMapping

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function a mapping may call; `arn` has the qualifier if the mapping names one."""

    name: str
    arn: str
    role_arn: str
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MappingPorts:
    """What mappings work with.

    `find_function` and `find_source` give None for what does not exist. A queue whose visibility timeout is shorter
    than the function's timeout is refused, or only warned about without `checks_visibility`.
    """

    find_function: Callable[[str], FunctionReference | None]
    find_source: Callable[[str], RecordSource | QueueSource | None]
    invoke: Invoke
    checkpoints: Checkpoints
    on_failure: OnFailure | None
    clock: Callable[[], float]
    backoff: Backoff | None = None
    checks_visibility: bool = True


class Definitions(Protocol):
    """Where the mappings themselves are kept, as create requests with `UUID` and `LastModified`."""

    def load(self) -> list[dict[str, Any]]: ...

    async def save(self, mapping_id: str, definition: dict[str, Any] | None) -> None:
        """None forgets the mapping."""
        ...


@dataclass(slots=True)
class _Entry:
    settings: MappingSettings
    function: FunctionReference
    mapping: StreamMapping | QueueMapping
    modified_s: float
    is_enabled: bool


class EventSourceMappings:
    """The mappings by UUID; requests and answers are in the API's JSON shapes."""

    def __init__(self, ports: MappingPorts, *, definitions: Definitions | None = None) -> None:
        self._ports = ports
        self._definitions = definitions
        self._entries: dict[str, _Entry] = {}

    async def start(self) -> None:
        """Bring back the mappings that were kept, each where it stopped."""
        for definition in self._definitions.load() if self._definitions else ():
            mapping_id = definition.pop("UUID")
            definition.pop("LastModified", None)
            if mapping_id not in self._entries:
                try:
                    await self.create(definition, mapping_id=mapping_id)
                except ServiceError as error:
                    _LOGGER.error("event source mapping %s is not started: %s", mapping_id, error)

    async def stop(self) -> None:
        """Drain all of them at once."""
        await asyncio.gather(*(entry.mapping.stop() for entry in self._entries.values()))

    async def create(self, request: Mapping[str, Any], *, mapping_id: str | None = None) -> dict[str, Any]:
        """Make and start a mapping; a given `mapping_id` finds the checkpoints of its earlier life.

        Raises: ServiceError InvalidParameterValueException, ValidationException, ResourceConflictException.
        """
        settings = check_create(request, now=self._ports.clock())
        function = self._function(str(request.get("FunctionName", "")))
        self._refuse_duplicate(settings, function)
        identifier = mapping_id or str(uuid.uuid4())
        mapping = self._build(identifier, settings, function, MappingCounts())
        is_enabled = request.get("Enabled") is not False
        self._entries[identifier] = _Entry(settings, function, mapping, self._ports.clock(), is_enabled)
        if is_enabled:
            await mapping.start()
        await self._keep(identifier)
        return self._document(identifier, "Creating" if is_enabled else "Disabled")

    async def update(self, mapping_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change parameters, function or state; the mapping goes on from its checkpoint."""
        entry = self._entry(mapping_id)
        settings = check_update(entry.settings, request)
        function = self._function(str(request["FunctionName"])) if request.get("FunctionName") else entry.function
        mapping = self._build(mapping_id, settings, function, entry.mapping.counts)
        was_enabled = entry.is_enabled
        is_enabled = was_enabled if request.get("Enabled") is None else bool(request["Enabled"])
        await entry.mapping.stop()
        self._entries[mapping_id] = _Entry(settings, function, mapping, self._ports.clock(), is_enabled)
        if is_enabled:
            await mapping.start()
        await self._keep(mapping_id)
        if was_enabled == is_enabled:
            return self._document(mapping_id, "Updating")
        return self._document(mapping_id, "Enabling" if is_enabled else "Disabling")

    async def delete(self, mapping_id: str) -> dict[str, Any]:
        entry = self._entry(mapping_id)
        document = self._document(mapping_id, "Deleting")
        del self._entries[mapping_id]
        await entry.mapping.stop()
        if self._definitions is not None:
            await self._definitions.save(mapping_id, None)
        return document

    def get(self, mapping_id: str) -> dict[str, Any]:
        self._entry(mapping_id)
        return self._document(mapping_id)

    def list(self, *, source_arn: str | None = None, function_name: str | None = None) -> list[dict[str, Any]]:
        """The mappings of a source and a function; none for what does not exist, which is no error (recorded)."""
        function = self._ports.find_function(function_name) if function_name else None
        if function_name and function is None:
            return []
        return [
            self._document(identifier)
            for identifier, entry in self._entries.items()
            if (source_arn is None or entry.settings.source_arn == source_arn)
            and (function is None or entry.function.arn == function.arn)
        ]

    def mapping(self, mapping_id: str) -> StreamMapping | QueueMapping:
        """The running mapping, for counts."""
        return self._entry(mapping_id).mapping

    def tags(self, mapping_id: str) -> Mapping[str, str]:
        """Raises: ServiceError ResourceNotFoundException, as `set_tags` does."""
        return self._entry(mapping_id).settings.values.get("Tags") or {}

    async def set_tags(self, mapping_id: str, tags: Mapping[str, str]) -> None:
        entry = self._entry(mapping_id)
        entry.settings = replace(entry.settings, values={**entry.settings.values, "Tags": tags})
        await self._keep(mapping_id)

    # Parts

    def _entry(self, mapping_id: str) -> _Entry:
        entry = self._entries.get(mapping_id)
        if entry is None:  # (recorded)
            raise ServiceError(
                "ResourceNotFoundException",
                "The resource you requested does not exist.",
                status=404,
                fields={"Type": "User"},
            )
        return entry

    def _function(self, reference: str) -> FunctionReference:
        function = self._ports.find_function(reference)
        if function is None:  # (recorded)
            raise invalid("Function does not exist")
        return function

    def _refuse_duplicate(self, settings: MappingSettings, function: FunctionReference) -> None:
        for identifier, entry in self._entries.items():
            if entry.settings.source_arn != settings.source_arn or entry.function.arn != function.arn:
                continue
            pair = f'(" {settings.source_arn} ") and function (" {function.name} ")'
            tail = f"Please update or delete the existing mapping with UUID {identifier}"
            message = (
                f"An event source mapping with SQS arn {pair} already exists. {tail}"
                if settings.service == "sqs"
                else f"The event source arn {pair} provided mapping already exists. {tail}"
            )  # (recorded)
            raise ServiceError("ResourceConflictException", message, status=409, fields={"Type": "User"})

    def _build(
        self, mapping_id: str, settings: MappingSettings, function: FunctionReference, counts: MappingCounts
    ) -> StreamMapping | QueueMapping:
        config = build_config(settings, mapping_id=mapping_id, function_arn=function.arn, role_arn=function.role_arn)
        source = self._ports.find_source(settings.source_arn)
        if source is None:  # (recorded)
            raise invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
                "SQS Error Message: The specified queue does not exist."
                if settings.service == "sqs"
                else f"Stream not found: {settings.source_arn}"
            )
        ports = self._ports
        if isinstance(config, QueueMappingConfig):
            queue: QueueSource = source  # type: ignore[assignment]  # find_source answers by the ARN's service
            self._check_visibility(queue, function)
            return QueueMapping(config, queue, ports.invoke, clock=ports.clock, backoff=ports.backoff, counts=counts)
        stream: RecordSource = source  # type: ignore[assignment]  # find_source answers by the ARN's service
        return StreamMapping(
            config,
            stream,
            ports.invoke,
            ports.checkpoints,
            ports.on_failure,
            clock=ports.clock,
            backoff=ports.backoff,
            counts=counts,
        )

    def _check_visibility(self, queue: QueueSource, function: FunctionReference) -> None:
        if queue.visibility_timeout_s >= function.timeout_s:
            return
        fault = (
            f"Queue visibility timeout: {queue.visibility_timeout_s} seconds is less than "
            f"Function timeout: {function.timeout_s:.0f} seconds"
        )
        if self._ports.checks_visibility:
            raise invalid(fault)
        _LOGGER.warning("%s -> %s: AWS would refuse this mapping: %s", queue.arn, function.name, fault)

    async def _keep(self, mapping_id: str) -> None:
        if self._definitions is None:
            return
        entry = self._entries[mapping_id]
        definition = {
            **entry.settings.values,
            "FunctionName": entry.function.arn,
            "Enabled": entry.is_enabled,
            "UUID": mapping_id,
            "LastModified": entry.modified_s,
        }
        await self._definitions.save(mapping_id, definition)

    def _document(self, mapping_id: str, state: str | None = None) -> dict[str, Any]:
        entry = self._entries[mapping_id]
        hidden = ("FunctionName", "Enabled", "Tags")
        region, account = entry.function.arn.split(":")[3:5]
        document = {name: value for name, value in entry.settings.values.items() if name not in hidden}
        if not (document.get("FilterCriteria") or {}).get("Filters"):
            document.pop("FilterCriteria", None)
        is_queue = entry.settings.service == "sqs"
        document |= {
            "EventSourceArn": entry.settings.source_arn,
            "EventSourceMappingArn": f"arn:aws:lambda:{region}:{account}:event-source-mapping:{mapping_id}",
            "FunctionArn": entry.function.arn,
            "LastModified": entry.modified_s,
            "State": state or ("Enabled" if entry.is_enabled else "Disabled"),
            "StateTransitionReason": "USER_INITIATED" if is_queue else "User action",
            "UUID": mapping_id,
        }
        if not is_queue:
            document["LastProcessingResult"] = entry.mapping.counts.last_result
        return document
