"""Backfill of a migration: give old items what writers write beside new ones since (docs/migration.md).

    python -m infra.backfill migrations.devices_by_model:MIGRATION --table headwater-Table --segments 4 --rate 200

It may run while devices send, stop anywhere, and run again: each write has a condition under which a second one, or one
that a live write overtook, does nothing. Where each segment is, is an item of the table (`MIGRATION#<name>`).
A migration is a module's value: `Migration("devices-by-model", derive)`, where `derive` looks at one stored item.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

Item = Mapping[str, Any]
_PAGE = 100
_CONFLICT_ATTEMPTS = 10
_FIRST_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Copy:
    """A new item beside an old one: put where nothing is under its key, while the old one is there unchanged."""

    item: Item


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a new index: set where the item has none of them yet, as long as it is there unchanged."""

    values: Item


@dataclass(frozen=True, slots=True)
class Migration:
    """`derive` says what an item lacks, None for most; it sees items as DynamoDB types them and changes nothing.

    `unchanged` names the attributes that what is derived depends on: a write is given up where one of them has changed
    meanwhile, because whoever changed it wrote the new form as well.
    """

    name: str
    derive: Callable[[Item], Copy | Attributes | None]
    unchanged: tuple[str, ...] = ()


@dataclass
class Report:
    """What became of the items that were read."""

    read: int = 0
    written: int = 0
    done_before: int = 0
    segments_done: int = 0

    def add(self, other: "Report") -> None:
        self.read += other.read
        self.written += other.written
        self.done_before += other.done_before
        self.segments_done += other.segments_done


