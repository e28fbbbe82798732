"""The chain a plan is about, read from a template: a stream, the functions on it and on the table behind it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.deploy.loading import LoadedTemplate
from headwater.errors import TemplateError
from headwater.plan.footprint import FunctionFootprint, parse_footprints
from headwater.template.attributes import StackEnvironment
from headwater.template.intrinsics import Resource, Stack

_MAPPING, _FUNCTION = "AWS::Lambda::EventSourceMapping", "AWS::Lambda::Function"
_STREAM, _TABLE = "AWS::Kinesis::Stream", "AWS::DynamoDB::Table"
_SOURCE = re.compile(r"^arn:[^:]+:(kinesis|dynamodb):")
_DEFAULT_BATCH, _DEFAULT_MEMORY_MB, _DEFAULT_RETENTION_H = 100, 128, 24


@dataclass(frozen=True, slots=True)
class Reader:
    """A function behind an event source mapping."""

    name: str
    source: Literal["kinesis", "dynamodb"]
    batch_size: int
    window_s: float
    parallelization: int
    tumbling_s: float
    memory_gb: float
    architecture: str
    footprint: FunctionFootprint


@dataclass(frozen=True, slots=True)
class Chain:
    """A stream of messages, its one reader, and the readers of the table's changes."""

    shards: int
    retention_hours: int
    has_recovery: bool
    ingest: Reader
    on_table: tuple[Reader, ...]
    days: Mapping[str, int]


def read_chain(loaded: LoadedTemplate) -> Chain:
    """Find the chain that `Metadata.Headwater.Plan` describes. Raises: TemplateError naming what is wrong."""
    stack = Stack(loaded.document, StackEnvironment(), loaded.parameters)
    if not loaded.plan:
        raise TemplateError(
            "there is none: only it can say what the functions use for a message; docs/your-template.md has its form",
            logical_id="Metadata.Headwater.Plan",
        )
    declared = loaded.document.body.get("Parameters") or {}
    parameters = {str(name): _text(stack.parameter(name)) for name in declared}
    footprints = parse_footprints(loaded.plan, parameters)
    resources = [stack.resource(logical_id) for logical_id in stack.logical_ids()]
    stack.refuse_unused_names()
    readers = [_reader(stack, resources, name, footprint) for name, footprint in footprints.items()]
    on_stream = [reader for reader in readers if reader.source == "kinesis"]
    if len(on_stream) != 1:
        found = ", ".join(reader.name for reader in on_stream) or "none"
        raise _fault(f"one function reads a Kinesis stream, found {found}")
    stream, table = (_only_one(resources, kind) for kind in (_STREAM, _TABLE))
    _refuse_other_prices(stream, table)
    writes = [write for reader in readers for write in reader.footprint.writes]
    unknown = {write.seen_by for write in writes} - {reader.name for reader in readers if reader.source == "dynamodb"}
    if unknown - {""}:
        raise _fault(f"SeenBy names {', '.join(sorted(unknown - {''}))}, of no function on the table's stream")
    return Chain(
        shards=_number(stream, "ShardCount", 1),
        retention_hours=_number(stream, "RetentionPeriodHours", _DEFAULT_RETENTION_H),
        has_recovery=_recovers(table),
        ingest=on_stream[0],
        on_table=tuple(reader for reader in readers if reader.source == "dynamodb"),
        days={name: _days(name, parameters) for name in {write.days for write in writes} - {""}},
    )


def _reader(stack: Stack, resources: list[Resource], name: str, footprint: FunctionFootprint) -> Reader:
    function = next((one for one in resources if one.logical_id == name and one.type == _FUNCTION), None)
    if function is None:
        raise _fault(f"Functions.{name}: the template has no function {name}")
    physical = stack.physical_id(name)
    mappings = [
        one for one in resources if one.type == _MAPPING and physical in str(one.properties.get("FunctionName"))
    ]
    sources = [(_SOURCE.match(str(one.properties.get("EventSourceArn"))), one) for one in mappings]
    kinds = [(match[1], one) for match, one in sources if match]
    if len(kinds) != 1:
        raise _fault(f"Functions.{name}: it reads one Kinesis or table stream, found {len(kinds)}")
    kind, mapping = kinds[0]
    return Reader(
        name,
        "kinesis" if kind == "kinesis" else "dynamodb",
        batch_size=_number(mapping, "BatchSize", _DEFAULT_BATCH),
        window_s=_number(mapping, "MaximumBatchingWindowInSeconds", 0),
        parallelization=_number(mapping, "ParallelizationFactor", 1),
        tumbling_s=_number(mapping, "TumblingWindowInSeconds", 0),
        memory_gb=_number(function, "MemorySize", _DEFAULT_MEMORY_MB) / 1024,
        architecture=(function.properties.get("Architectures") or ["x86_64"])[0],
        footprint=footprint,
    )


def _refuse_other_prices(stream: Resource, table: Resource) -> None:
    """Other modes are paid for by other units, which this arithmetic does not have."""
    mode = (stream.properties.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
    if mode != "PROVISIONED":
        message = f"only provisioned streams are planned, found {mode}"
        raise TemplateError(message, logical_id=stream.logical_id, property_path="StreamModeDetails")
    billing = table.properties.get("BillingMode", "PROVISIONED")
    if billing != "PAY_PER_REQUEST":
        message = f"only tables with PAY_PER_REQUEST are planned, found {billing}"
        raise TemplateError(message, logical_id=table.logical_id, property_path="BillingMode")


def _only_one(resources: list[Resource], kind: str) -> Resource:
    found = [one for one in resources if one.type == kind]
    if len(found) != 1:
        raise _fault(f"the template has one {kind}, found {len(found)}")
    return found[0]


def _number(resource: Resource, name: str, default: int) -> int:
    found = resource.properties.get(name, default)
    try:
        return int(found)
    except (TypeError, ValueError):
        raise TemplateError(
            f"expected a whole number, found {found!r}", logical_id=resource.logical_id, property_path=name
        ) from None


def _recovers(table: Resource) -> bool:
    found = table.properties.get("PointInTimeRecoverySpecification") or {}
    return str(found.get("PointInTimeRecoveryEnabled", "false")).lower() == "true"


def _days(name: str, parameters: Mapping[str, str]) -> int:
    if not parameters.get(name, "").isdigit():
        raise _fault(f"Days: {name!r} is no parameter that holds a number of days")
    return int(parameters[name])


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _fault(message: str) -> TemplateError:
    return TemplateError(message, logical_id="Metadata.Headwater.Plan")
