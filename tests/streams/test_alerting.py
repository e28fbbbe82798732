"""Alert decisions, reading by reading."""

from typing import Any

import pytest

from streams.alerting import AlertOpened, AlertResolved, AlertRule, alert_rule, decide, opening_put
from streams.record import Telemetry

HOT = AlertRule("hot", "too hot", "temperature", "ABOVE", 80, "CRITICAL")


def run(*values: Any, rule: AlertRule = HOT, alerting: dict[str, str] | None = None, site_id: str | None = None) -> Any:
    fresh = [Telemetry("dev-1", 100 + n, n, {"temperature": value}) for n, value in enumerate(values)]
    return decide([rule], fresh, alerting or {}, site_id=site_id)


def test_crossing_opens_one_alert_however_long_it_lasts() -> None:
    decision = run(79, 81, 95, 82)

    assert decision.changes == (AlertOpened("0000000000101-1-hot", HOT, "dev-1", 101, 81),)
    assert decision.alerting == {"hot": "0000000000101-1-hot"}


def test_a_peak_inside_a_batch_opens_and_resolves() -> None:
    decision = run(79, 81, 70)

    assert [type(change) for change in decision.changes] == [AlertOpened, AlertResolved]
    assert decision.alerting == {}


def test_an_alert_from_an_earlier_batch_is_resolved_by_its_id() -> None:
    decision = run(90, 80, alerting={"hot": "earlier"})

    assert decision.changes == (AlertResolved("earlier", "dev-1", 101),)


@pytest.mark.parametrize("value", [80, "90", True, None])
def test_the_threshold_itself_and_what_is_no_number_breach_nothing(value: Any) -> None:
    assert run(value).changes == ()


def test_a_message_without_the_reading_changes_nothing() -> None:
    decision = decide([HOT], [Telemetry("dev-1", 1, 1, {"humidity": 1})], {"hot": "open"}, site_id=None)

    assert (decision.changes, decision.alerting) == ((), {"hot": "open"})


def test_below_is_the_other_direction() -> None:
    cold = AlertRule("cold", "too cold", "temperature", "BELOW", 5, "WARNING")

    assert len(run(6, 4.9, rule=cold).changes) == 1


@pytest.mark.parametrize(
    ("rule_device", "rule_site", "is_covered"),
    [(None, None, True), ("dev-1", None, True), ("dev-2", None, False), (None, "north", True), (None, "south", False)],
)
def test_a_rule_covers_its_device_or_site(rule_device: str | None, rule_site: str | None, is_covered: bool) -> None:
    rule = AlertRule("r", "r", "temperature", "ABOVE", 80, "INFO", device_id=rule_device, site_id=rule_site)

    assert bool(run(81, rule=rule, site_id="north").changes) is is_covered


def test_a_rule_that_is_gone_leaves_the_device() -> None:
    decision = decide([], [Telemetry("dev-1", 1, 1, {"temperature": 1})], {"old": "alert"}, site_id=None)

    assert decision.alerting == {}


@pytest.mark.parametrize(
    ("comparison", "values"), [("ABOVE", (81, 79, 81, 75.5, 75)), ("BELOW", (79, 81, 79, 84.5, 85))]
)
def test_an_alert_is_over_when_the_reading_is_back_by_the_hysteresis(comparison: Any, values: Any) -> None:
    rule = AlertRule("hot", "too hot", "temperature", comparison, 80, "CRITICAL", hysteresis=5)

    assert [type(change) for change in run(*values[:-1], rule=rule).changes] == [AlertOpened]
    assert [type(change) for change in run(*values, rule=rule).changes] == [AlertOpened, AlertResolved]


def test_a_rule_item_without_device_and_site_covers_the_tenant() -> None:
    item = {
        "ruleId": {"S": "hot"},
        "name": {"S": "too hot"},
        "reading": {"S": "temperature"},
        "comparison": {"S": "ABOVE"},
        "threshold": {"N": "80"},
        "severity": {"S": "CRITICAL"},
        "siteId": {"NULL": True},
    }

    assert alert_rule(item) == HOT


def test_an_open_alert_stands_in_the_tenants_index() -> None:
    (opened,) = run(81).changes

    put = opening_put("table", opened, "acme", site_id="north", retention_s=60)

    assert put["Item"]["GSI2PK"] == {"S": "TENANT#acme#OPEN"}
    assert put["Item"]["siteId"] == {"S": "north"}
    assert put["ConditionExpression"] == "attribute_not_exists(PK)"


SLOW = AlertRule("slow", "hot for long", "temperature", "ABOVE", 80, "WARNING", duration_s=10)


def at(*seconds_and_values: tuple[int, float]) -> list[Telemetry]:
    return [Telemetry("dev-1", 1000 * second, second, {"temperature": value}) for second, value in seconds_and_values]


def test_a_duration_is_waited_for_by_the_devices_clock() -> None:
    decision = decide([SLOW], at((1, 90), (6, 90), (11, 95), (12, 96)), {}, site_id=None)

    assert decision.changes == (AlertOpened("0000000011000-11-slow", SLOW, "dev-1", 11_000, 95),)
    assert (decision.alerting, decision.pending) == ({"slow": "0000000011000-11-slow"}, {})


def test_a_reading_within_the_threshold_begins_the_duration_again() -> None:
    decision = decide([SLOW], at((1, 90), (6, 80), (11, 90), (20, 90)), {}, site_id=None)

    assert (decision.changes, decision.pending) == ((), {"slow": 11_000})


def test_a_duration_goes_on_over_batches_and_ends_with_its_rule() -> None:
    first = decide([SLOW], at((1, 90)), {}, site_id=None)

    second = decide([SLOW], at((11, 91)), first.alerting, site_id=None, pending=first.pending)
    without_rule = decide([], at((11, 91)), first.alerting, site_id=None, pending=first.pending)

    assert first.pending == {"slow": 1000}
    assert [type(change) for change in second.changes] == [AlertOpened]
    assert (without_rule.changes, without_rule.pending) == ((), {})


@pytest.mark.parametrize("cuts", [(1,), (2, 4), (1, 2, 3, 4, 5)])
def test_batches_decide_as_one_run_would(cuts: tuple[int, ...]) -> None:
    readings = at((1, 90), (6, 90), (12, 95), (13, 70), (14, 90), (25, 85))
    whole = decide([HOT, SLOW], readings, {}, site_id=None)
    alerting: dict[str, str] = {}
    pending: dict[str, int] = {}
    changes: list[Any] = []

    for start, end in zip((0, *cuts), (*cuts, len(readings)), strict=True):
        part = decide([HOT, SLOW], readings[start:end], alerting, site_id=None, pending=pending)
        alerting, pending = part.alerting, part.pending
        changes += part.changes

    assert sorted(map(str, changes)) == sorted(map(str, whole.changes))
    assert (alerting, pending) == (whole.alerting, whole.pending)
