import asyncio

from headwater.functions.config import LogEvent
from headwater.functions.log_buffer import LogBuffer


def line(message: str, function: str = "f") -> LogEvent:
    return LogEvent(function, "stream", "", 0, message)


def messages(buffer: LogBuffer, function: str = "f", after: int = 0) -> list[str]:
    return [entry.event.message for entry in buffer.after(function, after)]


def test_lines_come_back_oldest_first_and_by_function() -> None:
    buffer = LogBuffer()
    for text, function in (("a", "f"), ("x", "g"), ("b", "f")):
        buffer.append(line(text, function))

    assert messages(buffer) == ["a", "b"]
    assert messages(buffer, "g") == ["x"]


def test_reading_goes_on_after_a_number() -> None:
    buffer = LogBuffer()
    buffer.append(line("a"))
    number = buffer.last_number
    buffer.append(line("b"))

    assert messages(buffer, after=number) == ["b"]


def test_oldest_lines_go_when_there_are_too_many() -> None:
    buffer = LogBuffer(max_events=2)
    for text in "abc":
        buffer.append(line(text))

    assert messages(buffer) == ["b", "c"]


def test_oldest_lines_go_when_they_are_too_long() -> None:
    buffer = LogBuffer(max_bytes=10)
    for text in ("aaaaaa", "bbbbbb"):
        buffer.append(line(text))

    assert messages(buffer) == ["bbbbbb"]


async def test_waiting_ends_with_the_first_line_of_the_function() -> None:
    buffer = LogBuffer()
    waiting = asyncio.create_task(buffer.wait_after("f", 0, 10))
    also_waiting = asyncio.create_task(buffer.wait_after("g", 0, 10))
    await asyncio.sleep(0)

    buffer.append(line("x", "g"))
    await asyncio.sleep(0.01)
    is_early = waiting.done()
    buffer.append(line("a"))

    assert not is_early
    assert [entry.event.message for entry in await waiting] == ["a"]
    assert [entry.event.message for entry in await also_waiting] == ["x"]


async def test_waiting_ends_without_a_line() -> None:
    assert await LogBuffer().wait_after("f", 0, 0.01) == []
