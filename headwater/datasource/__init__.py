"""AppSync's resolvers and data sources: what happens between a GraphQL field and a backend."""

from headwater.datasource.caching import ApiCache, CachingConfig, CachingResolver
from headwater.datasource.ports import DataSource, SourceCall, SubscriptionSetup
from headwater.datasource.resolvers import (
    DirectLambdaResolver,
    PipelineResolver,
    ResolverSettings,
    Step,
    UnitResolver,
)
from headwater.datasource.sources.event_bridge import EventBridgeSource
from headwater.datasource.sources.http_source import HttpSource
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.datasource.sources.none_source import NoneSource
from headwater.datasource.sources.signing import SigningConfig
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.datasource.tables.source import DynamoDbSource

__all__ = [
    "ApiCache",
    "CachingConfig",
    "CachingResolver",
    "DataSource",
    "DirectLambdaResolver",
    "DynamoDbSource",
    "EventBridgeSource",
    "HttpSource",
    "LambdaSource",
    "NoneSource",
    "PageTokens",
    "PipelineResolver",
    "ResolverSettings",
    "SigningConfig",
    "SourceCall",
    "Step",
    "SubscriptionSetup",
    "UnitResolver",
]
