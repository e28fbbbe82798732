"""Dollars per million messages on AWS, counted: `python -m bench.cost`.

The deployed code runs on the runtime's table for a simulated minute (`bench/metered.py`); units, requests, invocations
and seconds are counted, and priced by the list and the rules of `headwater plan`, whose own figure stands beside. The
naive design is that of public samples: for each message one function, one put and one mutation.

IoT messaging and deliveries to subscribers are listed apart, because both designs pay them alike; only with Basic
Ingest this one does not pay for the message. Storage is apart too: both keep the same history.

Assumed: a GraphQL request is one operation however many aliases it has; how long calls take on AWS; and the size of the
table, as it is once retention is over (`--new-table`: as after a deployment), because a table's partitions are the
shards of its stream, and each is read on its own.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from bench.metered import MeteredFleet, chain_of
from headwater.plan.arithmetic import smallest
from headwater.plan.load import Load, metered_units
from headwater.plan.prices import PriceList, load_prices

NAIVE_FUNCTION_S, NAIVE_FUNCTION_GB = 0.05, 0.25
SECONDS = 60
WATCHED = (0.0, 0.05, 1.0)
Parameters = Mapping[str, object]
# Windows that wait for nothing.
PROMPT: Parameters = {"IngestWindowSeconds": 0, "FanoutWindowSeconds": 0}
# By messages a second of one device: windows that gather something.
THRIFTY: Mapping[float, Parameters] = {
    0.1: {"IngestWindowSeconds": 10, "FanoutWindowSeconds": 1},
    1.0: {"IngestWindowSeconds": 5, "FanoutWindowSeconds": 1, "IngestBatchSize": 5000},
    10.0: {"IngestWindowSeconds": 5, "FanoutWindowSeconds": 1, "IngestBatchSize": 5000},
}
SETTINGS: Mapping[str, Parameters] = {
    "thrifty": {},
    "demand-aware": {"DemandAwareFanout": "true"},
    "packed": {"PackHistory": "true"},
    "packed, demand-aware": {"PackHistory": "true", "DemandAwareFanout": "true"},
}


def per_million(prices: PriceList, used: Mapping[str, float], messages: float) -> dict[str, float]:
    return {name: dollars * 1e6 / messages for name, dollars in prices.cost(used).items()}


def naive(prices: PriceList) -> dict[str, float]:
    """One function, one put, one mutation a message."""
    used = {
        "lambda_requests": 1,
        "lambda_arm64_gb_seconds": NAIVE_FUNCTION_S * NAIVE_FUNCTION_GB,
        "dynamodb_write_units": 1,
        "appsync_operations": 1,
    }
    return per_million(prices, used, 1)


def messaging(prices: PriceList, load: Load) -> dict[str, float]:
    """What a message costs before it reaches a stream or a function."""
    units = float(metered_units(load.payload_bytes))
    return per_million(prices, {"iot_messages": units, "iot_rules": units, "iot_actions": units}, 1)


def report(prices: PriceList, load: Load, parameters: Parameters, title: str) -> None:
    """Count one load, and print it against the naive design."""
    chain = chain_of(**parameters)
    planned = smallest(load, chain)
    loop = asyncio.new_event_loop()
    fleet = MeteredFleet(loop, load, chain, planned)
    fleet.run(SECONDS)
    loop.close()
    counted = per_million(prices, fleet.per_second, fleet.messages / SECONDS)
    by_plan = per_million(prices, planned.per_second, load.messages_per_s)
    own, baseline, iot = sum(counted.values()), sum(naive(prices).values()), messaging(prices, load)
    rule = iot["iot_rules"] + iot["iot_actions"]
    deliveries = fleet.deliveries * metered_units(planned.update_bytes) / fleet.messages
    delivered = per_million(prices, {"appsync_updates": deliveries}, 1)["appsync_updates"]
    sys.stdout.write(
        f"{load.devices} devices, {load.rate_per_s:g}/s, {load.watched:.0%} watched, {title}: ${own:.2f} a million "
        f"(planned {sum(by_plan.values()):.2f}), naive ${baseline:.2f}: {own / baseline:.2f}; "
        f"with Basic Ingest against MQTT {(own + rule) / (baseline + rule + iot['iot_messages']):.2f}; "
        f"deliveries ${delivered:.3f} apart\n    "
        + "  ".join(f"{name.replace('_', ' ')} {dollars:.3f}" for name, dollars in counted.items())
        + f"\n    {planned.shards} shards, {planned.table_partitions} partitions\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Price three rates, each prompt and thrifty, for what is watched by nobody, a few and everybody."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--rate", type=float, choices=list(THRIFTY), action="append", help="all when omitted")
    parser.add_argument("--param", action="append", default=[], help="a further template parameter, Name=Value")
    parser.add_argument("--new-table", action="store_true", help="a table that keeps a day")
    given = parser.parse_args()
    prices = load_prices()
    further: dict[str, object] = dict(pair.split("=", 1) for pair in given.param)
    if given.new_table:
        further |= {"RetentionDays": 1, "AggregateRetentionDays": 1}
    sys.stdout.write(f"{prices.region}, list prices of {prices.as_of}, a message of {given.bytes} bytes\n")
    for rate in given.rate or THRIFTY:
        settings = {"prompt": PROMPT} | {name: {**THRIFTY[rate], **extra} for name, extra in SETTINGS.items()}
        for title, parameters in settings.items():
            # Only where fan-out is demand-aware does the design's own cost depend on who watches.
            for watched in WATCHED if "DemandAwareFanout" in parameters else (0.05,):
                load = Load(given.devices, rate, given.bytes, watched=watched)
                report(prices, load, {**parameters, **further}, title)
    both = messaging(prices, Load(given.devices, 1.0, given.bytes))
    sys.stdout.write(
        f"both designs: IoT messages ${both['iot_messages']:.2f} (none with Basic Ingest), rule and action "
        f"${both['iot_rules'] + both['iot_actions']:.2f} a million\n"
    )


if __name__ == "__main__":
    main()
