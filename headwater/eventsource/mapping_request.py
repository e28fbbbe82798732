"""Requests to create or update event source mappings: checked as the Lambda service does, with its messages.

Messages marked (recorded) were recorded on AWS; the others follow the API's constraint wording.
Source: Lambda API Reference, CreateEventSourceMapping and UpdateEventSourceMapping.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.errors import ServiceError
from headwater.eventsource.config import QueueMappingConfig, StreamMappingConfig
from headwater.values.event_patterns import EventPatternError, compile_pattern
from headwater.values.json_shapes import NUMBER, Shape, check_shape

SourceService = Literal["kinesis", "dynamodb", "sqs"]

# Source: Lambda API Reference, CreateEventSourceMapping, "Request Syntax".
_REQUEST: dict[str, Shape] = {
    "FunctionName": str,
    "EventSourceArn": str,
    "Enabled": bool,
    "BatchSize": int,
    "MaximumBatchingWindowInSeconds": int,
    "ParallelizationFactor": int,
    "StartingPosition": str,
    "StartingPositionTimestamp": NUMBER,
    "BisectBatchOnFunctionError": bool,
    "MaximumRetryAttempts": int,
    "MaximumRecordAgeInSeconds": int,
    "TumblingWindowInSeconds": int,
    "FunctionResponseTypes": [str],
    "FilterCriteria": {"Filters": [{"Pattern": object}]},  # what is no text is no pattern
    "DestinationConfig": {"OnSuccess": {"Destination": str}, "OnFailure": {"Destination": str}},
    "ScalingConfig": {"MaximumConcurrency": int},
    "MetricsConfig": {"Metrics": [str]},
    "KMSKeyArn": str,
    "Tags": dict,
}
_RANGES: Mapping[str, tuple[int, int]] = {
    "BatchSize": (1, 10_000),
    "MaximumBatchingWindowInSeconds": (0, 300),
    "ParallelizationFactor": (1, 10),
    "MaximumRecordAgeInSeconds": (-1, 604_800),
    "MaximumRetryAttempts": (-1, 10_000),
    "TumblingWindowInSeconds": (0, 900),
}
_STREAM_DEFAULTS: Mapping[str, Any] = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
_QUEUE_DEFAULTS: Mapping[str, Any] = {"BatchSize": 10, "FunctionResponseTypes": [], "MaximumBatchingWindowInSeconds": 0}
# Accepted for every source and without effect on what a function sees here.
_NEUTRAL = frozenset({"Tags", "KMSKeyArn", "MetricsConfig", "Enabled", "FunctionName", "EventSourceArn"})
_STREAM_ONLY = frozenset(_STREAM_DEFAULTS) - frozenset(_QUEUE_DEFAULTS) | {
    "StartingPosition",
    "StartingPositionTimestamp",
}
_POSITIONS = ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")
_MAX_FILTERS = 10
MappingConfig = StreamMappingConfig | QueueMappingConfig


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """A checked request; `values` are the API's members with defaults filled in."""

    service: SourceService
    source_arn: str
    values: Mapping[str, Any]

    def filters(self) -> tuple[str, ...]:
        criteria = self.values.get("FilterCriteria") or {}
        return tuple(entry["Pattern"] for entry in criteria.get("Filters") or ())


def source_service(arn: str | None) -> SourceService:
    """Which poller an event source needs.

    Raises: ServiceError for anything but Kinesis, DynamoDB streams and SQS.
    """
    parts = (arn or "").split(":")
    service = parts[2] if len(parts) > 5 else ""
    if service == "kinesis" or service == "sqs":
        return service  # type: ignore[return-value]  # narrowed by the comparison
    if service == "dynamodb" and "/stream/" in parts[5] + ":".join(parts[6:]):
        return "dynamodb"
    raise invalid("Unrecognized event source.")  # (recorded)


