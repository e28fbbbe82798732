"""The MD2 digest (RFC 1319), which IoT SQL has and hashlib has not."""


def _substitution() -> tuple[int, ...]:
    """The permutation of 0..255 that RFC 1319 makes from the digits of pi by a shuffle."""
    digits = _pi_digits()
    table = list(range(256))
    for bound in range(2, 257):
        other = _draw(digits, bound)
        table[bound - 1], table[other] = table[other], table[bound - 1]
    return tuple(table)


def _draw(digits: list[int], bound: int) -> int:
    """A number below `bound` from the digit stream, rejecting what would be biased."""
    scale, value = 10, int(digits.pop(0))
    if bound > 10:
        scale, value = 100, value * 10 + digits.pop(0)
    if bound > 100:
        scale, value = 1000, value * 10 + digits.pop(0)
    if value < bound * (scale // bound):
        return int(value % bound)
    return _draw(digits, bound)


def _pi_digits(count: int = 722) -> list[int]:
    """The decimal digits of pi, by Machin's formula."""
    unity: int = 10 ** (count + 10)

    def arctan_inverse(x: int) -> int:
        total = term = unity // x
        divisor, sign = 1, 1
        while term:
            term //= x * x
            divisor += 2
            sign = -sign
            total += sign * (term // divisor)
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    return [int(digit) for digit in str(pi)[:count]]


_TABLE = _substitution()


def md2(data: bytes) -> bytes:
    """The 16-byte digest of `data`."""
    padding = 16 - len(data) % 16
    data += bytes([padding]) * padding
    checksum, last = bytearray(16), 0
    state = bytearray(48)
    for start in range(0, len(data), 16):
        for index in range(16):
            checksum[index] ^= _TABLE[data[start + index] ^ last]
            last = checksum[index]
    for start in range(0, len(data) + 16, 16):
        block = data[start : start + 16] or bytes(checksum)
        _compress(state, block)
    return bytes(state[:16])


def _compress(state: bytearray, block: bytes) -> None:
    for index in range(16):
        state[16 + index] = block[index]
        state[32 + index] = block[index] ^ state[index]
    carry = 0
    for turn in range(18):
        for index in range(48):
            state[index] ^= _TABLE[carry]
            carry = state[index]
        carry = (carry + turn) % 256
