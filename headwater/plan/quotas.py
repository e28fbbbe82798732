"""The quotas a load would meet."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from headwater.plan.arithmetic import Rates, deliveries_per_s
from headwater.plan.load import Load, metered_units

_NEAR = 0.8


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """How much of one quota a load takes."""

    name: str
    used: float
    limit: float
    unit: str
    is_adjustable: bool

    @property
    def is_hit(self) -> bool:
        return self.used > self.limit

    @property
    def is_near(self) -> bool:
        return not self.is_hit and self.used > _NEAR * self.limit


def quota_uses(load: Load, found: Rates) -> list[QuotaUse]:
    """Every quota with what the load takes of it."""
    text = (files(__package__) / "quotas.toml").read_text(encoding="utf-8")
    quotas = tomllib.loads(text)
    return [
        QuotaUse(name, used, quotas[name]["limit"], quotas[name]["unit"], quotas[name]["adjustable"])
        for name, used in _used(load, found)
    ]


def _used(load: Load, found: Rates) -> Iterator[tuple[str, float]]:
    device_bytes_per_s = load.rate_per_s * load.payload_bytes
    yield "iot_publishes_of_a_connection", load.rate_per_s
    yield "iot_bytes_of_a_connection", device_bytes_per_s
    yield "iot_payload", load.payload_bytes
    yield "iot_connections", load.devices
    # Basic Ingest passes by the message broker, and is counted with its publishes nevertheless.
    yield "iot_publishes", load.messages_per_s
    yield "iot_rule_evaluations", load.messages_per_s
    yield "kinesis_shards", found.shards
    yield "kinesis_records_of_a_key", load.rate_per_s
    yield "kinesis_bytes_of_a_key", device_bytes_per_s
    # A lane that has nothing to do most of the time holds an execution for no longer than its batches take.
    yield "lambda_concurrency", sum(max(1.0, pace.batches_per_s * pace.batch_s) for pace in found.paces.values())
    yield "dynamodb_write_units_of_a_table", found.per_second["dynamodb_write_units"]
    yield "dynamodb_read_units_of_a_table", found.per_second["dynamodb_read_units"]
    yield "dynamodb_write_units_of_a_key", found.hottest_partition_units
    yield "dynamodb_item", found.largest_item_bytes
    yield "appsync_request_tokens", found.per_second["appsync_operations"]
    yield "appsync_outbound_messages", deliveries_per_s(load, found) * metered_units(found.update_bytes)
    yield "appsync_event", found.update_bytes
