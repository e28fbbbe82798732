"""Memory that is free again goes back to the system."""

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli.memory import resident_bytes

# In a process of its own: what other tests have freed would be used again, and nothing would grow.
PROGRAM = """
import asyncio
from headwater.cli.memory import give_back_memory, resident_bytes

PIECE_BYTES, PIECES = 4096, 32_768


async def main():
    before = resident_bytes()
    trimming = asyncio.create_task(give_back_memory(interval_s=0.01, growth_bytes=PIECE_BYTES))
    await asyncio.sleep(0)
    # Every 64th is kept, so that the heap's end is in use.
    pieces = [bytes(PIECE_BYTES) + b"x" for _ in range(PIECES)]
    kept = [pieces[index] for index in range(0, PIECES, 64)]
    full = resident_bytes()
    assert full - before > PIECE_BYTES * PIECES // 2, (before, full)
    pieces.clear()
    while resident_bytes() - before > (full - before) // 4:
        await asyncio.sleep(0.01)
    trimming.cancel()
    assert kept


asyncio.run(asyncio.wait_for(main(), 20))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_what_was_freed_between_what_is_kept_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


def test_what_a_file_backs_does_not_count(tmp_path: Path) -> None:
    size = 64 << 20
    file = tmp_path / "store"
    with open(file, "wb") as opened:
        opened.truncate(size)
    before = resident_bytes()

    with open(file, "r+b") as store, mmap.mmap(store.fileno(), size) as mapped:
        for offset in range(0, size, mmap.PAGESIZE):
            mapped[offset] = 1
        grown = resident_bytes() - before

    assert grown < size // 4
