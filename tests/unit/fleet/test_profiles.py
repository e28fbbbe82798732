"""What simulated devices do, by their schedules."""

from collections import Counter

import pytest

from bench.fleet.profiles import AHEAD_LIMIT_S, BURST, PROFILES, Action, schedule

RATE, SECONDS = 5.0, 60.0


def of(profile: str, device: int = 0, seed: int = 1) -> list[Action]:
    return schedule(profile, device=device, rate_per_s=RATE, seconds=SECONDS, seed=seed)


def publishes(actions: list[Action]) -> list[Action]:
    return [action for action in actions if action.kind == "publish"]


@pytest.mark.parametrize("profile", [*PROFILES, "mixed"])
def test_a_seed_makes_the_same_schedule_and_every_reading_is_sent(profile: str) -> None:
    for device in range(6):
        actions = of(profile, device)

        assert actions == of(profile, device)
        assert {action.seq for action in publishes(actions)} == set(range(1, int(RATE * SECONDS) + 1))
        assert all(0 <= action.at_s <= SECONDS for action in actions)
        assert [action.at_s for action in actions] == sorted(action.at_s for action in actions)


def test_another_seed_or_device_is_another_schedule() -> None:
    assert of("steady") != of("steady", seed=2)
    assert of("steady") != of("steady", device=1)


def test_steady_devices_send_in_order_with_a_right_clock() -> None:
    sent = publishes(of("steady"))

    assert [action.seq for action in sent] == list(range(1, 301))
    assert all(action.at_s == action.clock_s for action in sent)


def test_bursts_come_ten_at_once_with_the_times_the_readings_were_taken() -> None:
    sent = publishes(of("bursty"))

    assert set(Counter(action.at_s for action in sent).values()) == {BURST}
    assert [action.seq for action in sent] == list(range(1, 301))
    assert len({action.clock_s for action in sent}) == len(sent)


def test_a_flapping_device_goes_and_comes_back_and_ends_connected() -> None:
    changes = [action.kind for action in of("flapping") if action.kind != "publish"]

    assert len(changes) >= 6
    assert changes == ["drop", "connect"] * (len(changes) // 2)


def test_clocks_are_wrong_either_way_and_some_beyond_what_ingestion_takes() -> None:
    skews = [publishes(of("skewed", device))[0] for device in range(20)]

    assert any(action.clock_s - action.at_s > AHEAD_LIMIT_S and action.is_ahead for action in skews)
    assert any(action.clock_s - action.at_s < -AHEAD_LIMIT_S and not action.is_ahead for action in skews)


def test_duplicates_are_the_same_payload_again() -> None:
    sent = publishes(of("duplicates"))
    by_seq: dict[int, set[str]] = {}
    for action in sent:
        by_seq.setdefault(action.seq, set()).add(str(action.payload(0)))

    assert len(sent) > 320
    assert all(len(payloads) == 1 for payloads in by_seq.values())


def test_disorder_sends_later_readings_before_earlier_ones() -> None:
    seqs = [action.seq for action in publishes(of("disorder"))]

    assert seqs != sorted(seqs)
    assert all(abs(seq - place) < 6 for place, seq in enumerate(seqs, 1))


@pytest.mark.parametrize(("profile", "rate"), [("quiet", 1.0), ("steady", 0.0), ("steady", -1.0)])
def test_what_is_no_profile_or_rate_is_refused(profile: str, rate: float) -> None:
    with pytest.raises(ValueError, match=r"profile|above 0"):
        schedule(profile, device=0, rate_per_s=rate, seconds=1, seed=0)
