"""Explain a published event: which subscriptions got it, and for the others which condition on which field failed."""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Protocol

import msgspec
import orjson

from headwater.realtime.connection import MAX_EVENT_BYTES
from headwater.realtime.filters import Rule, value_at
from headwater.realtime.registry import Cohort, SubscriptionRegistry
from headwater.realtime.silence import is_selected

MAX_EVENTS = 50
_MAX_IDS = 5
_MAX_TEXT_CHARACTERS = 120


class Published(Protocol):
    """A completed mutation field; `selected` is the tree of what it selected (empty: unknown)."""

    @property
    def mutation_field(self) -> str: ...

    @property
    def response(self) -> Any: ...

    @property
    def selected(self) -> Mapping[str, Any]: ...


class PublishedEvent(msgspec.Struct):
    """One event of the ring: its number since the start and when it was published, in epoch seconds."""

    number: int
    at: float
    published: Published


class PublishedEvents:
    """The last events of an API, for explaining them."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self._events: deque[PublishedEvent] = deque(maxlen=max_events)
        self._count = 0

    def add(self, published: Published, at: float) -> None:
        self._count += 1
        self._events.append(PublishedEvent(self._count, at, published))

    def find(self, *, number: int | None = None, mutation_field: str | None = None) -> PublishedEvent | None:
        """The latest event that fits what is given; None if the ring has none."""
        for event in reversed(self._events):
            if number in (None, event.number) and mutation_field in (None, event.published.mutation_field):
                return event
        return None


def explain(registry: SubscriptionRegistry[Any], event: PublishedEvent) -> dict[str, Any]:
    """The event, and for each group of equal subscriptions whether it passes now and why not.

    Subscriptions may have come and gone since the event: they are judged as they are now.
    """
    published = event.published
    return {
        "number": event.number,
        "at": event.at,
        "mutation": published.mutation_field,
        "response": published.response,
        "subscriptions": [_verdict(cohort, published) for cohort in registry.cohorts(published.mutation_field)],
    }


def _verdict(cohort: Cohort[Any], published: Published) -> dict[str, Any]:
    reasons = _reasons(cohort, published)
    selected = published.selected
    return {
        "field": cohort.projection.field_name,
        "subscribers": len(cohort.heads),
        "ids": [one.subscription_id for one in islice(cohort.heads, _MAX_IDS)],
        "matches": not reasons,
        "reasons": reasons,
        "unselected": cohort.projection.unselected_fields(selected) if selected else [],
        "errors": [] if reasons else _errors(cohort, published),
    }


def _errors(cohort: Cohort[Any], published: Published) -> list[str]:
    """The errors in what is sent: fields the subscriber may not see, nulls where there may be none."""
    payload = orjson.loads(cohort.projection.project(published.response))
    return [str(one["message"]) for one in payload.get("errors") or ()]


def _reasons(cohort: Cohort[Any], published: Published) -> list[str]:
    """Why a cohort does not get the event; empty if it does."""
    response = published.response
    if response is None:
        return ["the mutation answered null, which is no event"]
    if not isinstance(response, dict):
        return [] if cohort.filter(response) else ["the event is a list, and filters look at fields of objects only"]
    failed = cohort.filter.failed_rules(response)
    if all(failed):
        return [" and ".join(_reason(rule, cohort, published) for rule in group) for group in failed]
    size = len(cohort.projection.project(response))
    if size > MAX_EVENT_BYTES:
        return [f"the event has {size} bytes for this subscription; above {MAX_EVENT_BYTES} it is dropped"]
    return []


def _reason(rule: Rule, cohort: Cohort[Any], published: Published) -> str:
    condition = f"{'.'.join(rule.path)} {rule.operator} {_text(rule.value)}"
    fault = cohort.projection.filter_fault(rule.path, rule.values)
    if fault is not None:
        return f"{condition}: {fault}"
    if published.selected and not is_selected(published.selected, rule.path):
        return f"{condition}: the mutation did not select it"
    return f"{condition}: the event has {_text(value_at(published.response, rule.path))}"


def _text(value: Any) -> str:
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= _MAX_TEXT_CHARACTERS else text[:_MAX_TEXT_CHARACTERS] + "…"
