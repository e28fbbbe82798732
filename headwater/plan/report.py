"""A plan as a JSON document and as text."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from headwater.plan.arithmetic import Rates, deliveries_per_s, smallest, used_in_a_month
from headwater.plan.chain import Chain
from headwater.plan.load import SECONDS_A_MONTH, Load
from headwater.plan.prices import PAID_BY_ANY_DESIGN, PriceList
from headwater.plan.quotas import quota_uses
from headwater.values.amounts import counted

NOT_COUNTED = (
    "queries of clients, presence, commands and alerts, logs, traces, metrics and alarms, KMS requests, the firewall, "
    "data transfer, backups, free tiers, volume discounts"
)


def document(load: Load, chain: Chain, prices: PriceList) -> dict[str, Any]:
    """Plan a load: members are named with their units, money is dollars a month."""
    found = smallest(load, chain)
    used = used_in_a_month(load, chain, found)
    cost = prices.cost(used)
    own = sum(dollars for name, dollars in cost.items() if name not in PAID_BY_ANY_DESIGN)
    millions = load.messages_per_s * SECONDS_A_MONTH / 1e6
    return {
        "load": {**dataclasses.asdict(load), "messages_per_s": load.messages_per_s},
        "stream": {
            "shards": found.shards,
            "parallelization": found.parallelization,
            "shards_of_template": chain.shards,
        },
        "functions": {name: _function(found, name) for name in found.paces},
        "table": {
            "write_units_per_s": found.per_second["dynamodb_write_units"],
            "read_units_per_s": found.per_second["dynamodb_read_units"],
            "stored_gb": found.stored_gb,
            "partitions": found.table_partitions,
        },
        "api": {
            "requests_per_s": found.per_second["appsync_operations"],
            "changes_per_s": found.updates_per_s,
            "deliveries_per_s": deliveries_per_s(load, found),
        },
        "quotas": [
            {**dataclasses.asdict(use), "is_hit": use.is_hit, "is_near": use.is_near} for use in quota_uses(load, found)
        ],
        "month": {
            "prices_as_of": prices.as_of.isoformat(),
            "region": prices.region,
            "used": used,
            "dollars": cost,
            "dollars_of_this_design": own,
            "dollars_of_any_design": sum(cost.values()) - own,
            "dollars_of_this_design_per_million_messages": own / millions,
            "not_counted": NOT_COUNTED,
        },
    }


def _function(found: Rates, name: str) -> dict[str, float]:
    pace = found.paces[name]
    return {
        "concurrency": pace.concurrency,
        "batches_per_s": pace.batches_per_s,
        "records_in_batch": pace.messages_in_batch,
        "batch_s": pace.batch_s,
        "busy_share": pace.busy_share,
    }


def text(plan: dict[str, Any]) -> str:
    """Lay a plan out for people."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: dict[str, Any]) -> Iterator[str]:
    load, stream, table, api = plan["load"], plan["stream"], plan["table"], plan["api"]
    basic = ", by Basic Ingest" if load["is_basic_ingest"] else ""
    yield (
        f"{counted(load['devices'], 'device')}, {load['rate_per_s']:g}/s each, "
        f"{counted(load['payload_bytes'], 'byte')}: {load['messages_per_s']:,.1f} messages/s{basic}; "
        f"{counted(load['subscribers'], 'subscriber')} of {load['watched']:.0%} of the devices"
    )
    yield ""
    yield (
        f"  stream     {counted(stream['shards'], 'shard')} (the template: {stream['shards_of_template']}), "
        f"{counted(stream['parallelization'], 'batch', 'batches')} of each at a time"
    )
    for name, function in plan["functions"].items():
        behind = "  FALLS BEHIND" if function["busy_share"] > 1 else ""
        yield (
            f"  function   {name}: concurrency up to {function['concurrency']}, {function['batches_per_s']:,.1f} "
            f"batches/s of {function['records_in_batch']:,.1f} records, {function['batch_s'] * 1000:,.0f} ms each, "
            f"busy {function['busy_share']:.0%}{behind}"
        )
    yield (
        f"  table      {table['write_units_per_s']:,.1f} write units/s, {table['read_units_per_s']:,.1f} read units/s, "
        f"{table['stored_gb']:,.1f} GB once retention is over ({counted(table['partitions'], 'partition')})"
    )
    yield (
        f"  API        {api['requests_per_s']:,.1f} requests/s for {api['changes_per_s']:,.1f} changes/s, "
        f"{api['deliveries_per_s']:,.1f} deliveries/s"
    )
    yield ""
    yield from _quota_lines(plan["quotas"])
    yield ""
    yield from _month_lines(plan["month"])


def _quota_lines(quotas: list[dict[str, Any]]) -> Iterator[str]:
    met = [use for use in quotas if use["is_hit"] or use["is_near"]]
    if not met:
        yield "  quotas     none would be hit"
    for use in met:
        verdict = "HIT" if use["is_hit"] else "near"
        advice = "ask for more" if use["is_adjustable"] else "cannot be raised"
        amount = f"{use['used']:,.0f} of {use['limit']:,} {use['unit']}"
        yield f"  quotas     {verdict:5}{use['name'].replace('_', ' ')}: {amount} ({advice})"


def _month_lines(month: dict[str, Any]) -> Iterator[str]:
    yield f"  a month, dollars ({month['region']}, prices of {month['prices_as_of']})"
    for is_common, title, total in (
        (False, "this design", month["dollars_of_this_design"]),
        (True, "any design pays", month["dollars_of_any_design"]),
    ):
        for name, dollars in month["dollars"].items():
            if (name in PAID_BY_ANY_DESIGN) is is_common:
                yield f"    {name.replace('_', ' '):32}{month['used'][name]:>20,.1f}{dollars:>14,.2f}"
        yield f"    {title:52}{total:>14,.2f}"
    per_million = month["dollars_of_this_design_per_million_messages"]
    yield f"  this design: {per_million:,.2f} a million messages; not counted: {month['not_counted']}"
