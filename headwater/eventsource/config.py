"""The parameters of event source mappings, already checked, and the delays between attempts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

StartingPosition = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
Backoff = Callable[[int], float]


def exponential_backoff(random_unit: Callable[[], float], *, first_s: float = 0.2, last_s: float = 30.0) -> Backoff:
    """Delays that double from `first_s` to `last_s`, each shortened by up to a fifth at random."""

    def delay_s(attempt: int) -> float:
        return float(min(last_s, first_s * 2.0 ** min(attempt - 1, 30)) * (1 - 0.2 * random_unit()))

    return delay_s


@dataclass(frozen=True, slots=True)
class StreamMappingConfig:
    """A mapping of a Kinesis stream or a DynamoDB stream; times in seconds, -1 is without limit.

    `filters` are pattern texts, joined by OR. `role_arn` is the function's, for the records' invokeIdentityArn.
    Source: Lambda API Reference, CreateEventSourceMapping.
    """

    mapping_id: str
    source_arn: str
    function_arn: str
    starting_position: StartingPosition = "TRIM_HORIZON"
    starting_timestamp_s: float = 0.0
    batch_size: int = 100
    window_s: float = 0.0
    parallelization_factor: int = 1
    bisect_on_error: bool = False
    max_retry_attempts: int = -1
    max_record_age_s: float = -1
    report_batch_item_failures: bool = False
    tumbling_window_s: int = 0
    filters: tuple[str, ...] = ()
    on_failure: str | None = None
    role_arn: str = ""


@dataclass(frozen=True, slots=True)
class QueueMappingConfig:
    """A mapping of an SQS queue. `maximum_concurrency` None is the service's own scaling."""

    mapping_id: str
    source_arn: str
    function_arn: str
    batch_size: int = 10
    window_s: float = 0.0
    report_batch_item_failures: bool = False
    filters: tuple[str, ...] = ()
    maximum_concurrency: int | None = None
