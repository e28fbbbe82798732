"""AppSync's resolver cache: per resolver or full request, with eviction by caching keys."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from headwater.datasource.ports import Call, SubscriptionSetup
from headwater.errors import TemplateError

MAX_TTL_S = 3600
MAX_CACHING_KEYS = 25
MAX_ENTRIES = 10_000
ROOTS = ("arguments", "source", "identity")

CacheKey = tuple[str, str, tuple[tuple[str, bytes], ...]]


class Resolver(Protocol):
    """What a caching resolver stands in front of."""

    @property
    def max_batch_size(self) -> int: ...
    async def resolve(self, call: Call) -> Any: ...
    async def resolve_batch(self, calls: Sequence[Call]) -> list[Any]: ...
    async def run_subscription(self, call: Call) -> SubscriptionSetup: ...


@dataclass(frozen=True, slots=True)
class CachingConfig:
    """A resolver's caching: seconds to live, and the names that make up its key, in order.

    Raises: TemplateError for a name that is not below `$context.arguments`, `source` or `identity`, for more than 25
    names, and for a time outside 1 to 3600 s.
    """

    ttl_s: int
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.ttl_s <= MAX_TTL_S:
            raise TemplateError(f"a cache's Ttl is 1 to {MAX_TTL_S} seconds, not {self.ttl_s}")
        if len(self.keys) > MAX_CACHING_KEYS:
            raise TemplateError(f"a resolver has at most {MAX_CACHING_KEYS} caching keys, not {len(self.keys)}")
        for key in self.keys:
            if normal_key(key).split(".")[0] not in ROOTS:
                raise TemplateError(f"the caching key {key} is not below $context.arguments, source or identity")


def normal_key(name: str) -> str:
    """A caching key without its prefix: `$context.arguments.id`, `ctx.args.id` and `arguments.id` are the same."""
    parts = name.lstrip("$").split(".")
    if parts[0] in ("context", "ctx"):
        parts = parts[1:]
    if parts and parts[0] == "args":
        parts[0] = "arguments"
    return ".".join(parts)


# Without caching keys the key is made of all three maps. For full-request caching the guide names two of them and calls
# it "the same": a field below the root has its source in the key, or all parents would have the first one's children.
PER_RESOLVER_KEYS = ROOTS
FULL_REQUEST_KEYS = ("arguments", "identity")


class ApiCache:
    """The cache of one API; the least recently used entry goes when there are more than `max_entries`."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: OrderedDict[CacheKey, tuple[float, Any]] = OrderedDict()
        self._max_entries = max_entries

    def get(self, key: CacheKey, now: float) -> tuple[bool, Any]:
        """Whether there is a living entry, and its value."""
        entry = self._entries.get(key)
        if entry is None:
            return False, None
        if entry[0] <= now:
            del self._entries[key]
            return False, None
        self._entries.move_to_end(key)
        return True, entry[1]

    def put(self, key: CacheKey, value: Any, expires_at: float) -> None:
        """Keep a value until `expires_at`, in epoch seconds."""
        self._entries[key] = (expires_at, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def evict(self, evictions: Sequence[Mapping[str, Any]], now: float) -> int:
        """Remove the entries that `extensions.evictFromApiCache` named; the number of living ones removed.

        The key-value pairs have to be in the order of the resolver's caching keys, as on the service.
        """
        deleted = 0
        for eviction in evictions:
            pairs = tuple((normal_key(name), _encode(value)) for name, value in eviction["keys"].items())
            entry = self._entries.pop((eviction["typeName"], eviction["fieldName"], pairs), None)
            if entry is not None and entry[0] > now:
                deleted += 1
        return deleted

    def flush(self) -> None:
        """Empty the cache."""
        self._entries.clear()


class CachingResolver:
    """Answers from the cache where it can. Mutations and subscriptions pass through; errors are not kept."""

    def __init__(
        self,
        resolver: Resolver,
        cache: ApiCache,
        ttl_s: int,
        keys: tuple[str, ...],
        *,
        nested_keys: tuple[str, ...] | None = None,
    ) -> None:
        self._resolver = resolver
        self._cache = cache
        self._ttl_s = ttl_s
        self._keys = tuple(normal_key(key) for key in keys)
        self._nested_keys = self._keys if nested_keys is None else nested_keys

    @classmethod
    def per_resolver(cls, resolver: Resolver, cache: ApiCache, config: CachingConfig) -> "CachingResolver":
        """PER_RESOLVER_CACHING with a resolver's own `CachingConfig`."""
        return cls(resolver, cache, config.ttl_s, config.keys or PER_RESOLVER_KEYS)

    @classmethod
    def full_request(cls, resolver: Resolver, cache: ApiCache, ttl_s: int) -> "CachingResolver":
        """FULL_REQUEST_CACHING: every resolver, by arguments and identity, below the root also by its source."""
        return cls(resolver, cache, ttl_s, FULL_REQUEST_KEYS, nested_keys=PER_RESOLVER_KEYS)

    @property
    def max_batch_size(self) -> int:
        return self._resolver.max_batch_size

    async def resolve(self, call: Call) -> Any:
        """The cached value, or the resolver's. Raises: RequestError as the resolver does."""
        if call.parent_type in ("Mutation", "Subscription"):
            return await self._resolver.resolve(call)
        key = self._key(call)
        is_found, value = self._cache.get(key, call.request.now)
        if not is_found:
            value = await self._resolver.resolve(call)
            self._keep(key, call, value)
        return value

    async def resolve_batch(self, calls: Sequence[Call]) -> list[Any]:
        """One value or exception for each call; only those that are not cached reach the resolver."""
        keys = [self._key(call) for call in calls]
        found = [self._cache.get(key, call.request.now) for key, call in zip(keys, calls, strict=True)]
        missing = [index for index, (is_found, _) in enumerate(found) if not is_found]
        values = [value for _, value in found]
        if missing:
            fresh = await self._resolver.resolve_batch([calls[index] for index in missing])
            for index, value in zip(missing, fresh, strict=True):
                values[index] = value
                if not isinstance(value, Exception):
                    self._keep(keys[index], calls[index], value)
        return values

    async def run_subscription(self, call: Call) -> SubscriptionSetup:
        """Subscriptions are never cached."""
        return await self._resolver.run_subscription(call)

    def _keep(self, key: CacheKey, call: Call, value: Any) -> None:
        # A value with appended errors is half a result: the next caller should see the errors too.
        if not getattr(call, "appended", None):
            self._cache.put(key, value, call.request.now + self._ttl_s)

    def _key(self, call: Call) -> CacheKey:
        roots = {"arguments": call.arguments, "source": call.source, "identity": call.request.caller.identity}
        keys = self._keys if call.source is None else self._nested_keys
        return call.parent_type, call.field_name, tuple((key, _encode(_value_at(roots, key))) for key in keys)


def _value_at(roots: Mapping[str, Any], key: str) -> Any:
    value: Any = roots
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _encode(value: Any) -> bytes:
    plain = dict(value) if isinstance(value, Mapping) else value
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
