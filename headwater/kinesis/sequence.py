"""Kinesis sequence numbers and shard ids: 56-digit decimals that rise within a shard, whatever the clock does.

A number of version 2, the only one handed out, is 47 hexadecimal digits: the version's lead `2`, the shard's creation
in epoch seconds (9 digits), the low digit of the shard's index, the record's index in the shard (16), `00`, the arrival
in epoch seconds (9), the shard's index (8) and the version.
Source: observed numbers of the service (e.g. 49590338271490256608559692538361571095921575989136588898).
"""

import re
from dataclasses import dataclass

KEY_BYTES = 24
LAST_INDEX = 0x7FFF_FFFF_FFFF_FFFF
MAX_SHARD_INDEX = 0x7FFF_FFFF
_MAX_CREATED_S = 16_025_175_000
_SHARD_ID = re.compile(r"(?:.*?-)?([0-9]+)")


@dataclass(frozen=True, slots=True)
class SequenceNumber:
    """A parsed sequence number; times are epoch seconds, `index` counts the records of the shard."""

    created_s: int
    shard_index: int
    index: int = 0
    time_s: int = 0
    version: int = 2

    @classmethod
    def parse(cls, text: str) -> "SequenceNumber":
        """Also the shapes the service no longer hands out: version 1 and numbers below 2^124 (version 0).

        Raises: ValueError if no stream can have made the number.
        """
        if not text.isascii() or not text.isdecimal() or len(text) > 129:
            raise ValueError(f"not a sequence number: {text!r}")
        number = int(text)
        if number < 1 << 124:
            number += 1 << 124
        if number < 1 << 129:
            return cls._parse_short(number)
        if not 1 << 185 < number < 3 << 184:
            raise ValueError(f"sequence number of an unknown version: {text!r}")
        version = number & 0xF
        created_s = number >> 148 & 0xF_FFFF_FFFF
        shard_index = number >> 4 & 0xFFFF_FFFF
        if version == 1:
            return cls(created_s, shard_index, number >> 36 & 0xFF, number >> 100 & 0xF_FFFF_FFFF, 1)
        index = number >> 80 & 0xFFFF_FFFF_FFFF_FFFF
        if version != 2 or index > LAST_INDEX or created_s >= _MAX_CREATED_S:
            raise ValueError(f"sequence number out of range: {text!r}")
        if shard_index > MAX_SHARD_INDEX:
            shard_index -= 1 << 32
        return cls(created_s, shard_index, index, number >> 36 & 0xF_FFFF_FFFF)

    @classmethod
    def _parse_short(cls, number: int) -> "SequenceNumber":
        digits = f"{number:x}"
        created_s = int(digits[1:10], 16)
        if created_s >= _MAX_CREATED_S:
            raise ValueError(f"sequence number out of range: {number}")
        return cls(created_s, int(digits[28:32] or "0", 16), 0, created_s, 0)

    def to_int(self) -> int:
        """The number of version 2 with these parts."""
        return shard_base(self.created_s, self.shard_index) | self.index << 80 | self.time_s << 36

    def __str__(self) -> str:
        return str(self.to_int())


def shard_base(created_s: int, shard_index: int) -> int:
    """The parts of a sequence number that all records of a shard share."""
    return 2 << 184 | created_s << 148 | (shard_index & 0xF) << 144 | shard_index << 4 | 2


def sequence_key(number: int) -> bytes:
    """24 bytes that sort as the numbers do."""
    return number.to_bytes(KEY_BYTES, "big")


def shard_id_of(index: int) -> str:
    """`shardId-000000000007`."""
    sign = "-" if index < 0 else ""
    return f"shardId-{sign}{abs(index):0{11 if index < 0 else 12}d}"


def shard_index_of(shard_id: str) -> int:
    """The index in a shard id; the service reads the digits alone, so `shard-3` and `3` name the same shard.

    Raises: ValueError if there are no digits or they are above 2^31 - 1.
    """
    match = _SHARD_ID.fullmatch(shard_id)
    index = int(match[1]) if match is not None else -1
    if not 0 <= index <= MAX_SHARD_INDEX:
        raise ValueError(f"not a shard id: {shard_id!r}")
    return index
