"""Memory that is free again goes back to the system."""

import asyncio
import ctypes

import pytest

from headwater.cli.memory import give_back_memory, resident_bytes

PIECE_BYTES, PIECES = 4096, 32_768


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
async def test_what_was_freed_between_what_is_kept_goes_back() -> None:
    before = resident_bytes()
    trimming = asyncio.create_task(give_back_memory(interval_s=0.01, growth_bytes=PIECE_BYTES))
    await asyncio.sleep(0)
    # Every 64th is kept, so that the heap's end is in use.
    pieces = [bytes(PIECE_BYTES) + b"x" for _ in range(PIECES)]
    kept = [pieces[index] for index in range(0, PIECES, 64)]
    full = resident_bytes()
    pieces.clear()

    async def until_given_back() -> None:
        while resident_bytes() - before > (full - before) // 4:
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(until_given_back(), 20)
    finally:
        trimming.cancel()

    assert kept
    assert full - before > PIECE_BYTES * PIECES // 2
