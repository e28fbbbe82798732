"""util.time: Java's DateTimeFormatter patterns and time zones."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.appsync_js import compile_module
from tests.unit.appsync_js.values import fault, value


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("util.time.nowISO8601()", "2018-02-06T19:01:35.750Z"),
        ("util.time.nowEpochSeconds()", 1517943695),
        ("util.time.nowEpochMilliSeconds()", 1517943695750),
        ("util.time.nowFormatted('yyyy-MM-dd HH:mm:ssZ')", "2018-02-06 19:01:35+0000"),
        ("util.time.nowFormatted('yyyy-MM-dd HH:mm:ssZ', 'Australia/Perth')", "2018-02-07 03:01:35+0800"),
        ("util.time.epochMilliSecondsToSeconds(1517943695750)", 1517943695),
        ("util.time.epochMilliSecondsToISO8601(-1)", "1969-12-31T23:59:59.999Z"),
        ("util.time.parseISO8601ToEpochMilliSeconds('2018-02-01T17:21:05.180+08:00')", 1517476865180),
        ("util.time.parseISO8601ToEpochMilliSeconds('2018-02-01T17:21Z')", 1517505660000),
        (
            "util.time.parseFormattedToEpochMilliSeconds('2018-02-01 01:19:15+0800', 'yyyy-MM-dd HH:mm:ssZ')",
            1517419155000,
        ),
        (
            "util.time.parseFormattedToEpochMilliSeconds('2018-02-01 01:19:15', 'yyyy-MM-dd HH:mm:ss', "
            "'Australia/Perth')",
            1517419155000,
        ),
        ("util.time.parseFormattedToEpochMilliSeconds('20240131T235959', \"yyyyMMdd'T'HHmmss\", 'UTC')", 1706745599000),
        (
            "util.time.parseFormattedToEpochMilliSeconds('Tue, 6 Feb 2018 7:01 PM', 'EEE, d MMM yyyy h:mm a', 'UTC')",
            1517943660000,
        ),
    ],
)
def test_the_documented_examples(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("G GGGG GGGGG", "AD Anno Domini A"),
        ("u uu uuuu y yy yyyy", "2018 18 2018 2018 18 2018"),
        ("YYYY-'W'ww e", "2018-W06 3"),
        ("D DDD d dd F", "37 037 6 06 1"),
        ("M MM MMM MMMM MMMMM L", "2 02 Feb February F 2"),
        ("Q QQ QQQ QQQQ q", "1 01 Q1 1st quarter 1"),
        ("E EEEE EEEEE eeee c", "Tue Tuesday T Tuesday 3"),
        ("a h hh K k H HH", "PM 2 02 2 14 14 14"),
        ("m mm s ss S SSS SSSSSS", "1 01 35 35 7 750 750000"),
        ("A n N", "50495750 750000000 50495750000000"),
        ("VV z zzzz", "America/New_York EST Eastern Standard Time"),
        ("O OOOO", "GMT-5 GMT-05:00"),
        ("X XX XXX XXXX XXXXX", "-05 -0500 -05:00 -0500 -05:00"),
        ("x xx xxx Z ZZZZ ZZZZZ", "-05 -0500 -05:00 -0500 GMT-05:00 -05:00"),
        ("yyyy'T'''HH[:mm]", "2018T'14:01"),
    ],
)
def test_every_pattern_letter_prints_its_field(pattern: str, expected: str) -> None:
    expression = "util.time.epochMilliSecondsToFormatted(1517943695750, ctx.args.p, 'America/New_York')"

    assert value(expression, arguments={"p": pattern}) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "19:01 Z"),
        ("Z", "19:01 Z"),
        ("+05:30", "00:31 +05:30"),
        ("GMT+8", "03:01 +08:00"),
        ("Europe/Berlin", "20:01 +01:00"),
        ("Asia/Kolkata", "00:31 +05:30"),
    ],
)
def test_zones_are_regions_and_offsets(zone: str, expected: str) -> None:
    assert value("util.time.nowFormatted('HH:mm XXX', ctx.args.z)", arguments={"z": zone}) == expected


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2024-03-31 02:30", "2024-03-31T01:30:00.000Z"),
        ("2024-10-27 02:30", "2024-10-27T00:30:00.000Z"),
        ("2024-07-01 12:00", "2024-07-01T10:00:00.000Z"),
    ],
)
def test_gaps_move_forward_and_overlaps_take_the_earlier_instant(local: str, expected: str) -> None:
    parse = "util.time.parseFormattedToEpochMilliSeconds(ctx.args.t, 'yyyy-MM-dd HH:mm', 'Europe/Berlin')"

    assert value(f"util.time.epochMilliSecondsToISO8601({parse})", arguments={"t": local}) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("util.time.nowFormatted('yyyy', 'Mars/Phobos')", "Unknown time-zone ID: Mars/Phobos"),
        ("util.time.nowFormatted('J')", "Unknown or unsupported pattern letter: J"),
        ('util.time.nowFormatted("\'open")', "incomplete string literal"),
        ("util.time.nowFormatted('{')", "reserved character"),
        ("util.time.parseFormattedToEpochMilliSeconds('2024-13-01 00:00', 'yyyy-MM-dd HH:mm', 'UTC')", "MonthOfYear"),
        ("util.time.parseFormattedToEpochMilliSeconds('x', 'yyyy', 'UTC')", "could not be parsed at index 0"),
        ("util.time.parseFormattedToEpochMilliSeconds('2024', 'yyyy', 'UTC')", "gives no date"),
        ("util.time.parseISO8601ToEpochMilliSeconds('2024-01-01')", "could not be parsed"),
        ("util.time.parseISO8601ToEpochMilliSeconds('2023-02-29T00:00:00Z')", "2023-02-29 is no date"),
    ],
)
def test_what_cannot_be_read_is_a_fault(expression: str, message: str) -> None:
    assert message in fault(expression)


CLOCK = compile_module(
    "export function request(ctx) {"
    " const text = util.time.epochMilliSecondsToFormatted(ctx.args.ms, ctx.args.pattern, ctx.args.zone);"
    " const back = util.time.parseFormattedToEpochMilliSeconds(text, ctx.args.pattern);"
    " return [text, back]; }\n"
    "export function response(ctx) { return null; }",
    "clock.js",
)


@given(
    st.integers(-2_208_988_800_000, 4_102_444_000_000),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
)
def test_formatting_agrees_with_zoneinfo_and_parses_back(ms: int, zone: str) -> None:
    arguments = {"ms": ms, "zone": zone, "pattern": "uuuu-MM-dd HH:mm:ss.SSS xxxxx"}

    text, back = CLOCK.call("request", {"arguments": arguments}, now_ms=0).result

    local = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone))
    assert text.startswith(f"{local:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}")
    assert back == ms


@pytest.mark.parametrize("given", ["'soon'", "1e20", "undefined", "null", "true", "NaN"])
def test_a_time_is_a_number_of_milliseconds(given: str) -> None:
    assert fault(f"util.time.epochMilliSecondsToISO8601({given})").startswith("Expected a number of milliseconds, not")
    assert fault(f"util.time.epochMilliSecondsToFormatted({given}, 'yyyy')").startswith("Expected a number")
    assert fault(f"util.time.epochMilliSecondsToSeconds({given})").startswith("Expected a number")


def test_a_time_may_be_text_that_is_a_number() -> None:
    assert value("util.time.epochMilliSecondsToISO8601('1517943695750')") == "2018-02-06T19:01:35.750Z"
