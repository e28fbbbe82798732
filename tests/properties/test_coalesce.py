"""Fan-out's coalescing, whatever batches messages fall into."""

from hypothesis import given
from hypothesis import strategies as st

from streams.coalesce import publishes
from streams.state import StoredState, newer_than
from tests.streams.test_coalesce import change, state, telemetry


@given(
    st.lists(
        st.lists(st.lists(st.integers(-100, 100), min_size=1, max_size=4), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_no_threshold_crossing_is_missed_however_messages_fall_into_batches(batches: list[list[list[int]]]) -> None:
    # fan-out batches of ingestion batches of readings
    seq, version, published = 0, 0, []
    for fanout_batch in batches:
        changes = []
        for ingestion_batch in fanout_batch:
            records = [telemetry(seq + place + 1, temperature=value) for place, value in enumerate(ingestion_batch)]
            seq += len(records)
            version += 1
            changes.append(change(state(version, *newer_than(StoredState("acme"), records))))
        published += publishes(changes)

    spans = [publish.input["spans"]["temperature"] for publish in published]
    values = [value for fanout_batch in batches for ingestion_batch in fanout_batch for value in ingestion_batch]
    assert sum(span["count"] for span in spans) == len(values)
    for threshold in range(-101, 102, 7):
        assert any(span["max"] > threshold for span in spans) == any(value > threshold for value in values)
        assert any(span["min"] < threshold for span in spans) == any(value < threshold for value in values)
    assert [publish.input["version"] for publish in published] == sorted({p.input["version"] for p in published})
