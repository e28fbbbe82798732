"""`Metadata.Headwater.Plan` against the deployed code: a load is counted on the runtime's table, and planned."""

import asyncio
import json
from pathlib import Path

import pytest

from bench.metered import MeteredFleet, chain_of
from headwater.plan.arithmetic import Rates, smallest
from headwater.plan.load import Load
from headwater.plan.prices import load_prices
from tests.support.product import run_cli

# A table that keeps little is on the partitions of a new one.
SMALL = {"RetentionDays": 1, "AggregateRetentionDays": 1}


def counted_and_planned(load: Load, **parameters: object) -> tuple[MeteredFleet, Rates]:
    chain = chain_of(**{**SMALL, **parameters})
    planned = smallest(load, chain)
    loop = asyncio.new_event_loop()
    fleet = MeteredFleet(loop, load, chain, planned)
    fleet.run(60)
    loop.close()
    return fleet, planned


@pytest.mark.parametrize(
    ("load", "parameters"),
    [
        (Load(16, 1, 200, watched=0.5), {}),
        (Load(16, 1, 200, watched=0.5), {"FanoutWindowSeconds": 1}),
        (Load(40, 0.1, 200, watched=0.0), {"IngestWindowSeconds": 10}),
        (Load(8, 10, 200, watched=1.0), {}),
        (Load(16, 1, 200, watched=0.5), {"DemandAwareFanout": "true"}),
        (Load(16, 1, 200, watched=1.0), {"DemandAwareFanout": "true"}),
        (Load(16, 1, 200, watched=0.0), {"DemandAwareFanout": "true"}),
        (Load(8, 10, 200, watched=0.5), {"PackHistory": "true"}),
        (Load(16, 1, 200, watched=0.5), {"PackHistory": "true", "IngestWindowSeconds": 10, "IngestBatchSize": 5000}),
        (Load(8, 1, 1500, watched=0.5), {}),
        (Load(6, 2, 600, watched=0.5), {}),
    ],
    ids=[
        "1/s",
        "fan-out window",
        "0.1/s, ingest window",
        "10/s",
        "demand, half watched",
        "demand, all watched",
        "demand, nobody",
        "packed, 10/s",
        "packed, window",
        "two units a message",
        "600 bytes",
    ],
)
def test_the_plan_says_what_is_counted(load: Load, parameters: dict[str, object]) -> None:
    fleet, planned = counted_and_planned(load, **parameters)

    counted = fleet.per_second
    assert set(counted) == set(planned.per_second)
    # Functions' seconds hold the CPU of this machine: bench/cost shows them beside the plan's.
    for name in ("kinesis_shard_hours", "kinesis_put_units", "kinesis_extended_shard_hours", "dynamodb_write_units"):
        assert counted[name] == pytest.approx(planned.per_second[name], rel=0.001), name
    assert counted["dynamodb_read_units"] == pytest.approx(planned.per_second["dynamodb_read_units"], rel=0.05)
    # A load of a minute has an end, with batches that are not full.
    assert counted["appsync_operations"] == pytest.approx(planned.per_second["appsync_operations"], rel=0.3)
    assert counted["lambda_requests"] == pytest.approx(planned.per_second["lambda_requests"], rel=0.3)
    is_demand_aware = parameters.get("DemandAwareFanout") == "true"
    published_share = load.watched if is_demand_aware else 1.0
    assert fleet.updates / 60 == pytest.approx(planned.updates_per_s * published_share, rel=0.02)
    assert fleet.deliveries / 60 == pytest.approx(planned.updates_per_s * load.watched, rel=0.05)


def test_everything_the_plan_uses_has_a_price() -> None:
    load = Load(10, 1, 200)

    assert set(smallest(load, chain_of()).per_second) <= set(load_prices().dollars)


def test_the_command_prints_a_plan_for_people_and_as_json(tmp_path: Path) -> None:
    arguments = ("plan", "--devices", "500", "--rate", "1", "--bytes", "200", "--subscribers", "3", "--watched", "0.05")

    printed, parsed = run_cli(*arguments), run_cli(*arguments, "--json")

    assert printed.returncode == parsed.returncode == 0, printed.stderr + parsed.stderr
    for word in ("shard", "concurrency", "write units/s", "quotas", "a month, dollars", "prices of 20"):
        assert word in printed.stdout
    plan = json.loads(parsed.stdout)
    assert plan["stream"]["shards"] >= 1
    assert plan["api"]["deliveries_per_s"] == pytest.approx(500 * 0.05 * 3)
    month = plan["month"]
    assert sum(month["dollars"].values()) == pytest.approx(
        month["dollars_of_this_design"] + month["dollars_of_any_design"]
    )


def test_a_plan_of_one_device_has_one_of_each(tmp_path: Path) -> None:
    printed = run_cli("plan", "--devices", "1", "--bytes", "1", "--param", "ShardCount=1").stdout

    assert printed.startswith("1 device, 1/s each, 1 byte: 1.0 messages/s; 1 subscriber of 5% of the devices\n")
    assert "  stream     1 shard (the template: 1), 1 batch of each at a time\n" in printed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--devices", "0"), "devices is between"),
        (("--devices", "1", "--watched", "7"), "watched is between"),
        (("--devices", "1", "--rate", "nan"), "rate is between 0.000001 and 1,000,000; found nan"),
        (("--devices", "1", "--param", "NoSuch=1"), "no parameter NoSuch"),
        (("--devices", "1", "--prices", "absent.toml"), "absent.toml: No such file or directory\n"),
        (("--devices", "1", "--template", "absent.yaml"), "absent.yaml"),
        (("--devices", "1", "--template", "tests/journeys/rule_stack/template.yaml"), "Metadata.Headwater.Plan"),
    ],
)
def test_what_cannot_be_planned_is_said_and_exits_2(arguments: tuple[str, ...], named: str) -> None:
    done = run_cli("plan", *arguments)

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
