"""DynamoDB numbers: up to 38 significant digits, magnitude 1E-130 to 9.99…E+125, exact."""

import re
from decimal import Context, Decimal

from headwater.dynamodb.faults import validation

MAX_DIGITS = 38
_MAX_EXPONENT = 125
_MIN_EXPONENT = -130
# Digits of an exponent that Decimal may be asked for, and that a 64-bit integer may have.
_LONGEST_EXPONENT = 5
_LONG_DIGITS = 19
_LONGEST_MANTISSA = 350
_OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
_UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
_NOT_NUMERIC = "The parameter cannot be converted to a numeric value"
_TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"
# Room for the sum of the largest and the smallest number, so that nothing is rounded before it is checked.
_EXACT = Context(prec=400, Emax=999_999, Emin=-999_999)
# Numbers that are in the service's spelling already: nearly all, and the only ones a write should pay little for.
_CANONICAL = re.compile(r"(?:0|-?[1-9][0-9]{0,37}|-?(?:0|[1-9][0-9]{0,17})\.[0-9]{0,19}[1-9])\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z", re.ASCII)


def normalise_number(text: str) -> str:
    """The service's spelling of a number: plain notation without superfluous zeros.

    Raises: ServiceError `ValidationException` for text that is no number or is out of range.
    """
    if _CANONICAL.match(text):
        return text
    if not text:
        raise validation(_NOT_NUMERIC)
    if not _NUMBER.match(text):
        raise validation(f"{_NOT_NUMERIC}: {text}")
    mantissa, _, exponent = text.lower().partition("e")
    digits = exponent.lstrip("+-0")
    if len(digits) > _LONGEST_EXPONENT and (len(digits) > _LONG_DIGITS or int(digits) >= 1 << 63):
        raise validation(f"{_NOT_NUMERIC}: {text}")
    if not mantissa.strip("+-.0"):
        return "0"
    if len(digits) > _LONGEST_EXPONENT:
        raise validation(_UNDERFLOW if exponent.startswith("-") else _OVERFLOW)
    if len(mantissa) > _LONGEST_MANTISSA:
        raise validation(_TOO_PRECISE)
    return canonical_text(_EXACT.create_decimal(text))


def canonical_text(number: Decimal, too_precise: str = _TOO_PRECISE) -> str:
    """Plain notation of a number in range.

    Raises: ServiceError `ValidationException` if the number has too many digits or is out of range.
    """
    if not number:
        return "0"
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    adjusted = number.adjusted()
    if adjusted > _MAX_EXPONENT:
        raise validation(_OVERFLOW)
    if adjusted < _MIN_EXPONENT:
        raise validation(_UNDERFLOW)
    mantissa = "".join(map(str, digits)).lstrip("0")
    stripped = mantissa.rstrip("0")
    exponent += len(mantissa) - len(stripped)
    if len(stripped) > MAX_DIGITS:
        raise validation(too_precise)
    return ("-" if sign else "") + _plain(stripped, exponent)


def _plain(mantissa: str, exponent: int) -> str:
    if exponent >= 0:
        return mantissa + "0" * exponent
    point = len(mantissa) + exponent
    if point > 0:
        return f"{mantissa[:point]}.{mantissa[point:]}"
    return "0." + "0" * -point + mantissa


def add_numbers(left: str, right: str) -> str:
    """The exact sum, in canonical text. Raises as `canonical_text`."""
    if left.isdecimal() and right.isdecimal() and len(left) < MAX_DIGITS > len(right):
        return str(int(left) + int(right))  # a counter: a tenth of the general way
    # The service calls a sum of too many digits an overflow.
    return canonical_text(_EXACT.add(Decimal(left), Decimal(right)), _OVERFLOW)


def subtract_numbers(left: str, right: str) -> str:
    """The exact difference, in canonical text. Raises as `canonical_text`."""
    return canonical_text(_EXACT.subtract(Decimal(left), Decimal(right)), _OVERFLOW)


_DECIMAL = [10 * (pair >> 4) + (pair & 15) for pair in range(256)]
_RISING = bytes([min(pair + 1, 255) for pair in _DECIMAL])
_FALLING = bytes([max(101 - pair, 0) for pair in _DECIMAL])


def encode_number(text: str) -> bytes:
    """Bytes that sort as the numbers do; 22 bytes at most.

    A base-100 floating point form, which the service also hashes: one byte of exponent, then two decimal digits a
    byte plus one; all complemented for a negative number and closed by 102, since a longer one is smaller there.
    """
    if text.isdecimal():
        sign, exponent, mantissa = 0, 0, text.lstrip("0")
    else:
        sign, digits, power = Decimal(text).as_tuple()
        assert isinstance(power, int)
        exponent, mantissa = power, "".join(map(str, digits)).lstrip("0")
    if not mantissa:
        return b"\x80"
    point = len(mantissa) + exponent
    mantissa = mantissa.rstrip("0")
    if point % 2:
        mantissa = "0" + mantissa
        point += 1
    if len(mantissa) % 2:
        mantissa += "0"
    # Two digits read as one hexadecimal byte, which a table makes what they are as one decimal byte.
    pairs = bytes.fromhex(mantissa)
    first = point // 2 + 192
    if not sign:
        return first.to_bytes(1) + pairs.translate(_RISING)
    closing = b"\x66" if len(pairs) < 20 else b""
    return (first ^ 0xFF).to_bytes(1) + pairs.translate(_FALLING) + closing


def number_size(text: str) -> int:
    """Bytes a canonical number counts for: its base-100 digits, one for the exponent, one for a minus sign."""
    if text.isdigit():
        # A whole number: its digits without the zeros at its end, which is nearly every number.
        significant = text.rstrip("0")
        return 1 + (len(significant) + len(text) % 2 + 1) // 2 if significant else 1
    if text.isdecimal():
        if text == "0":
            return 1
        return 1 + (len(text.rstrip("0")) + len(text) % 2 + 1) // 2
    whole, _, fraction = text.lstrip("-").partition(".")
    if whole == "0":
        significant = fraction.lstrip("0")
        if not significant:
            return 1
        point = len(significant) - len(fraction)
    else:
        significant = (whole + fraction).rstrip("0")
        point = len(whole)
    return 1 + (len(significant) + point % 2 + 1) // 2 + (text[0] == "-")
