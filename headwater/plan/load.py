"""The load a plan is made for: what devices send, and who watches."""

from dataclasses import dataclass

from headwater.errors import HeadwaterError

SECONDS_A_MONTH = 730 * 3600
MINUTES_A_MONTH = 730 * 60
_METERED_BYTES = 5 * 1024


class LoadError(HeadwaterError):
    """A number of the load makes no sense: the message names it, with the bounds."""


@dataclass(frozen=True, slots=True)
class Load:
    """A steady fleet, all of it connected all month.

    `rate_per_s` is of one device, `payload_bytes` of one message; `subscribers` are clients that each watch the share
    `watched` (0 to 1) of the devices. With `is_basic_ingest` devices publish to the rule, and messages are free.
    Raises: LoadError.
    """

    devices: int
    rate_per_s: float
    payload_bytes: int
    subscribers: int = 1
    watched: float = 0.05
    is_basic_ingest: bool = False

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("devices", self.devices, 1, 100_000_000),
            ("rate", self.rate_per_s, 0.000_001, 1_000_000),
            ("bytes", self.payload_bytes, 1, 10 * 1024 * 1024),
            ("subscribers", self.subscribers, 0, 100_000_000),
            ("watched", self.watched, 0, 1),
        ):
            # NaN is in no range.
            if not low <= value <= high:
                least = f"{low:.6f}" if 0 < low < 1 else f"{low}"
                raise LoadError(f"{name} is between {least} and {high:,}; found {value:,}")

    @property
    def messages_per_s(self) -> float:
        return self.devices * self.rate_per_s


def metered_units(size_bytes: float) -> int:
    """Count the 5 KB units of one IoT message, rule, action or AppSync update."""
    return max(1, -(-int(size_bytes) // _METERED_BYTES))
