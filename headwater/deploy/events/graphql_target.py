"""GraphQL APIs as targets of EventBridge rules: an event runs the rule's operation with the rights of its role.

Source: EventBridge User Guide, "AWS AppSync as a target"; EventBridge API Reference, AppSyncParameters.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from headwater.auth.identity import iam_caller
from headwater.deploy.events.rule import Target
from headwater.deploy.graphql.api import GraphQLApi
from headwater.deploy.roles import Roles
from headwater.engine import GraphQLRequest
from headwater.errors import ServiceError
from headwater.values.identity import AwsPrincipal
from headwater.values.json_text import parse_json

# An operation may put events itself, which AWS lets go round for ever. Here each turn waits for the next one, so that
# they end where events that go from bus to bus do.
_MAX_TURNS = 5
_turns: ContextVar[int] = ContextVar("turns", default=0)


class GraphQLTargets:
    """The APIs of a stack, by the endpoint ARN that targets name (`…:endpoints/graphql-api/API-ID`)."""

    def __init__(self, apis: Mapping[str, GraphQLApi], roles: Roles) -> None:
        self._apis = apis
        self._roles = roles

    def require(self, target: Target) -> GraphQLApi:
        """The API of a target. Raises: ServiceError if there is none, or its operation cannot be run there."""
        api_id = target.arn.rsplit("/", 1)[-1]
        for api in self._apis.values():
            if api.api_id == api_id:
                break
        else:
            raise ServiceError("ResourceNotFoundException", f"{target.arn} is no GraphQL API here")
        if not api.takes_iam:
            raise ServiceError(
                "ValidationException", f"{target.arn} does not have AWS_IAM among its authorization modes"
            )
        fault = api.engine.fault_of(target.operation)
        if fault is not None:
            raise ServiceError("ValidationException", f"AppSyncParameters.GraphQLOperation: {fault}")
        return api

    async def run(self, target: Target, text: str) -> None:
        """Run the operation with the JSON object `text` as its variables.

        Raises: ServiceError for an operation that is refused, or ends with errors, and for one in a circle.
        """
        turns = _turns.get()
        if turns >= _MAX_TURNS:
            message = f"{turns} operations led to this one of {target.arn}: rules and resolvers form a loop"
            raise ServiceError("EventLoopException", message)
        api = self.require(target)
        try:
            variables = parse_json(text)
        except ValueError as error:
            raise ServiceError("BadRequestException", f"the variables are not JSON: {error}") from error
        if not isinstance(variables, dict):
            raise ServiceError("BadRequestException", f"the variables are {text[:100]}, expected a JSON object")
        role = target.role_arn.rsplit("/", 1)[-1]
        # A role that the template does not have is one that a test made up: the administrator's, as elsewhere.
        principal = AwsPrincipal("", self._roles.account_id, role if self._roles.has_role(role) else None)
        token = _turns.set(turns + 1)
        try:
            result = await api.http.run(GraphQLRequest(target.operation, variables), iam_caller(principal, ()))
        finally:
            _turns.reset(token)
        errors: list[dict[str, Any]] = result.body.get("errors") or []
        if errors:
            first = errors[0]
            raise ServiceError(str(first.get("errorType") or "BadRequestException"), str(first.get("message")))
