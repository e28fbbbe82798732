"""Flow 8/8: find the subscriptions a mutation's response goes to, projected and serialized once per group.

Subscriptions with equal filters and equal selections form a cohort. A cohort is found through one equality of its
filter, so a mutation looks at the cohorts that may match, never at all subscribers.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import orjson

from headwater.realtime.argument_filter import ArgumentFilter
from headwater.realtime.filters import CompiledFilter, IndexKey, Path, index_key, value_at

ConnectionT = TypeVar("ConnectionT")

SubscriptionFilter = CompiledFilter | ArgumentFilter


class Projection(Protocol):
    """A subscription field with its selection: what subscriptions have in common, so that one serves all of them.

    `group_key` is equal for projections that give equal payloads.
    """

    @property
    def field_name(self) -> str: ...

    @property
    def mutation_fields(self) -> tuple[str, ...]: ...

    @property
    def group_key(self) -> Hashable: ...

    def project(self, response: Any) -> bytes:
        """The JSON of `{"data": …, "errors"?: …}` for a mutation's response."""
        ...

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        """Fields the subscriber wants and a mutation's selection (nested mappings of field names) lacks."""
        ...

    def refused_fields(self) -> list[str]:
        """Fields the subscriber wants and may not see."""
        ...

    def filter_fault(self, path: Path, values: Iterable[Any]) -> str | None:
        """Why events never have one of these values at a path; None if they can."""
        ...


class Subscription(msgspec.Struct, Generic[ConnectionT], eq=False):
    """One started subscription."""

    connection: ConnectionT
    subscription_id: str
    projection: Projection
    filter: SubscriptionFilter
    invalidation_filter: CompiledFilter | None = None

    @property
    def frame_head(self) -> bytes:
        """What every data frame begins with."""
        return b'{"id":' + orjson.dumps(self.subscription_id) + b',"type":"data","payload":'


class Cohort(msgspec.Struct, Generic[ConnectionT], eq=False):
    """Subscriptions that get the same events with the same payload; `heads` are their frames' beginnings."""

    projection: Projection
    filter: SubscriptionFilter
    heads: dict[Subscription[ConnectionT], bytes]


class Delivery(msgspec.Struct, Generic[ConnectionT]):
    """What the subscriptions of one cohort get: `payload` completes each head, then comes `}`."""

    cohort: Cohort[ConnectionT]
    payload: bytes


@dataclass(slots=True, eq=False)
class _FieldIndex(Generic[ConnectionT]):
    """The cohorts of one mutation field: behind one of their equalities, or always looked at."""

    cohorts: dict[tuple[Hashable, Hashable], Cohort[ConnectionT]] = field(default_factory=dict)
    by_value: dict[Path, dict[IndexKey, dict[Cohort[ConnectionT], None]]] = field(default_factory=dict)
    unindexed: dict[Cohort[ConnectionT], None] = field(default_factory=dict)
    paths: Counter[Path] = field(default_factory=Counter)

    def add(self, subscription: Subscription[ConnectionT], head: bytes) -> None:
        key = (subscription.filter.key, subscription.projection.group_key)
        cohort = self.cohorts.get(key)
        if cohort is None:
            cohort = self.cohorts[key] = Cohort(subscription.projection, subscription.filter, {})
            # Not Counter.update, which takes 1 us for a single path.
            for path in cohort.filter.paths():
                self.paths[path] += 1
            entries = cohort.filter.index_entries()
            if entries is None:
                self.unindexed[cohort] = None
            for path, value in entries or ():
                self.by_value.setdefault(path, {}).setdefault(value, {})[cohort] = None
        # Equal filters are kept once.
        subscription.filter = cohort.filter
        cohort.heads[subscription] = head

    def remove(self, subscription: Subscription[ConnectionT]) -> None:
        key = (subscription.filter.key, subscription.projection.group_key)
        cohort = self.cohorts.get(key)
        if cohort is None or cohort.heads.pop(subscription, None) is None or cohort.heads:
            return
        del self.cohorts[key]
        for path in cohort.filter.paths():
            self.paths[path] -= 1
            if not self.paths[path]:
                del self.paths[path]
        self.unindexed.pop(cohort, None)
        for path, value in cohort.filter.index_entries() or ():
            cohorts = self.by_value[path].get(value, {})
            cohorts.pop(cohort, None)
            if not cohorts:
                self.by_value[path].pop(value, None)
        for path in [path for path, values in self.by_value.items() if not values]:
            del self.by_value[path]

    def candidates(self, response: Any) -> dict[Cohort[ConnectionT], None]:
        """Cohorts that may match, each once; not to be changed."""
        found = self.unindexed
        if isinstance(response, dict):
            for path, values in self.by_value.items():
                key = index_key(value_at(response, path))
                cohorts = None if key is None else values.get(key)
                if cohorts:
                    # Nearly always only one place has any.
                    found = {**found, **cohorts} if found else cohorts
        return found


