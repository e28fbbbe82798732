"""Every form of a batch response, as AWS was recorded to read it."""

import pytest

from headwater.eventsource.responses import first_failed, read_response


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b'""', b"[]", b"{}", b'{"batchItemFailures":[]}', b'{"batchItemFailures":null}', b'{"foo":1}'],
)
def test_response_without_failures_is_success(payload: bytes) -> None:
    outcome = read_response(payload, {"1", "2"})

    assert not outcome.is_malformed
    assert outcome.failed == frozenset()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"batchItemFailures":[{"itemIdentifier":""}]}',
        b'{"batchItemFailures":[{"itemIdentifier":null}]}',
        b'{"batchItemFailures":[{"foo":"1"}]}',
        b'{"batchItemFailures":[{"foo":null}]}',
        b'{"batchItemFailures":[{}]}',
        b'{"batchItemFailures":["1"]}',
        b'{"batchItemFailures":[{"itemIdentifier":1}]}',
        b'{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":""}]}',
        b'{"batchItemFailures":[{"itemIdentifier":"unknown"}]}',
        b'{"batchItemFailures":{"itemIdentifier":"1"}}',
        b'"text"',
        b"17",
        b"{not json",
    ],
)
def test_malformed_response_fails_the_whole_batch(payload: bytes) -> None:
    assert read_response(payload, {"1", "2"}).is_malformed


def test_reported_records_are_the_failed_ones() -> None:
    payload = b'{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"1"},{"itemIdentifier":"2"}]}'

    assert read_response(payload, {"1", "2", "3"}).failed == {"1", "2"}


def test_lowest_reported_sequence_number_is_where_the_retry_starts() -> None:
    assert first_failed(["1", "2", "3", "4"], {"4", "3"}) == 2
    assert first_failed(["1", "2"], set()) is None


def test_state_of_a_tumbling_window_is_kept_apart_from_its_absence() -> None:
    assert read_response(b'{"state":null}', ()).has_state
    assert not read_response(b"{}", ()).has_state
