"""What one publish may cause by republish actions, so that rules that form a loop come to an end.

IoT Core documents no limit, and bills such a loop until somebody stops it. Here a chain is ended after ten steps, and
all that comes of one publish after a thousand: ten steps alone would let two actions make a thousand messages, and ten
actions ten thousand million.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from headwater.errors import ServiceError

_log = logging.getLogger(__name__)
MAXIMUM_STEPS: Final = 10
MAXIMUM_REPUBLISHED: Final = 1000


class RepublishLoopError(ServiceError):
    """A republish action is not carried out, because too many led to it or came of the same publish."""

    def __init__(self, message: str) -> None:
        super().__init__("RepublishLoopException", f"{message}: rules form a loop")


@dataclass(slots=True, eq=False)
class _Origin:
    """A publish that no republish action made, and how many messages have come of it."""

    topic: str
    republished: int = 0
    is_told: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Lineage:
    """Where a publish comes from; `rules` are those whose republish actions led to it, the first one first."""

    origin: _Origin
    rules: tuple[str, ...] = ()

    def step(self, rule: str) -> "Lineage":
        """The lineage of what a rule republishes of this publish; counts it.

        Raises: RepublishLoopError where there were too many. The first one of an origin is logged with the rules.
        """
        origin = self.origin
        if len(self.rules) >= MAXIMUM_STEPS:
            raise self._refusal(rule, f"{len(self.rules)} republish actions led to this one")
        if origin.republished >= MAXIMUM_REPUBLISHED:
            raise self._refusal(rule, f"{origin.republished} messages were republished of one to {origin.topic}")
        origin.republished += 1
        return Lineage(origin, (*self.rules, rule))

    def _refusal(self, rule: str, why: str) -> RepublishLoopError:
        if not self.origin.is_told:
            self.origin.is_told = True
            names = ", ".join(sorted({*self.rules, rule}))
            _log.warning(
                "a publish to %s is republished no further: %s by the topic rules %s, which form a loop. "
                "IoT Core would not end it",
                self.origin.topic,
                why,
                names,
            )
        return RepublishLoopError(why)


# What is published in this context comes of; a key, as all context variables are, with no value of its own.
REPUBLISHING: ContextVar[Lineage | None] = ContextVar("republishing", default=None)


def lineage_of(topic: str) -> Lineage:
    """The lineage of what is published now: a republish action's, or its own."""
    return REPUBLISHING.get() or Lineage(_Origin(topic))
