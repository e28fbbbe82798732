"""Rates and counts of one connection, held against what AWS IoT Core allows."""

from collections.abc import Callable

from headwater.mqtt.profile import Quotas


class QuotaWatch:
    """Counts a connection's traffic by the second; `on_exceeded` hears of each quota once.

    With `enforces` a publish over a rate is refused: AWS drops it at QoS 0 and does not acknowledge it at QoS 1.
    """

    __slots__ = (
        "_bytes",
        "_delivered",
        "_delivery_second_ends",
        "_enforces",
        "_exceeded",
        "_on_exceeded",
        "_publishes",
        "_quotas",
        "_second_ends",
    )

    def __init__(self, quotas: Quotas, on_exceeded: Callable[[str], None], *, enforces: bool) -> None:
        self._quotas = quotas
        self._on_exceeded = on_exceeded
        self._enforces = enforces
        self._exceeded: tuple[str, ...] = ()
        self._second_ends = 0.0
        self._publishes = 0
        self._bytes = 0
        self._delivery_second_ends = 0.0
        self._delivered = 0

    def count_bytes(self, size: int, now: float) -> None:
        if now >= self._second_ends:
            self._second_ends = now + 1.0
            self._publishes = 0
            self._bytes = 0
        self._bytes += size
        limit = self._quotas.bytes_per_s
        if limit is not None and self._bytes > limit:
            self.exceed("bytes_per_s")

    def count_delivery(self, now: float) -> None:
        """A publish went out to the client. Only observed: what AWS does above the rate depends on its QoS."""
        limit = self._quotas.deliveries_per_s
        if limit is None:
            return
        if now >= self._delivery_second_ends:
            self._delivery_second_ends = now + 1.0
            self._delivered = 0
        self._delivered += 1
        if self._delivered > limit:
            self.exceed("deliveries_per_s")

    def allows_publish(self) -> bool:
        """Count a publish; whether it may pass."""
        quotas = self._quotas
        limit = quotas.publishes_per_s
        if limit is None:
            return True
        self._publishes += 1
        is_over = self._publishes > limit
        if is_over:
            self.exceed("publishes_per_s")
        if not self._enforces:
            return True
        return not is_over and (quotas.bytes_per_s is None or self._bytes <= quotas.bytes_per_s)

    def allows_subscription(self, existing: int) -> bool:
        """Whether a session with `existing` subscriptions may have one more."""
        limit = self._quotas.subscriptions
        if limit is None or existing < limit:
            return True
        self.exceed("subscriptions")
        return not self._enforces

    def exceed(self, name: str) -> None:
        if name not in self._exceeded:
            self._exceeded = (*self._exceeded, name)
            self._on_exceeded(name)
