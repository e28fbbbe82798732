"""The log of `headwater up`."""

import logging
import sys

import pytest

from headwater.cli.log_lines import LineFormatter


def line(message: str, *arguments: object, exc_info: object = None) -> str:
    record = logging.LogRecord("mqtt", logging.WARNING, "f.py", 1, message, arguments, exc_info)  # type: ignore[arg-type]
    return LineFormatter().format(record)


@pytest.mark.parametrize(
    ("client_id", "shown"),
    [
        ("a\n2026-11-25 ERROR all is lost", "a\\n2026-11-25 ERROR all is lost"),
        ("a\x1b]0;owned\x07", "a\\x1b]0;owned\\x07"),
        ("a\r\x9b2Jb\x00", "a\\r\\x9b2Jb\\x00"),
        ("größe\tb", "größe\tb"),
    ],
)
def test_what_a_client_sent_stays_in_its_line(client_id: str, shown: str) -> None:
    assert line("%s is refused", client_id).endswith(f"mqtt: {shown} is refused")


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        text = line("it failed", exc_info=sys.exc_info())

    assert text.splitlines()[1] == "Traceback (most recent call last):"
