"""Attribute values and items: the canonical form and the size, whatever way they are found."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.dynamodb.items.attributes import MAX_NAME_BYTES, item_size, normalise_item, normalise_value
from headwater.errors import ServiceError

NUMBERS = st.one_of(
    st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**20), max_value=10**20).map(str),
    st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", fullmatch=True),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
SCALARS = st.one_of(
    NUMBERS.map(lambda text: {"N": text}),
    TEXTS.map(lambda text: {"S": text}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: {"L": members}),
        st.dictionaries(NAMES, inner, max_size=3).map(lambda members: {"M": members}),
    ),
    max_leaves=8,
)


@given(NUMBERS)
@example("0")
@example("0.5")
@example("10.50")
@example("007")
@example("1234567890123456789.0123456789012345678")
@example("²")
def test_a_number_is_as_long_in_an_item_as_on_its_own(text: str) -> None:
    try:
        value, size = normalise_value({"N": text})
    except ServiceError as error:
        with pytest.raises(ServiceError, match=error.message.split(":")[0]):
            normalise_item({"a": {"N": text}})
        return

    item, item_bytes = normalise_item({"a": {"N": text}})

    assert (item, item_bytes) == ({"a": value}, size + 1)
    assert Decimal(item["a"]["N"]) == Decimal(text)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_the_size_of_an_item_is_that_of_its_canonical_form(given_item: dict[str, Any]) -> None:
    before = repr(given_item)

    item, size = normalise_item(given_item)

    assert size == item_size(item)
    assert normalise_item(item) == (item, size)
    assert list(item) == list(given_item)
    assert repr(given_item) == before


def test_many_names_may_be_longer_together_than_one_may_be() -> None:
    names = [f"{at}" + "n" * 30_000 for at in range(4)]

    item, size = normalise_item({name: {"S": ""} for name in names})

    assert size == sum(map(len, names))
    assert list(item) == names
    with pytest.raises(ServiceError, match="Attribute name is too large"):
        normalise_item({"n" * (MAX_NAME_BYTES + 1): {"S": ""}})
