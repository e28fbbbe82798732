from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.dynamodb.items.keys import (
    LONG_KEY_BYTES,
    after_prefix,
    escape,
    index_key,
    is_long_key,
    item_key,
    partition_prefix,
    scalar_bytes,
)
from headwater.dynamodb.items.numbers import add_numbers, encode_number, normalise_number, number_size
from headwater.errors import ServiceError

PREFIX = partition_prefix(b"\x01\x00\x00\x00", b"p")


def in_range(digits: tuple[int, int]) -> str:
    mantissa, exponent = digits
    return f"{mantissa}E{exponent - len(str(abs(mantissa))) + 1}"


numbers = st.tuples(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-130, 125)).map(in_range)
near_numbers = st.integers(-2000, 2000).map(lambda value: str(Decimal(value) / 100))


@given(st.lists(st.one_of(numbers, near_numbers), min_size=2, max_size=20))
def test_encoded_numbers_sort_as_the_numbers_do(texts: list[str]) -> None:
    canonical = [normalise_number(text) for text in texts]

    assert sorted(canonical, key=encode_number) == sorted(canonical, key=Decimal)


@given(numbers)
def test_normalising_keeps_the_value_and_is_stable(text: str) -> None:
    canonical = normalise_number(text)

    assert Decimal(canonical) == Decimal(text)
    assert normalise_number(canonical) == canonical
    assert "E" not in canonical


@given(numbers)
def test_a_number_counts_its_encoded_bytes(text: str) -> None:
    canonical = normalise_number(text)

    # The closing byte of a negative number is left out where all twenty pairs are used; its sign counts all the same.
    assert number_size(canonical) - len(encode_number(canonical)) in {0, 1}


@given(st.integers(-(10**37), 10**37), st.integers(-(10**37), 10**37))
def test_sums_are_exact(left: int, right: int) -> None:
    assert int(add_numbers(str(left), str(right))) == left + right


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "cannot be converted to a numeric value"),
        ("abc", "cannot be converted to a numeric value: abc"),
        ("NaN", "cannot be converted to a numeric value: NaN"),
        ("1e126", "Number overflow"),
        ("1e-131", "Number underflow"),
        ("1" * 39, "more than 38 significant digits"),
        ("1_000", "cannot be converted"),
        ("\u0661", "cannot be converted"),
    ],
)
def test_a_number_out_of_range_is_refused(text: str, part: str) -> None:
    with pytest.raises(ServiceError, match=part):
        normalise_number(text)


@given(st.lists(st.binary(max_size=390), min_size=2, max_size=20))
def test_item_keys_sort_as_their_sort_keys(sorts: list[bytes]) -> None:
    assert sorted(sorts, key=lambda sort: item_key(PREFIX, sort)) == sorted(sorts)


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=20, unique=True))
def test_index_keys_sort_as_their_sort_keys_whatever_the_item(sorts: list[bytes]) -> None:
    def key(sort: bytes) -> bytes:
        return index_key(PREFIX, sort, bytes(255 - byte for byte in sort[:16].ljust(16, b"\xff")))

    assert sorted(sorts, key=key) == sorted(sorts)


@given(st.binary(max_size=1024), st.binary(max_size=1024))
def test_keys_of_any_sort_key_fit_lmdb_and_never_contradict_the_order(one: bytes, other: bytes) -> None:
    low, high = sorted((item_key(PREFIX, min(one, other)), item_key(PREFIX, max(one, other))))

    assert len(high) <= 511
    assert low[: 20 + 400] == item_key(PREFIX, min(one, other))[: 20 + 400] or one == other


@given(st.binary(min_size=401, max_size=1024))
def test_long_sort_keys_are_recognised_by_their_length(sort: bytes) -> None:
    assert is_long_key(item_key(PREFIX, sort))
    assert len(index_key(PREFIX, sort, b"h" * 16)) == LONG_KEY_BYTES


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_text_sorts_by_its_utf8_bytes(one: str, other: str) -> None:
    assert (scalar_bytes("S", one) < scalar_bytes("S", other)) == (one.encode() < other.encode())


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_an_escaped_sort_key_is_no_prefix_of_another(one: bytes, other: bytes) -> None:
    assert one == other or not escape(one).startswith(escape(other))


def test_the_key_after_a_prefix_is_above_all_that_start_with_it() -> None:
    assert after_prefix(b"a\xff") == b"b"
    assert after_prefix(b"\xff\xff") is None


def test_a_partition_key_that_is_an_index_sort_key_is_held_to_the_shorter_limit(dynamodb: Any) -> None:
    schema = [{"AttributeName": "SK", "KeyType": "HASH"}, {"AttributeName": "PK", "KeyType": "RANGE"}]
    index = {"IndexName": "turned", "KeySchema": schema, "Projection": {"ProjectionType": "KEYS_ONLY"}}
    dynamodb.create(GlobalSecondaryIndexes=[index])

    message = dynamodb.message("PutItem", TableName="tab", Item={"PK": {"S": "x" * 1025}, "SK": {"S": "s"}})

    assert "Aggregated size of all range keys has exceeded" in message
