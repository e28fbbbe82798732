"""`/_headwater/explain/subscription`: who got a published event, and who did not and why."""

from collections.abc import Mapping
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.graphql.api import GraphQLApi
from headwater.deploy.routing import json_response
from headwater.realtime.explanation import MAX_EVENTS, explain
from headwater.values.http import HttpResponse

_NO_SUCH_EVENT = (
    f"the last {MAX_EVENTS} published events have none like that; a mutation field that fails or answers null, and one "
    "that no subscription follows, is no event"
)


def explain_subscription(deployment: Deployment, body: Mapping[str, Any]) -> HttpResponse:
    """Explain the latest event, or the one that `event` (number) or `mutation` (field) of `api` (logical id) names."""
    wanted = body.get("api")
    apis = [api for name, api in deployment.apis.items() if wanted in (None, name)]
    if not apis:
        return json_response(400, {"message": f"there is no API {wanted!r}; there are {sorted(deployment.apis)}"})
    number, mutation = body.get("event"), body.get("mutation")
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not (number is None or is_number) or not (mutation is None or isinstance(mutation, str)):
        return json_response(400, {"message": "event is a number and mutation the name of a field"})
    found = [
        (api, event) for api in apis if (event := api.realtime.events.find(number=number, mutation_field=mutation))
    ]
    if not found:
        return json_response(400, {"message": _NO_SUCH_EVENT})
    api, event = max(found, key=lambda pair: pair[1].at)
    fields = _subscription_fields(api, event.published.mutation_field)
    explanation = {"api": api.logical_id, "subscriptionFields": fields, **explain(api.realtime.registry, event)}
    return json_response(200, explanation)


def _subscription_fields(api: GraphQLApi, mutation_field: str) -> list[str]:
    """What the schema lets follow a mutation."""
    return sorted(field for field, mutations in api.engine.schema.subscribed.items() if mutation_field in mutations)