def check_create(request: Mapping[str, Any], *, now: float) -> MappingSettings:
    """Check a create request and fill in its defaults.

    Raises: ServiceError with the service's code and message.
    """
    check_shape(request, _REQUEST)
    source_arn = request.get("EventSourceArn")
    service = source_service(source_arn)
    assert source_arn is not None
    defaults = _QUEUE_DEFAULTS if service == "sqs" else _STREAM_DEFAULTS
    values = {**defaults, **{name: value for name, value in request.items() if value is not None}}
    if service != "sqs":
        _check_position(values, source_arn, service, now)
    _check(values, service, source_arn)
    return MappingSettings(service, source_arn, _normal(values, service))


def check_update(current: MappingSettings, request: Mapping[str, Any]) -> MappingSettings:
    """Check an update against what the mapping is; a starting position can't be changed."""
    check_shape(request, _REQUEST)
    changes = {name: value for name, value in request.items() if value is not None and name != "UUID"}
    for fixed in ("StartingPosition", "StartingPositionTimestamp", "EventSourceArn"):
        changes.pop(fixed, None)
    values = {**current.values, **changes}
    _check(values, current.service, current.source_arn)
    return MappingSettings(current.service, current.source_arn, _normal(values, current.service))


def _normal(values: Mapping[str, Any], service: SourceService) -> dict[str, Any]:
    """The members as the API shows them: a destination that was taken away is an empty one."""
    if service == "sqs":
        return dict(values)
    destination = ((values.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    return {**values, "DestinationConfig": {"OnFailure": {"Destination": destination} if destination else {}}}


def build_config(settings: MappingSettings, *, mapping_id: str, function_arn: str, role_arn: str) -> MappingConfig:
    """The parameters in the form the pollers take."""
    values = settings.values
    reports = "ReportBatchItemFailures" in values["FunctionResponseTypes"]
    if settings.service == "sqs":
        return QueueMappingConfig(
            mapping_id=mapping_id,
            source_arn=settings.source_arn,
            function_arn=function_arn,
            batch_size=values["BatchSize"],
            window_s=values["MaximumBatchingWindowInSeconds"],
            report_batch_item_failures=reports,
            filters=settings.filters(),
            maximum_concurrency=(values.get("ScalingConfig") or {}).get("MaximumConcurrency"),
        )
    return StreamMappingConfig(
        mapping_id=mapping_id,
        source_arn=settings.source_arn,
        function_arn=function_arn,
        starting_position=values["StartingPosition"],
        starting_timestamp_s=float(values.get("StartingPositionTimestamp") or 0.0),
        batch_size=values["BatchSize"],
        window_s=values["MaximumBatchingWindowInSeconds"],
        parallelization_factor=values["ParallelizationFactor"],
        bisect_on_error=bool(values["BisectBatchOnFunctionError"]),
        max_retry_attempts=values["MaximumRetryAttempts"],
        max_record_age_s=values["MaximumRecordAgeInSeconds"],
        report_batch_item_failures=reports,
        tumbling_window_s=values["TumblingWindowInSeconds"],
        filters=settings.filters(),
        on_failure=((values.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination"),
        role_arn=role_arn,
    )


# Rules


def _check(values: Mapping[str, Any], service: SourceService, source_arn: str) -> None:
    _check_known(values, service)
    for name, (low, high) in _RANGES.items():
        if name in values:
            _check_range(name, values[name], low, high)
    _check_response_types(values.get("FunctionResponseTypes"))
    _check_filters(values.get("FilterCriteria"))
    _check_destination(values.get("DestinationConfig"), service)
    if service == "sqs":
        _check_queue(values, is_fifo=source_arn.endswith(".fifo"))
        return
    age = values["MaximumRecordAgeInSeconds"]
    if age != -1 and age < 60:
        raise invalid(f"MaximumRecordAgeInSeconds must be -1 or from 60 to 604800, not {age}.")
    if values["TumblingWindowInSeconds"] and values["ParallelizationFactor"] > 1:
        raise invalid("A tumbling window needs a ParallelizationFactor of 1.")


def _check_known(values: Mapping[str, Any], service: SourceService) -> None:
    allowed = _NEUTRAL | {"FilterCriteria"} | frozenset(_QUEUE_DEFAULTS)
    allowed |= {"ScalingConfig", "DestinationConfig"} if service == "sqs" else _STREAM_ONLY
    unknown = sorted(set(values) - allowed)
    if unknown:
        raise invalid(f"Unsupported {unknown[0]} parameter for given event source mapping type.")


def _check_position(values: Mapping[str, Any], source_arn: str, service: SourceService, now: float) -> None:
    position = values.get("StartingPosition")
    if position is None:  # (recorded)
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if position not in _POSITIONS:  # (recorded)
        raise _constraint(
            "startingPosition", position, f"Member must satisfy enum value set: [{', '.join(_POSITIONS)}]"
        )
    if position == "AT_TIMESTAMP" and service != "kinesis":  # (recorded)
        raise invalid(f"Unsupported starting position for arn type: {source_arn}")
    if (position == "AT_TIMESTAMP") != ("StartingPositionTimestamp" in values):
        raise invalid("StartingPositionTimestamp must be given with StartingPosition AT_TIMESTAMP, and only then.")
    if float(values.get("StartingPositionTimestamp") or 0) > now:
        raise invalid("StartingPositionTimestamp can't be in the future.")


def _check_range(name: str, value: Any, low: int, high: int) -> None:
    member = name[0].lower() + name[1:]
    if value < low:
        raise _constraint(member, value, f"Member must have value greater than or equal to {low}")
    if value > high:
        raise _constraint(member, value, f"Member must have value less than or equal to {high}")


def _check_response_types(types: Any) -> None:
    for entry in types or ():
        if entry != "ReportBatchItemFailures":
            raise _constraint(
                "functionResponseTypes",
                f"[{entry}]",
                "Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]",
            )


def _check_filters(criteria: Any) -> None:
    filters = (criteria or {}).get("Filters") or ()
    if len(filters) > _MAX_FILTERS:
        raise invalid(f"At most {_MAX_FILTERS} filters are allowed, not {len(filters)}.")
    for entry in filters:
        pattern = entry.get("Pattern") if isinstance(entry, Mapping) else None
        try:
            if not isinstance(pattern, str):
                raise EventPatternError("a pattern is a string")
            compile_pattern(pattern, scope="lambda")
        except EventPatternError as error:  # (recorded)
            raise invalid("Invalid filter pattern definition.") from error


def _check_destination(destination: Any, service: SourceService) -> None:
    config = destination or {}
    failure = (config.get("OnFailure") or {}).get("Destination")
    if config.get("OnSuccess") or (service == "sqs" and config):  # (recorded)
        raise invalid("Unsupported DestinationConfig parameter for given event source mapping type.")
    if failure and failure.split(":")[2:3] not in (["sqs"], ["sns"], ["s3"]):
        raise invalid(f"The destination ARN {failure} is invalid: it must name an SQS queue, SNS topic or S3 bucket.")


def _check_queue(values: Mapping[str, Any], *, is_fifo: bool) -> None:
    window_s = values["MaximumBatchingWindowInSeconds"]
    if is_fifo and window_s:
        raise invalid("Batching window is not supported for FIFO queues.")
    if is_fifo and values["BatchSize"] > 10:
        raise invalid("Maximum batch size for a FIFO queue is 10.")
    if values["BatchSize"] > 10 and window_s < 1:  # (recorded)
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
    concurrency = (values.get("ScalingConfig") or {}).get("MaximumConcurrency")
    if concurrency is not None and not 2 <= concurrency <= 1000:
        low = concurrency < 2
        bound = "greater than or equal to 2" if low else "less than or equal to 1000"
        raise _constraint("scalingConfig.maximumConcurrency", concurrency, f"Member must have value {bound}")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, status=400, fields={"Type": "User"})


def _constraint(member: str, value: Any, constraint: str) -> ServiceError:
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}",
    )
