"""Latest state and items, by values."""

from streams.history import history_item
from streams.items import history_key, iso_time, registration
from streams.record import Scalar, Telemetry
from streams.state import Span, StoredState, newer_than, spans_of, state_update, stored_state


def telemetry(ts: int, seq: int, **readings: Scalar) -> Telemetry:
    return Telemetry("dev-1", ts, seq, dict(readings))


def test_history_is_keyed_by_the_payloads_own_day_and_order() -> None:
    assert history_key("dev-1", 1_732_492_799_999, 42) == ("DEV#dev-1#2024-11-24", "TS#1732492799999#0000000000000042")
    assert history_key("dev-1", 1_732_492_800_000, 0)[0] == "DEV#dev-1#2024-11-25"


def test_the_history_item_depends_on_the_payload_alone() -> None:
    item = history_item(telemetry(1000, 2, t=1.5, s="x"), "acme", 60)

    assert item["readings"] == {"M": {"t": {"N": "1.5"}, "s": {"S": "x"}}}
    assert item["ttl"] == {"N": "61"}
    assert item["tenantId"] == {"S": "acme"}


def test_only_what_is_newer_than_the_state_counts_in_the_devices_order_and_once() -> None:
    stored = StoredState("acme", ts=10, seq=5)

    fresh = newer_than(
        stored, [telemetry(12, 1), telemetry(10, 6), telemetry(10, 5), telemetry(9, 9), telemetry(12, 1)]
    )

    assert [record.order for record in fresh] == [(10, 6), (12, 1)]


def test_spans_sum_up_numbers_and_leave_out_everything_else() -> None:
    spans = spans_of([telemetry(1, 1, t=3, on=True, s="5"), telemetry(2, 2, t=-1.5), telemetry(3, 3, p=7)])

    assert spans == {"t": Span(-1.5, 3, 2), "p": Span(7, 7, 1)}


def test_the_state_of_one_message_carries_no_spans() -> None:
    request = state_update("table", "acme", [telemetry(1, 1, t=3)], {})

    assert request["ExpressionAttributeValues"][":spans"] == {"M": {}}
    assert request["ExpressionAttributeValues"][":event"] == {"S": "dev-1#1#1"}


def test_a_state_item_before_the_first_telemetry_is_older_than_everything() -> None:
    stored = stored_state({"tenantId": {"S": "acme"}, "version": {"N": "0"}})

    assert stored == StoredState("acme")
    assert newer_than(stored, [telemetry(0, 0)]) == [telemetry(0, 0)]


def test_registration_is_both_items_or_none_and_keeps_a_removed_devices_version() -> None:
    request = registration("table", "dev-1", "acme", now_ms=5, retention_s=60, site_id="north")
    put, update, change = request["TransactItems"]

    assert put["Put"]["Item"]["GSI1SK"] == {"S": "SITE#north#DEV#dev-1"}
    assert change["Put"]["Item"]["SK"] == {"S": "CHANGE#0000000000005#dev-1"}
    assert put["Put"]["ConditionExpression"] == "attribute_not_exists(PK)"
    assert "if_not_exists(#version, :none)" in update["Update"]["UpdateExpression"]
    removed = update["Update"]["UpdateExpression"].partition(" REMOVE ")[2].split(", ")
    assert {"removedAt", "readings", "alerting", "pending"} <= set(removed)


def test_times_have_three_digits_and_a_zone() -> None:
    assert iso_time(1_732_489_762_000) == "2024-11-24T23:09:22.000Z"
    assert iso_time(1_732_489_762_007) == "2024-11-24T23:09:22.007Z"