@dataclass
class Backfill:
    """One run of a migration on a table with the keys PK and SK.

    `pages` ends each segment early, to try a piece first; `rate_per_s` bounds the writes of one segment.
    """

    client: Any
    table: str
    migration: Migration
    segments: int = 1
    rate_per_s: float = 200.0
    pages: int | None = None
    sleep: Callable[[float], None] = field(default=time.sleep)

    def run(self) -> Report:
        """Go on where each segment is; returns what this run did."""
        total = Report()
        with ThreadPoolExecutor(self.segments) as pool:
            for report in pool.map(self._segment, range(self.segments)):
                total.add(report)
        return total

    def reset(self) -> None:
        """Forget the positions: the next run reads everything again, and writes what is lacking."""
        for segment in range(self.segments):
            self.client.delete_item(TableName=self.table, Key=self._position_key(segment))

    def _segment(self, segment: int) -> Report:
        report = Report()
        position = self._position(segment)
        pages = 0
        while not position["isDone"]["BOOL"] and (self.pages is None or pages < self.pages):
            scan: dict[str, Any] = {"Segment": segment, "TotalSegments": self.segments, "Limit": _PAGE}
            if "lastKey" in position:
                scan["ExclusiveStartKey"] = position["lastKey"]["M"]
            # Strongly: what a live write has changed already need not be tried.
            page = self.client.scan(TableName=self.table, ConsistentRead=True, **scan)
            for item in page["Items"]:
                self._take(item, report)
            pages += 1
            position = self._move(segment, page.get("LastEvaluatedKey"))
        report.segments_done += position["isDone"]["BOOL"]
        return report

    def _take(self, item: Item, report: Report) -> None:
        report.read += 1
        derived = self.migration.derive(item)
        if derived is None:
            return
        write = self._copy if isinstance(derived, Copy) else self._set
        if write(item, derived):  # type: ignore[arg-type]  # chosen by its type
            report.written += 1
            self.sleep(1 / self.rate_per_s)
        else:
            report.done_before += 1

    def _copy(self, item: Item, derived: Copy) -> bool:
        names, values, condition = self._as_read(item)
        check = {"TableName": self.table, "Key": _key(item), "ConditionExpression": condition}
        if values:
            check |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        put = {
            "TableName": self.table,
            "Item": derived.item,
            "ConditionExpression": "attribute_not_exists(PK)",
        }
        return self._do(
            lambda: self.client.transact_write_items(TransactItems=[{"ConditionCheck": check}, {"Put": put}])
        )

    def _set(self, item: Item, derived: Attributes) -> bool:
        names, values, condition = self._as_read(item)
        parts = []
        for place, (name, value) in enumerate(derived.values.items()):
            names[f"#new{place}"], values[f":new{place}"] = name, value
            parts.append(f"#new{place} = :new{place}")
            condition += f" AND attribute_not_exists(#new{place})"
        update = {
            "TableName": self.table,
            "Key": _key(item),
            "UpdateExpression": f"SET {', '.join(parts)}",
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        return self._do(lambda: self.client.update_item(**update))

    def _as_read(self, item: Item) -> tuple[dict[str, str], dict[str, Any], str]:
        """Names, values and condition that hold while the item is as it was read."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        condition = "attribute_exists(PK)"
        for place, name in enumerate(self.migration.unchanged):
            if name in item:
                names[f"#old{place}"], values[f":old{place}"] = name, item[name]
                condition += f" AND #old{place} = :old{place}"
        return names, values, condition

    def _do(self, write: Callable[[], Any]) -> bool:
        """Whether the write was made; False where its condition no longer held."""
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                write()
            except ClientError as error:
                code = error.response["Error"]["Code"]
                reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
                if code == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
                    return False
                if code not in ("TransactionCanceledException", "TransactionConflictException"):
                    raise
                # A live write has the item in hand: it may well have written the new form, and the condition tells.
                self.sleep(_FIRST_PAUSE_S * 2**attempt)
            else:
                return True
        raise TimeoutError(f"an item conflicts with other writes after {_CONFLICT_ATTEMPTS} attempts")

    def _position_key(self, segment: int) -> dict[str, Any]:
        return {
            "PK": {"S": f"MIGRATION#{self.migration.name}"},
            "SK": {"S": f"SEGMENT#{segment:04d}#{self.segments:04d}"},
        }

    def _position(self, segment: int) -> dict[str, Any]:
        read = {"TableName": self.table, "Key": self._position_key(segment), "ConsistentRead": True}
        found: dict[str, Any] = self.client.get_item(**read).get("Item") or {"isDone": {"BOOL": False}}
        return found

    def _move(self, segment: int, last_key: Item | None) -> dict[str, Any]:
        """Keep where the segment is, after its page was written: what is repeated after a crash does nothing."""
        position: dict[str, Any] = {**self._position_key(segment), "isDone": {"BOOL": last_key is None}}
        position["schemaVersion"] = {"N": "1"}
        if last_key is not None:
            position["lastKey"] = {"M": last_key}
        self.client.put_item(TableName=self.table, Item=position)
        return position


def _key(item: Item) -> dict[str, Any]:
    return {"PK": item["PK"], "SK": item["SK"]}


def find_migration(place: str) -> Migration:
    """Import `module:name`. Raises: ValueError when there is no migration."""
    module, separator, name = place.partition(":")
    if not separator:
        raise ValueError(f"{place!r} is not module:name")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{place}: {error}") from error
    if not isinstance(found, Migration):
        raise ValueError(f"{place} is {type(found).__name__}, expected a Migration")
    return found


def main() -> int:
    """Run a migration to its end, or for some pages; 2 for a migration that is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("migration", help="module:name")
    parser.add_argument("--table", required=True)
    parser.add_argument("--segments", type=int, default=1, help="read in parallel; the same number on every run")
    parser.add_argument("--rate", type=float, default=200.0, help="writes a second of a segment, at most")
    parser.add_argument("--pages", type=int, help=f"pages of {_PAGE} items a segment, to try and to measure")
    parser.add_argument("--reset", action="store_true", help="begin anew")
    given = parser.parse_args()
    if given.segments < 1 or given.rate <= 0:
        parser.error("--segments is 1 or more and --rate above 0")
    try:
        migration = find_migration(given.migration)
    except ValueError as error:
        parser.error(str(error))
    backfill = Backfill(boto3.client("dynamodb"), given.table, migration, given.segments, given.rate, given.pages)
    if given.reset:
        backfill.reset()
    report = backfill.run()
    sys.stdout.write(
        f"{migration.name}: {report.read} items read, {report.written} written, {report.done_before} had it already; "
        f"{report.segments_done} of {given.segments} segments are done\n"
    )
    return 0


if __name__ == "__main__":
    # Migrations import this module by its name: their classes are that module's, not those of `__main__`.
    sys.exit(importlib.import_module("infra.backfill").main())
