"""How often something may happen in a second."""


class RateWindow:
    """Counts within the present second against a quota; None is no quota."""

    __slots__ = ("_count", "_second", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._second = 0
        self._count = 0

    def exceeds(self, now: float, count: int = 1) -> bool:
        """Count what happens at `now`, in seconds; true when that is more than the quota allows."""
        if self.limit is None:
            return False
        second = int(now)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += count
        return self._count > self.limit
