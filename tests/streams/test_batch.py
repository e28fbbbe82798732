"""The ordered, fail-fast batch rules."""

from streams.batch import Entry, by_key, response, through_first_failure


def entries(*keys: str) -> list[Entry[int]]:
    return [Entry(place, str(100 + place), key, place) for place, key in enumerate(keys)]


def test_the_first_failed_record_of_the_batch_is_reported() -> None:
    failed = [entry for entry in entries("a", "b", "a", "b") if entry.position in (3, 1)]

    assert response(reversed(failed)) == {"batchItemFailures": [{"itemIdentifier": "101"}]}


def test_a_success_reports_an_empty_list() -> None:
    assert response([]) == {"batchItemFailures": []}


def test_groups_keep_the_batchs_order() -> None:
    groups = by_key(entries("b", "a", "b"))

    assert list(groups) == ["b", "a"]
    assert [entry.position for entry in groups["b"]] == [0, 2]


def test_what_comes_before_a_failure_is_kept() -> None:
    assert [e.position for e in through_first_failure(entries("a", "a", "a"), frozenset({1}))] == [0]
