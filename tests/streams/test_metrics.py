"""Metrics are lines of log in CloudWatch's embedded metric format."""

import json

import pytest

from streams.metrics import count_dead_letters


def test_dead_letters_are_counted_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    count_dead_letters("ingest", ["ClockAhead", "MalformedJson", "ClockAhead"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["service"], line["reason"], line["DeadLetters"]) for line in lines] == [
        ("ingest", "ClockAhead", [2.0]),
        ("ingest", "MalformedJson", [1.0]),
    ]
    (described,) = lines[0]["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "Headwater"
    assert set(described["Dimensions"][0]) == {"service", "reason"}


def test_a_batch_without_dead_letters_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    count_dead_letters("ingest", [])

    assert capsys.readouterr().out == ""
