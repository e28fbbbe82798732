import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from headwater.errors import LocalProtocolError, ServiceError
from headwater.storage.store import DataDirectoryError, Store
from headwater.values.transaction import ReadTransaction, WriteTransaction


@pytest.fixture(params=["normal", "full"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = Store.open(tmp_path / "data", sync=request.param)
    yield store
    await store.close()


def put(key: bytes, value: bytes = b"v") -> Callable[[WriteTransaction], None]:
    return lambda transaction: transaction.put("t", key, value)


def keys(transaction: ReadTransaction, *, reverse: bool = False) -> list[bytes]:
    return [key for key, _ in transaction.scan("t", reverse=reverse)]


async def test_a_written_value_is_read_after_the_answer(store: Store) -> None:
    await store.write(put(b"a", b"1"))

    assert store.read(lambda transaction: transaction.get("t", b"a")) == b"1"


async def test_reading_an_unknown_database_finds_nothing(store: Store) -> None:
    assert store.read(lambda transaction: transaction.get("nothing", b"a")) is None


async def test_operations_of_one_turn_see_each_other_and_are_all_answered(store: Store) -> None:
    def increment(transaction: WriteTransaction) -> int:
        value = int(transaction.get("t", b"n") or b"0") + 1
        transaction.put("t", b"n", str(value).encode())
        return value

    assert await asyncio.gather(*(store.write(increment) for _ in range(50))) == list(range(1, 51))


async def test_an_operation_that_fails_after_a_change_leaves_nothing_and_spares_the_others(store: Store) -> None:
    def fail(transaction: WriteTransaction) -> None:
        transaction.put("t", b"bad", b"")
        raise ServiceError("Failed", "on purpose")

    results = await asyncio.gather(
        store.write(put(b"a")), store.write(fail), store.write(put(b"b")), return_exceptions=True
    )

    assert isinstance(results[1], ServiceError)
    assert store.read(keys) == [b"a", b"b"]


async def test_an_insert_changes_nothing_where_there_is_something(store: Store) -> None:
    def insert(value: bytes) -> Callable[[WriteTransaction], bool]:
        return lambda transaction: transaction.insert("t", b"a", value)

    assert [await store.write(insert(b"1")), await store.write(insert(b"2"))] == [True, False]

    assert store.read(lambda transaction: transaction.get("t", b"a")) == b"1"


async def test_what_is_put_together_replaces_and_is_undone_together(store: Store) -> None:
    await store.write(put(b"b", b"old"))

    def fail(transaction: WriteTransaction) -> None:
        transaction.put_many("t", [(b"a", b"1"), (b"z", b"1")])
        raise ServiceError("Failed", "on purpose")

    results = await asyncio.gather(
        store.write(lambda transaction: transaction.put_many("t", [(b"c", b"2"), (b"b", b"2")])),
        store.write(fail),
        return_exceptions=True,
    )

    assert isinstance(results[1], ServiceError)
    assert store.read(lambda transaction: list(transaction.scan("t"))) == [(b"b", b"2"), (b"c", b"2")]


async def test_scans_go_both_ways_between_bounds(store: Store) -> None:
    for key in (b"a", b"b", b"c", b"d"):
        await store.write(put(key))

    def ranges(transaction: ReadTransaction) -> tuple[list[bytes], list[bytes], list[bytes]]:
        return (
            [key for key, _ in transaction.scan("t", b"b", b"d")],
            [key for key, _ in transaction.scan("t", b"b", b"d", reverse=True)],
            [key for key, _ in transaction.scan("t", b"b", reverse=True)],
        )

    assert store.read(ranges) == ([b"b", b"c"], [b"c", b"b"], [b"d", b"c", b"b"])


async def test_a_scan_goes_on_after_a_change_in_its_own_transaction(store: Store) -> None:
    for key in (b"a", b"b", b"c"):
        await store.write(put(key))

    def empty(transaction: WriteTransaction) -> int:
        return sum(transaction.delete("t", key) for key, _ in transaction.scan("t"))

    assert await store.write(empty) == 3
    assert store.read(keys) == []


async def test_a_scan_cannot_be_read_after_its_transaction(store: Store) -> None:
    await store.write(put(b"a"))
    await store.write(put(b"b"))

    def first(transaction: ReadTransaction) -> Iterator[tuple[bytes, bytes]]:
        pairs = transaction.scan("t")
        next(pairs)
        return pairs

    with pytest.raises(LocalProtocolError):
        next(store.read(first))


async def test_a_cancelled_caller_does_not_disturb_the_group(store: Store) -> None:
    cancelled = asyncio.ensure_future(store.write(put(b"a")))
    other = asyncio.ensure_future(store.write(put(b"b")))
    await asyncio.sleep(0)
    cancelled.cancel()

    await other

    assert b"b" in store.read(keys)


async def test_an_outcome_that_cannot_be_handed_on_does_not_disturb_the_group(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(is_value: bool, outcome: object) -> None:
        raise ValueError("on purpose")

    store.submit(put(b"a"), fail)
    await asyncio.wait_for(store.write(put(b"b")), 5)

    assert store.read(keys) == [b"a", b"b"]
    assert "could not be handed on" in caplog.text


async def test_data_survives_a_restart(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    await store.write(put(b"a"))
    await store.close()

    store = Store.open(tmp_path)

    assert store.read(keys) == [b"a"]
    await store.close()


async def test_a_closed_store_refuses_writes(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    await store.close()

    with pytest.raises(LocalProtocolError):
        await store.write(put(b"a"))


async def test_a_temporary_store_leaves_nothing_behind() -> None:
    store = Store.open(None)
    path = store.path
    await store.write(put(b"a"))

    await store.close()

    assert not path.exists()


async def test_a_second_opener_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from headwater.storage.store import Store, DataDirectoryError\n"
        "try: Store.open(Path(sys.argv[1]))\n"
        "except DataDirectoryError as error: print(error)"
    )
    store = Store.open(tmp_path)

    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert f"in use by process {os.getpid()}" in answer.stdout
    await store.close()


@pytest.mark.parametrize("text", ["2", "x", ""])
def test_an_unknown_format_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format").write_text(text)

    with pytest.raises(DataDirectoryError, match="format"):
        Store.open(tmp_path)


async def test_a_full_map_is_an_error_for_that_write_and_recovers(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_size_bytes=1 << 20)
    await store.write(put(b"small"))

    results = await asyncio.gather(
        store.write(put(b"big", b"x" * (2 << 20))), store.write(put(b"other")), return_exceptions=True
    )

    assert isinstance(results[0], ServiceError)
    assert results[0].code == "InternalServerError"
    await store.write(put(b"later"))
    assert store.read(keys) == [b"later", b"other", b"small"]
    await store.close()
