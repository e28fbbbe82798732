"""`Metadata.Headwater.Plan`: sizes and units of items, and what is refused."""

from typing import Any

import pytest

from headwater.errors import TemplateError
from headwater.plan.footprint import parse_footprints

WRITE = {"Per": "Device", "Bytes": 100, "PayloadPercent": 50, "SummaryPercent": 100, "MessageBytes": 10}


def plan(**function: Any) -> dict[str, Any]:
    return {"Functions": {"F": function}}


def test_an_items_size_is_its_fixed_part_and_shares_of_payloads() -> None:
    (item,) = parse_footprints(plan(Writes=[WRITE]), {})["F"].writes

    assert item.size_bytes(200, messages=1) == 100 + 100 + 10
    assert item.size_bytes(200, messages=5) == 100 + 100 + 200 + 50


@pytest.mark.parametrize(
    ("bytes_", "write", "read", "eventual"), [(1024, 1, 1, 0.5), (1025, 2, 1, 0.5), (4097, 5, 2, 1)]
)
def test_units_are_whole_kilobytes_for_writes_and_four_for_reads(
    bytes_: int, write: int, read: float, eventual: float
) -> None:
    entries = [{"Per": "Message", "Bytes": bytes_, "Consistent": True}, {"Per": "Message", "Bytes": bytes_}]
    consistent, other = parse_footprints(plan(Reads=entries), {})["F"].reads

    assert consistent.write_units(0, 1) == write
    assert consistent.read_units(0, 1) == read
    assert other.read_units(0, 1) == eventual


def test_a_group_of_many_messages_is_several_items_of_equal_size() -> None:
    entry = {"Per": "Device", "Bytes": 100, "MessageBytes": 60, "Together": 25}
    (item,) = parse_footprints(plan(Writes=[entry]), {})["F"].writes

    assert [item.pieces(messages) for messages in (0.5, 1, 25, 26, 50, 51)] == [1, 1, 1, 2, 2, 3]
    # 30 messages are two items of 15: 1000 bytes and a unit each.
    assert item.piece_bytes(200, 30) == 1000
    assert item.write_units(200, 30) == 2
    assert item.write_units(200, 20) == 2


def test_entries_hold_under_their_parameters_alone() -> None:
    packed, single = {"When": {"Packed": "true"}}, {"When": {"Packed": "false"}}
    entries = [{**WRITE, **packed, "Bytes": 1}, {**WRITE, **single, "Bytes": 2}]

    for value, wanted in (("true", 1), ("false", 2)):
        (item,) = parse_footprints(plan(Writes=entries), {"Packed": value})["F"].writes
        assert item.fixed_bytes == wanted


@pytest.mark.parametrize(
    ("function", "named"),
    [
        ({"Wirtes": []}, "Wirtes: unknown"),
        ({"Writes": {}}, "expected a list"),
        ({"Writes": ["x"]}, "expected a mapping"),
        ({"Writes": [{"Per": "Hour"}]}, "Per: expected one of Message, Device, DeviceMinute, Batch, found 'Hour'"),
        ({"Writes": [{"Per": "Device", "Size": 1}]}, "Size: unknown"),
        ({"Writes": [{"Per": "Device", "Bytes": -1}]}, "Bytes: expected a whole number"),
        ({"Writes": [{"Per": "Device", "Bytes": 10**10}]}, "Bytes: expected a whole number"),
        ({"Writes": [{"Per": "Device", "Bytes": True}]}, "Bytes: expected a whole number"),
        ({"Writes": [{"Per": "Device", "When": {"Nothing": 1}}]}, "no parameter 'Nothing'"),
        ({"Publishes": [{"Bytes": 1}]}, "Together: expected 1 or more"),
        ({"Publishes": [{"Together": 1}, {"Together": 2}]}, "one entry holds at a time"),
        ({"Microseconds": {"Year": 1}}, "Year: unknown"),
        ({"Microseconds": {"Batch": "quick"}}, "Batch: expected a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_place(function: dict[str, Any], named: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse_footprints(plan(**function), {})

    assert named in str(refused.value).replace("Metadata.Headwater.Plan", "")


@pytest.mark.parametrize("functions", [None, [], "x"])
def test_functions_are_a_mapping(functions: Any) -> None:
    with pytest.raises(TemplateError, match="Functions"):
        parse_footprints({"Functions": functions}, {})
