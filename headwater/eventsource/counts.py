"""What an event source mapping has done so far."""

from dataclasses import dataclass


@dataclass(slots=True)
class MappingCounts:
    """The counts of MetricsConfig's EventCount, in records, and the API's LastProcessingResult."""

    polled: int = 0
    filtered: int = 0
    invoked: int = 0
    failed: int = 0
    dropped: int = 0
    delivered: int = 0
    last_result: str = "No records processed"
