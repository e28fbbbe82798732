"""`AWS::AppSync::ApiCache`: which resolvers of an API answer from its cache."""

from collections.abc import Sequence

from headwater.datasource.caching import ApiCache, CachingConfig, CachingResolver, Resolver
from headwater.errors import TemplateError
from headwater.template.intrinsics import Resource


class ResolverCaching:
    """The caching of one API; without an ApiCache resource nothing is cached, whatever resolvers ask for.

    Raises: TemplateError for more than one cache.
    """

    def __init__(self, caches: Sequence[Resource]) -> None:
        if len(caches) > 1:
            raise TemplateError(f"the API has {len(caches)} ApiCache resources; it may have one")
        self._cache: ApiCache | None = None
        self._behavior = ""
        self._ttl_s = 0
        if caches:
            properties = caches[0].properties
            self._behavior = str(properties["ApiCachingBehavior"])
            self._ttl_s = int(properties["Ttl"])
            self._cache = ApiCache()

    @property
    def cache(self) -> ApiCache | None:
        """The cache that `extensions.evictFromApiCache` works on."""
        return self._cache

    def cached(self, resolver: Resolver, resource: Resource) -> Resolver:
        """The resolver, behind the cache if it is cached. Raises: TemplateError for a wrong CachingConfig."""
        config = resource.properties.get("CachingConfig")
        checked = None
        if config is not None:
            checked = CachingConfig(int(config["Ttl"]), tuple(str(key) for key in config.get("CachingKeys") or ()))
        if self._cache is None:
            return resolver
        if self._behavior == "FULL_REQUEST_CACHING":
            return CachingResolver.full_request(resolver, self._cache, self._ttl_s)
        return resolver if checked is None else CachingResolver.per_resolver(resolver, self._cache, checked)
