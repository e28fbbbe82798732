"""How far a shard is done: the position that a checkpoint may name."""

from collections import deque


class ShardProgress:
    """Records end in any order across lanes; the position is the last one before the first unfinished."""

    def __init__(self, position: str | None) -> None:
        self.position = position
        self._open: deque[str] = deque()
        self._done: set[str] = set()

    @property
    def outstanding(self) -> int:
        return len(self._open)

    def began(self, sequence_number: str) -> None:
        """Records begin in the shard's order."""
        self._open.append(sequence_number)

    def ended(self, sequence_number: str) -> None:
        self._done.add(sequence_number)
        while self._open and self._open[0] in self._done:
            self.position = self._open.popleft()
            self._done.discard(self.position)
