"""AppSync's resolvers and data sources: what happens between a GraphQL field and a backend."""

from headwater.datasource.ports import DataSource, SourceCall, SubscriptionSetup
from headwater.datasource.resolvers import (
    DirectLambdaResolver,
    PipelineResolver,
    ResolverSettings,
    Step,
    UnitResolver,
)
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.datasource.sources.none_source import NoneSource
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.datasource.tables.source import DynamoDbSource

__all__ = [
    "DataSource",
    "DirectLambdaResolver",
    "DynamoDbSource",
    "LambdaSource",
    "NoneSource",
    "PageTokens",
    "PipelineResolver",
    "ResolverSettings",
    "SourceCall",
    "Step",
    "SubscriptionSetup",
    "UnitResolver",
]
