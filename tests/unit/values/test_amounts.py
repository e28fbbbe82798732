"""Numbers of things as people read them."""

import pytest

from headwater.values.amounts import counted


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("shard",), "0 shards"),
        (1, ("shard",), "1 shard"),
        (1_000, ("shard",), "1,000 shards"),
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
    ],
)
def test_one_is_singular(number: int, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text
