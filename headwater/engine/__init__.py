"""The GraphQL engine: AppSync's schemas, authorization, execution and subscription selections."""

from headwater.engine.calls import (
    FieldCall,
    FieldResolver,
    GraphQLRequest,
    GraphQLResult,
    Limits,
    PublishedMutation,
    RequestContext,
    RequestRefused,
    SelectionInfo,
    SubscriptionRefused,
)
from headwater.engine.engine import GraphQLEngine
from headwater.engine.execution.faults import channel_error
from headwater.engine.schema import ApiSchema, load_schema
from headwater.engine.subscription import PreparedSubscription

__all__ = [
    "ApiSchema",
    "FieldCall",
    "FieldResolver",
    "GraphQLEngine",
    "GraphQLRequest",
    "GraphQLResult",
    "Limits",
    "PreparedSubscription",
    "PublishedMutation",
    "RequestContext",
    "RequestRefused",
    "SelectionInfo",
    "SubscriptionRefused",
    "channel_error",
    "load_schema",
]
