"""A disk that is full: an error for the write, nothing lost, and all well once there is room again."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from headwater.errors import ServiceError
from headwater.storage.store import Store, SyncPolicy
from headwater.values.transaction import ReadTransaction, WriteTransaction

VALUE = b"v" * 2000


def put(transaction: WriteTransaction, number: int) -> None:
    transaction.put("numbers", number.to_bytes(4, "big"), VALUE)


def numbers(transaction: ReadTransaction) -> list[int]:
    return [int.from_bytes(key, "big") for key, _ in transaction.scan("numbers")]


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """What a full disk is to whoever writes, without a disk of our own to fill."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_a_full_disk_is_an_error_and_no_loss_and_passes(tmp_path: Path, sync: SyncPolicy) -> None:
    store = Store.open(tmp_path, sync=sync)
    for number in range(100):
        await store.write(partial(put, number=number))
    size = os.stat(tmp_path / "store" / "data.mdb").st_size

    answered, refused = [], []
    with no_file_above(size):
        for number in range(100, 200):
            try:
                await store.write(partial(put, number=number))
                answered.append(number)
            except ServiceError as error:
                refused.append(error)
        read = store.read(numbers)
    await store.write(partial(put, number=999))
    await store.close()

    assert {(error.code, error.status) for error in refused} == {("InternalServerError", 500)}
    assert read == [*range(100), *answered]
    again = Store.open(tmp_path)
    assert again.read(numbers) == [*range(100), *answered, 999]
    await again.close()
