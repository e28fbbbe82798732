"""From load to rates, by values a reader can check by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.plan.arithmetic import BUSY_SHARE, rates, smallest, used_in_a_month
from headwater.plan.chain import Chain, Reader
from headwater.plan.footprint import FunctionFootprint, Item, Publishes
from headwater.plan.load import SECONDS_A_MONTH, Load, LoadError, metered_units
from headwater.plan.quotas import quota_uses

HISTORY = Item("Message", 100, 1.0, 0.0, 0, 0.0, 0, 0, is_consistent=False, seen_by="", days="Days")
STATE = Item("Device", 200, 1.0, 0.0, 0, 0.0, 0, 0, is_consistent=False, seen_by="Fan", days="")
INGEST = Reader(
    "In", "kinesis", 1000, 0, 1, 0, 0.5, "arm64", FunctionFootprint(writes=(HISTORY, STATE), device_s=0.001)
)
FAN = Reader(
    "Fan", "dynamodb", 500, 0, 1, 0, 0.5, "arm64",
    FunctionFootprint(publishes=Publishes(25, 400, 1.0, is_watched_alone=False), request_s=0.06),
)  # fmt: skip
CHAIN = Chain(2, 24, has_recovery=False, ingest=INGEST, on_table=(FAN,), days={"Days": 10})


def test_each_message_is_an_item_and_each_device_of_a_batch_a_state() -> None:
    found = rates(Load(100, 10, 200), CHAIN, shards=1, parallelization=1)

    # 1000 messages/s fill a batch of 1000 once a second.
    assert found.paces["In"].batches_per_s == 1
    assert found.paces["In"].devices_in_batch == 100
    assert found.per_second["dynamodb_write_units"] == 1000 + 100
    assert found.updates_per_s == 100
    assert found.stored_gb == pytest.approx(1000 * 10 * 86_400 * 300 / 1e9)


def test_a_slow_device_is_in_a_batch_of_its_own_unless_a_window_gathers_it() -> None:
    slow = Load(100, 0.1, 200)

    prompt = rates(slow, CHAIN, shards=1, parallelization=1)
    gathered = rates(slow, replace(CHAIN, ingest=replace(INGEST, window_s=60)), shards=1, parallelization=1)

    assert prompt.per_second["dynamodb_write_units"] == 10 + 10
    assert gathered.per_second["dynamodb_write_units"] == pytest.approx(10 + 100 / 60)


def test_publishes_share_requests_as_far_as_partitions_and_polls_let_them() -> None:
    load = Load(400, 1, 200)
    few_days = replace(CHAIN, days={"Days": 0})

    new_table = rates(load, few_days, shards=1, parallelization=1)
    windowed = rates(load, replace(few_days, on_table=(replace(FAN, window_s=1),)), shards=1, parallelization=1)
    full_table = rates(load, replace(CHAIN, days={"Days": 400}), shards=1, parallelization=1)

    # A batch takes 0.4 s, so its 400 states come in 1.6 polls of 4 partitions: 62.5 each, 3 requests.
    assert new_table.per_second["appsync_operations"] == pytest.approx(4 * 1.6 * 3)
    assert windowed.per_second["appsync_operations"] == pytest.approx(4 * 4)
    # 4 TB are hundreds of partitions, and nobody shares a request any more.
    assert full_table.table_partitions == math.ceil(400 * 400 * 86_400 * 300 / 1e9 / 10)
    assert full_table.per_second["appsync_operations"] == pytest.approx(400)


def test_where_nobody_watches_demand_aware_publishing_asks_for_nothing() -> None:
    aware = replace(FAN, footprint=replace(FAN.footprint, publishes=Publishes(25, 400, 1.0, is_watched_alone=True)))
    chain = replace(CHAIN, on_table=(aware,), days={"Days": 0})

    def requests_per_s(subscribers: int, watched: float) -> float:
        load = Load(400, 1, 200, subscribers, watched)
        return rates(load, chain, shards=1, parallelization=1).per_second["appsync_operations"]

    assert requests_per_s(0, 1.0) == 0
    assert requests_per_s(1, 0.0) == 0
    assert 0 < requests_per_s(1, 0.05) < requests_per_s(1, 1.0)


def test_shards_follow_from_messages_bytes_and_the_time_of_ingestion() -> None:
    by_count = smallest(Load(1600, 1, 100), CHAIN)
    by_bytes = smallest(Load(160, 1, 100_000), CHAIN)
    by_time = smallest(Load(790, 1, 100), CHAIN)

    assert by_count.shards == 2
    assert by_bytes.shards == 20
    # 790 devices take 0.79 s of each second: too much for one lane, and two of one shard are enough.
    assert (by_time.shards, by_time.parallelization) == (1, 2)


@given(
    devices=st.integers(1, 10**6),
    rate=st.floats(1e-4, 100),
    payload=st.integers(1, 128 * 1024),
    watched=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_every_load_gets_a_plan_that_keeps_up_and_counts_each_message(
    devices: int, rate: float, payload: int, watched: float
) -> None:
    load = Load(devices, rate, payload, 3, watched)

    found = smallest(load, CHAIN)
    month = used_in_a_month(load, CHAIN, found)

    assert found.paces["In"].busy_share <= BUSY_SHARE
    assert all(amount >= 0 and math.isfinite(amount) for amount in month.values())
    assert month["iot_rules"] == pytest.approx(load.messages_per_s * SECONDS_A_MONTH * metered_units(payload))
    assert month["dynamodb_write_units"] >= load.messages_per_s * SECONDS_A_MONTH * 0.999


def test_basic_ingest_pays_for_rules_and_no_message() -> None:
    load = Load(10, 1, 6000, is_basic_ingest=True)

    month = used_in_a_month(load, CHAIN, smallest(load, CHAIN))

    assert month["iot_messages"] == 0
    # 6000 bytes are two units of 5 KB.
    assert month["iot_rules"] == month["iot_actions"] == 2 * 10 * SECONDS_A_MONTH


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"devices": 0}, "devices"),
        ({"rate_per_s": 0}, "rate"),
        ({"rate_per_s": float("nan")}, "rate"),
        ({"rate_per_s": float("inf")}, "rate"),
        ({"payload_bytes": 0}, "bytes"),
        ({"subscribers": -1}, "subscribers"),
        ({"watched": 1.1}, "watched"),
        ({"watched": float("nan")}, "watched"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused_by_name(changed: dict[str, float], named: str) -> None:
    values = {"devices": 1, "rate_per_s": 1.0, "payload_bytes": 1, "subscribers": 1, "watched": 0.5, **changed}

    with pytest.raises(LoadError, match=f"{named} is between"):
        Load(**values)  # type: ignore[arg-type]  # that is the point


def hit(load: Load) -> set[str]:
    return {use.name for use in quota_uses(load, smallest(load, CHAIN)) if use.is_hit}


def test_quotas_that_a_load_goes_beyond_are_named() -> None:
    assert hit(Load(500, 1, 200)) == set()
    assert "iot_publishes_of_a_connection" in hit(Load(1, 150, 200))
    assert {"iot_payload", "iot_bytes_of_a_connection"} <= hit(Load(1, 10, 200_000))
    assert {"iot_publishes", "iot_rule_evaluations"} <= hit(Load(30_000, 1, 200))
    assert "iot_connections" in hit(Load(600_000, 0.001, 200))
    assert "dynamodb_write_units_of_a_table" in hit(Load(25_000, 1, 200))
    assert "dynamodb_write_units_of_a_key" in hit(Load(1, 1200, 200))
    assert "kinesis_records_of_a_key" in hit(Load(1, 1200, 200))
    assert "appsync_outbound_messages" in hit(Load(1000, 1, 200, subscribers=2000, watched=1.0))
    assert "lambda_concurrency" in hit(Load(900_000, 1, 200))


def test_what_cannot_be_raised_is_told_apart() -> None:
    uses = {use.name: use for use in quota_uses(Load(85, 90, 200), smallest(Load(85, 90, 200), CHAIN))}

    assert uses["iot_publishes_of_a_connection"].is_near
    assert not uses["iot_publishes_of_a_connection"].is_adjustable
    assert uses["iot_publishes"].is_adjustable