class SubscriptionRegistry(Generic[ConnectionT]):
    """All started subscriptions of one API."""

    def __init__(self) -> None:
        self._by_mutation: dict[str, _FieldIndex[ConnectionT]] = {}
        self._invalidatable: dict[str, dict[Subscription[ConnectionT], None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, subscription: Subscription[ConnectionT]) -> None:
        self._count += 1
        head = subscription.frame_head
        for mutation_field in subscription.projection.mutation_fields:
            index = self._by_mutation.get(mutation_field)
            if index is None:
                index = self._by_mutation[mutation_field] = _FieldIndex()
            index.add(subscription, head)
        if subscription.invalidation_filter is not None:
            self._invalidatable.setdefault(subscription.projection.field_name, {})[subscription] = None

    def remove(self, subscription: Subscription[ConnectionT]) -> None:
        """Forget a subscription that was added."""
        self._count -= 1
        for mutation_field in subscription.projection.mutation_fields:
            index = self._by_mutation.get(mutation_field)
            if index is not None:
                index.remove(subscription)
                if not index.cohorts:
                    del self._by_mutation[mutation_field]
        if subscription.invalidation_filter is not None:
            same_field = self._invalidatable.get(subscription.projection.field_name, {})
            same_field.pop(subscription, None)
            if not same_field:
                self._invalidatable.pop(subscription.projection.field_name, None)

    def has_subscribers(self, mutation_field: str) -> bool:
        """Whether any subscription follows a mutation field."""
        return mutation_field in self._by_mutation

    def cohorts(self, mutation_field: str) -> Collection[Cohort[ConnectionT]]:
        """Everybody who follows a mutation field, whether an event passes their filters or not."""
        index = self._by_mutation.get(mutation_field)
        return () if index is None else index.cohorts.values()

    def filter_paths(self, mutation_field: str) -> Collection[Path]:
        """The fields that filters of a mutation's subscriptions look at."""
        index = self._by_mutation.get(mutation_field)
        return () if index is None else index.paths

    def match(self, mutation_field: str, response: Any) -> Iterator[Delivery[ConnectionT]]:
        """What a completed mutation field is worth to whom. A null response is no event.

        The projection of a group runs once for all cohorts that share it.
        """
        index = self._by_mutation.get(mutation_field)
        if index is None or response is None:
            return
        payloads: dict[Hashable, bytes] = {}
        # A copy, because who is delivered to may leave.
        for cohort in tuple(index.candidates(response)):
            if not cohort.filter(response):
                continue
            projection = cohort.projection
            payload = payloads.get(projection.group_key)
            if payload is None:
                payload = payloads[projection.group_key] = projection.project(response)
            yield Delivery(cohort, payload)

    def invalidated(self, subscription_field: str, payload: Any) -> list[Subscription[ConnectionT]]:
        """Subscriptions of a field whose invalidation filter the payload passes."""
        return [
            subscription
            for subscription in self._invalidatable.get(subscription_field, ())
            if subscription.invalidation_filter is not None and subscription.invalidation_filter(payload)
        ]
