"""Targets that could not take their input now: tried again as their retry policy says, then given to the dead letters.

What waits for another try is kept in the store, so that it survives the end of the process.
Source: EventBridge User Guide, "How EventBridge retries delivering events" and "Using dead-letter queues"; Scheduler
User Guide, "Configuring a dead-letter queue".
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from headwater.deploy.events.schedule_times import invalid
from headwater.errors import HeadwaterError, ServiceError
from headwater.eventsource.config import Backoff, exponential_backoff
from headwater.storage.store import Store
from headwater.values.transaction import ReadTransaction

_log = logging.getLogger(__name__)
# Beyond so many that wait, an input goes to the dead letters at once: they are held in memory.
_MAX_WAITING = 10_000
_ATTEMPT = "<aws.scheduler.attempt-number>"
_LIMITS = {"MaximumEventAgeInSeconds": (60, 86_400), "MaximumRetryAttempts": (0, 185)}
# Refusals that another try may not meet. A target that is not there, or may not be reached, is not tried again.
_PASSING = frozenset(
    """TooManyRequestsException ThrottlingException ProvisionedThroughputExceededException RequestThrottled
    LimitExceededException ServiceUnavailableException InternalFailure InternalErrorException""".split()
)


def check_retry_policy(given: Any, member: str) -> None:
    """Raises: ServiceError ValidationException."""
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise invalid(f"{member} is {given!r}, expected an object")
    for name, value in given.items():
        if name not in _LIMITS:
            raise invalid(f"{member}.{name}: not supported here")
        least, most = _LIMITS[name]
        # A template's numbers may be text.
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise invalid(f"{member}.{name} is {value!r}, expected {least} to {most}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """An input on its way to a target; `target` is the API's JSON, `attributes` tell the dead-letter queue whose it is.

    `attempts` counts the tries so far, `since_s` is when the first was due. With `numbers_attempts` the text may name
    the number of its attempt, as a schedule's input does.
    """

    target: Mapping[str, Any]
    text: str
    partition_key: str
    attributes: Mapping[str, str]
    since_s: float
    attempts: int = 0
    numbers_attempts: bool = False

    @property
    def input(self) -> str:
        """What the target is given at this attempt."""
        return self.text.replace(_ATTEMPT, str(self.attempts)) if self.numbers_attempts else self.text

    @property
    def maximum_retries(self) -> int:
        return int((self.target.get("RetryPolicy") or {}).get("MaximumRetryAttempts", 185))

    @property
    def expires_s(self) -> float:
        return self.since_s + float((self.target.get("RetryPolicy") or {}).get("MaximumEventAgeInSeconds", 86_400))


Attempt = Callable[[Delivery], Awaitable[None]]
DeadLetter = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


class Retries:
    """Hands inputs over; `attempt` raises a HeadwaterError for what a target does not take.

    `dead_letter(queue ARN, text, attributes)` keeps what no target took. `database` names the store's table for what
    waits; without a store it is lost with the process.
    """

    def __init__(
        self,
        attempt: Attempt,
        dead_letter: DeadLetter | None,
        *,
        clock: Callable[[], float],
        store: Store | None = None,
        database: str = "",
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._attempt = attempt
        self._dead_letter = dead_letter
        self._clock = clock
        self._store = store
        self._database = database
        self._backoff = backoff or exponential_backoff(random.random, first_s=1.0, last_s=300.0)
        self._sleep = sleep
        self._waiting: set[asyncio.Task[None]] = set()

    async def hand_over(self, delivery: Delivery) -> None:
        """Try once; what may be tried again waits on its own, so that nothing else is held up."""
        tried, error = await self._try(delivery)
        if error is None:
            return
        condition = self._exhausted(tried, error)
        if condition is None and len(self._waiting) >= _MAX_WAITING:
            _log.error("more than %d inputs wait for their targets", _MAX_WAITING)
            condition = ""
        if condition is not None:
            await self._give_up(tried, error, condition)
            return
        key = uuid.uuid4().bytes
        await self._keep(key, tried)
        self._begin(key, tried)

    def resume(self) -> int:
        """Go on with what an earlier process left waiting; gives its number."""
        if self._store is None or self._waiting:
            return 0

        def read(transaction: ReadTransaction) -> list[tuple[bytes, bytes]]:
            return list(transaction.scan(self._database))

        kept = self._store.read(read)
        for key, text in kept:
            self._begin(key, Delivery(**orjson.loads(text)))
        return len(kept)

    async def close(self) -> None:
        """Stop what waits; the store keeps it."""
        for task in list(self._waiting):
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._waiting.clear()

    # Parts

    def _begin(self, key: bytes, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._retry(key, delivery))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _retry(self, key: bytes, delivery: Delivery) -> None:
        error: HeadwaterError | None = None
        condition: str | None = None
        while condition is None:
            await self._sleep(self._backoff(max(1, delivery.attempts)))
            delivery, error = await self._try(delivery)
            if error is None:
                break
            condition = self._exhausted(delivery, error)
            if condition is None:
                await self._keep(key, delivery)
        if error is not None and condition is not None:
            await self._give_up(delivery, error, condition)
        if self._store is not None:
            await self._store.write(lambda transaction: transaction.delete(self._database, key))

    async def _try(self, delivery: Delivery) -> tuple[Delivery, HeadwaterError | None]:
        tried = replace(delivery, attempts=delivery.attempts + 1)
        try:
            await self._attempt(tried)
        except HeadwaterError as error:
            return tried, error
        return tried, None

    def _exhausted(self, tried: Delivery, error: HeadwaterError) -> str | None:
        """The limit that forbids another try, an empty text for a refusal that stays, None if there is another."""
        if not isinstance(error, ServiceError) or not (error.code in _PASSING or error.status >= 500):
            return ""
        if tried.attempts > tried.maximum_retries:
            return "MaximumRetryAttempts"
        if self._clock() >= tried.expires_s:
            return "MaximumEventAgeInSeconds"
        return None

    async def _keep(self, key: bytes, delivery: Delivery) -> None:
        if self._store is not None:
            text = orjson.dumps(asdict(delivery))
            await self._store.write(lambda transaction: transaction.put(self._database, key, text))

    async def _give_up(self, tried: Delivery, error: HeadwaterError, condition: str) -> None:
        sender, arn = next(iter(tried.attributes.values()), ""), str(tried.target["Arn"])
        queue_arn = (tried.target.get("DeadLetterConfig") or {}).get("Arn")
        if queue_arn is None or self._dead_letter is None:
            _log.error("%s could not reach %s, the event is lost: %s", sender, arn, error)
            return
        attributes = {
            **tried.attributes,
            "TARGET_ARN": arn,
            "ERROR_CODE": error.code if isinstance(error, ServiceError) else "SDK_CLIENT_ERROR",
            "ERROR_MESSAGE": str(error)[:1024],
            "RETRY_ATTEMPTS": str(tried.attempts - 1),
        }
        if condition:
            attributes["EXHAUSTED_RETRY_CONDITION"] = condition
        texts = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        try:
            await self._dead_letter(str(queue_arn), tried.input, texts)
        except HeadwaterError as fault:
            _log.error("%s: its dead-letter queue did not take the event: %s", sender, fault)
