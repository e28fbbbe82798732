"""An event source mapping of a stream: finds its shards, parents before children, and runs each of them."""

import asyncio
import logging
import random
import time
from collections.abc import Callable

from headwater.errors import ServiceError
from headwater.eventsource.config import Backoff, StreamMappingConfig, exponential_backoff
from headwater.eventsource.counts import MappingCounts
from headwater.eventsource.filters import stream_filter
from headwater.eventsource.ports import Checkpoints, Invoke, OnFailure, RecordSource
from headwater.eventsource.stream.checkpoints import Checkpoint
from headwater.eventsource.stream.shard_runner import ShardPorts, ShardRunner
from headwater.values.records import SourceShard

_LOGGER = logging.getLogger(__name__)
# The key beside the shards' that says the starting position has been applied.
_STARTED = "*"
_DISCOVERY_S = 1.0


class StreamMapping:
    """One mapping of a Kinesis or DynamoDB stream to a function.

    `start` and `stop` may alternate (enable, disable): positions are kept in `checkpoints`.
    Raises, when made: EventPatternError for filters that are no patterns.
    """

    def __init__(
        self,
        config: StreamMappingConfig,
        source: RecordSource,
        invoke: Invoke,
        checkpoints: Checkpoints,
        on_failure: OnFailure | None = None,
        *,
        clock: Callable[[], float] = time.time,
        backoff: Backoff | None = None,
        counts: MappingCounts | None = None,
    ) -> None:
        self.config = config
        self.counts = counts or MappingCounts()
        self._source = source
        self._checkpoints = checkpoints
        self._ports = ShardPorts(
            source=source,
            invoke=invoke,
            checkpoints=checkpoints,
            on_failure=on_failure,
            clock=clock,
            backoff=backoff or exponential_backoff(random.random),
            passes=stream_filter(source.kind, config.filters),
            counts=self.counts,
        )
        self._positions: dict[str, Checkpoint] = {}
        self._runners: dict[str, ShardRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unlisten: Callable[[], None] | None = None
        self._discovered_at = 0.0
        self._discovery: asyncio.TimerHandle | None = None
        self._is_running = False

    @property
    def is_running(self) -> bool:
        return self._is_running

    async def start(self) -> None:
        """Apply the starting position if this is the first start, then follow the stream."""
        if self._is_running:
            return
        self._is_running = True
        loaded = self._checkpoints.load(self.config.mapping_id)
        self._positions = {shard: Checkpoint.decode(text) for shard, text in loaded.items() if shard != _STARTED}
        if _STARTED not in loaded:
            await self._apply_starting_position()
        self._unlisten = self._source.listen(self._woken)
        self._discover()

    async def stop(self) -> None:
        """Drain: running invocations end, their checkpoints are saved; nothing more is read."""
        self._is_running = False
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        if self._discovery is not None:
            self._discovery.cancel()
            self._discovery = None
        for runner in self._runners.values():
            runner.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._runners.clear()
        self._tasks.clear()

    async def _apply_starting_position(self) -> None:
        for shard in self._source.shards():
            position = self._starting_checkpoint(shard)
            self._positions[shard.shard_id] = position
            await self._checkpoints.save(self.config.mapping_id, shard.shard_id, position.encode())
        await self._checkpoints.save(self.config.mapping_id, _STARTED, self.config.starting_position)

    def _starting_checkpoint(self, shard: SourceShard) -> Checkpoint:
        """Where a shard that exists at the first start begins; later shards begin at their trim horizon."""
        if self.config.starting_position == "TRIM_HORIZON":
            return Checkpoint()
        if self.config.starting_position == "AT_TIMESTAMP":
            return Checkpoint(self._source.at_timestamp(shard.shard_id, self.config.starting_timestamp_s))
        if shard.is_closed:
            return Checkpoint(is_ended=True)
        return Checkpoint(self._source.latest(shard.shard_id))

    def _woken(self) -> None:
        for runner in self._runners.values():
            runner.wake()
        # Listing shards costs more than reading one, and commits come by the thousand.
        if self._discovery is None:
            elapsed_s = asyncio.get_running_loop().time() - self._discovered_at
            delay_s = max(0.0, _DISCOVERY_S - elapsed_s)
            self._discovery = asyncio.get_running_loop().call_later(delay_s, self._discover)

    def _discover(self) -> None:
        """Start shards whose parents are drained, and tell runners which shards are closed."""
        self._discovery = None
        if not self._is_running:
            return
        self._discovered_at = asyncio.get_running_loop().time()
        try:
            shards = self._source.shards()
        except ServiceError as error:
            self.counts.last_result = f"PROBLEM: {error.message}"
            return
        present = {shard.shard_id for shard in shards}
        for shard in shards:
            runner = self._runners.get(shard.shard_id)
            if runner is not None:
                if shard.is_closed and not runner.is_closed:
                    runner.is_closed = True
                    runner.wake()
                continue
            if self._position(shard.shard_id).is_ended:
                continue
            # A parent that has expired from the list has nothing left to drain.
            if all(parent not in present or self._position(parent).is_ended for parent in shard.parent_ids):
                self._run(shard)

    def _position(self, shard_id: str) -> Checkpoint:
        return self._positions.get(shard_id, Checkpoint())

    def _run(self, shard: SourceShard) -> None:
        runner = ShardRunner(self.config, self._ports, shard.shard_id, self._position(shard.shard_id))
        runner.is_closed = shard.is_closed
        self._runners[shard.shard_id] = runner
        self._tasks[shard.shard_id] = asyncio.get_running_loop().create_task(self._follow(runner))

    async def _follow(self, runner: ShardRunner) -> None:
        is_ended = False
        try:
            is_ended = await runner.run()
        except Exception:  # the boundary of a shard: it is started again from its checkpoint
            _LOGGER.exception("event source mapping %s: shard %s", self.config.mapping_id, runner.shard_id)
            self.counts.last_result = "PROBLEM: internal error"
        if not self._is_running:
            return
        self._positions[runner.shard_id] = Checkpoint(is_ended=True) if is_ended else runner.saved
        self._runners.pop(runner.shard_id, None)
        self._tasks.pop(runner.shard_id, None)
        if is_ended:
            self._discover()
        elif self._discovery is None:
            self._discovery = asyncio.get_running_loop().call_later(_DISCOVERY_S, self._discover)
