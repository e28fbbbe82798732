"""What one device does, from a seed: when it publishes what, and when its network goes and comes back."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

# Ingestion takes telemetry of at most this much after its arrival; above it is a dead letter.
AHEAD_LIMIT_S = 300
BURST = 10
DUPLICATE_SHARE = 0.25
DISORDER_WINDOW = 6
ONLINE_S, OFFLINE_S = 5.0, 2.0
MAX_SKEW_S = 600


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a device does, `at_s` after the start. `clock_s` is what its clock says then, for a publish."""

    at_s: float
    kind: Literal["publish", "drop", "connect"]
    clock_s: float = 0.0
    seq: int = 0

    def payload(self, start_ms: int) -> dict[str, Any]:
        """The telemetry of a publish; equal actions make equal payloads."""
        wave = random.Random(self.seq)
        return {
            "ts": start_ms + round(self.clock_s * 1000),
            "seq": self.seq,
            "temperature": round(wave.uniform(15, 85), 1),
            "humidity": round(wave.uniform(20, 90), 1),
            "battery": round(100 - self.seq % 1000 / 10, 1),
            "status": "ok",
        }

    @property
    def is_ahead(self) -> bool:
        """Whether its clock is so far ahead that ingestion refuses it."""
        return self.kind == "publish" and self.clock_s - self.at_s > AHEAD_LIMIT_S


def _steady(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """Evenly, with a phase of its own."""
    phase = source.random()
    for seq in range(int(rate_per_s * seconds)):
        at_s = (seq + phase) / rate_per_s
        yield Action(at_s, "publish", at_s, seq + 1)


def _bursty(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """The same in total, but silent until ten are there: sent at once, each with the time it was taken."""
    taken = list(_steady(rate_per_s, seconds, source))
    for start in range(0, len(taken), BURST):
        together = taken[start : start + BURST]
        yield from (replace(action, at_s=together[-1].at_s) for action in together)


def _flapping(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """The connection goes without a word and comes back; what is taken meanwhile is sent then (QoS 1)."""
    yield from _steady(rate_per_s, seconds, source)
    at_s = source.uniform(0, ONLINE_S)
    while at_s < seconds:
        yield Action(at_s, "drop")
        at_s += source.uniform(0.5, 1.5) * OFFLINE_S
        # A device is connected at the end, or nothing would be left to wait for.
        yield Action(min(at_s, seconds), "connect")
        at_s += source.uniform(0.5, 1.5) * ONLINE_S


def _skewed(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """A clock that is wrong by up to ten minutes, either way, and drifts."""
    skew_s, drift = source.uniform(-MAX_SKEW_S, MAX_SKEW_S), source.uniform(-0.01, 0.01)
    for action in _steady(rate_per_s, seconds, source):
        yield replace(action, clock_s=action.clock_s * (1 + drift) + skew_s)


def _duplicates(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """A quarter is sent again, at once or seconds later, with the payload it had."""
    for action in _steady(rate_per_s, seconds, source):
        yield action
        if source.random() < DUPLICATE_SHARE:
            yield replace(action, at_s=min(seconds, action.at_s + source.choice((0.0, 0.1, 3.0))))


def _disorder(rate_per_s: float, seconds: float, source: random.Random) -> Iterator[Action]:
    """Neighbours arrive in another order than they were taken."""
    taken = list(_steady(rate_per_s, seconds, source))
    for start in range(0, len(taken), DISORDER_WINDOW):
        together = taken[start : start + DISORDER_WINDOW]
        times = [action.at_s for action in together]
        source.shuffle(together)
        yield from (replace(action, at_s=max(times)) for action in together)


Profile = Callable[[float, float, random.Random], Iterator[Action]]
PROFILES: dict[str, Profile] = {
    "steady": _steady,
    "bursty": _bursty,
    "flapping": _flapping,
    "skewed": _skewed,
    "duplicates": _duplicates,
    "disorder": _disorder,
}


def schedule(profile: str, *, device: int, rate_per_s: float, seconds: float, seed: int) -> list[Action]:
    """Everything one device does, in the order of time; actions of one moment stay in the order they were made.

    The same arguments give the same actions. `mixed` gives device n the n-th profile. Raises: ValueError.
    """
    if rate_per_s <= 0 or seconds <= 0:
        raise ValueError(f"rate and seconds are above 0; found {rate_per_s!r} and {seconds!r}")
    names = list(PROFILES)
    name = names[device % len(names)] if profile == "mixed" else profile
    if name not in PROFILES:
        raise ValueError(f"{name!r} is no profile; there are {', '.join(names)} and mixed")
    source = random.Random(f"{seed}/{device}")
    return sorted(PROFILES[name](rate_per_s, seconds, source), key=lambda action: action.at_s)
