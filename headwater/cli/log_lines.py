"""The lines of the log of `headwater up`: one each, whatever clients have sent."""

import logging

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_TAB = 9
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != _TAB} | {10: "\\n", 13: "\\r"}


def one_line(text: str) -> str:
    """Text of clients that neither forges lines nor steers the terminal."""
    return text.translate(_ESCAPED)


class LineFormatter(logging.Formatter):
    """Client ids, topics and names get into messages; they must neither forge lines nor steer the terminal.

    The traceback of a fault of ours keeps its lines.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)
