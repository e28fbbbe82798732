"""Hands events and schedules to what they target, with the rights of the role a target names."""

from collections.abc import Mapping
from typing import Any

from headwater.deploy.events.bus import TargetInput
from headwater.deploy.events.graphql_target import GraphQLTargets
from headwater.deploy.roles import Roles
from headwater.deploy.topics.topics import Publication, Topics
from headwater.errors import ServiceError
from headwater.functions.service import FunctionService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.sqs_service import SqsService
from headwater.values.identity import AwsPrincipal

_ACTIONS = {
    "sns": "sns:Publish",
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "kinesis": "kinesis:PutRecord",
}


class EventTargets:
    """Returns when a target has taken its input for good: it is stored, or in the journal of events."""

    def __init__(
        self,
        *,
        roles: Roles,
        sqs: SqsService,
        kinesis: KinesisService,
        functions: FunctionService,
        topics: Topics,
        graphql: GraphQLTargets,
    ) -> None:
        self._roles = roles
        self._sqs = sqs
        self._kinesis = kinesis
        self._functions = functions
        self._topics = topics
        self._graphql = graphql

    async def deliver(self, given: TargetInput) -> None:
        """Raises: ServiceError for a target that is not there, may not be reached or does not take it."""
        arn = given.target.arn
        service = arn.split(":")[2]
        if service == "appsync":
            # The role's policies are about fields; the API asks them.
            await self._graphql.run(given.target, given.text)
            return
        self._authorize(given.target.role_arn, _ACTIONS.get(service, ""), arn)
        if service == "sqs":
            await self._sqs.send(arn, given.text, group_id=given.target.group_id)
        elif service == "kinesis":
            await self._kinesis.put_record(arn, given.partition_key, given.text.encode())
        elif service == "sns":
            await self._topics.publish(arn, Publication(given.text))
        elif service == "lambda":
            await self._functions.invoke_event(arn, given.text.encode())
        else:
            raise ServiceError("ValidationException", f"the target {arn} does not work here")

    async def dead_letter(self, queue_arn: str, text: str, attributes: Mapping[str, Any]) -> None:
        """Keep what a target did not take."""
        await self._sqs.send(queue_arn, text, attributes=attributes)

    def _authorize(self, role_arn: str, action: str, arn: str) -> None:
        # Functions and queues may be reached by their own policies instead of a role; a role that the template does
        # not have is one that a test made up.
        name = role_arn.rsplit("/", 1)[-1]
        if role_arn and self._roles.has_role(name):
            self._roles.authorize(AwsPrincipal("", self._roles.account_id, name), action, [arn])
