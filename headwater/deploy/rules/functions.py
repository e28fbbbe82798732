"""Flow 2/8: what topic rules ask other services while they are evaluated.

Source: AWS IoT Core Developer Guide, "Functions": aws_lambda, get_dynamodb, get_thing_shadow.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from headwater.deploy.iot.shadows import Shadows
from headwater.deploy.roles import Roles
from headwater.deploy.rules.actions import to_attribute
from headwater.deploy.rules.principal import rule_principal
from headwater.errors import ServiceError
from headwater.functions.service import FunctionService
from headwater.rules import UNDEFINED, to_json
from headwater.rules.external import ExternalCall
from headwater.rules.values import parse_json
from headwater.server.aws.permissions import Account
from headwater.shadow import ShadowError, ShadowName
from headwater.storage.dynamodb_service import DynamoDbService

LAMBDA_TIMEOUT_S = 2.0
MAXIMUM_ITEM_BYTES = 8 * 1024


class RuleFunctions:
    """Answers the functions of rules with the rights of the role that each names."""

    def __init__(
        self,
        account: Account,
        *,
        roles: Roles,
        dynamodb: DynamoDbService,
        functions: FunctionService,
        shadows: Shadows,
    ) -> None:
        self._account = account
        self._roles = roles
        self._dynamodb = dynamodb
        self._functions = functions
        self._shadows = shadows

    async def ask(self, call: ExternalCall) -> Any:
        """The answer, Undefined for an item or a shadow that is not there. Raises: ServiceError."""
        if call.function == "aws_lambda":
            return await self._invoke(*call.arguments)
        if call.function == "get_dynamodb":
            return await self._item(*call.arguments)
        return self._shadow(*call.arguments)

    def _authorize(self, role_arn: Any, action: str, resource: str) -> None:
        principal = rule_principal(self._account.account_id, str(role_arn))
        self._roles.authorize(principal, action, [resource])

    async def _invoke(self, function: Any, argument: Any) -> Any:
        try:
            result = await asyncio.wait_for(self._functions.invoke(str(function), to_json(argument)), LAMBDA_TIMEOUT_S)
        except TimeoutError:
            message = f"aws_lambda(): {function} took longer than {LAMBDA_TIMEOUT_S:g} s"
            raise ServiceError("RuleFunctionTimeout", message) from None
        if result.function_error:
            message = f"aws_lambda(): {function} failed: {result.payload[:200].decode(errors='replace')}"
            raise ServiceError("RuleFunctionFailed", message)
        answer = parse_json(result.payload)
        if answer is UNDEFINED:
            raise ServiceError("RuleFunctionFailed", f"aws_lambda(): the answer of {function} is no JSON")
        return answer

    async def _item(self, table: Any, *rest: Any) -> Any:
        *pairs, role_arn = rest
        self._authorize(role_arn, "dynamodb:GetItem", self._account.arn("dynamodb", f"table/{table}"))
        key = {str(name): to_attribute(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        found = await self._dynamodb.call("GetItem", {"TableName": str(table), "Key": key})
        if "Item" not in found:
            return UNDEFINED
        item = {name: from_attribute(value) for name, value in found["Item"].items()}
        size = len(to_json(item))
        if size > MAXIMUM_ITEM_BYTES:
            message = f"get_dynamodb(): an item of {size} bytes in {table}; the limit is {MAXIMUM_ITEM_BYTES}"
            raise ServiceError("RuleFunctionFailed", message)
        return item

    def _shadow(self, thing: Any, *rest: Any) -> Any:
        *shadow, role_arn = rest
        self._authorize(role_arn, "iot:GetThingShadow", self._account.arn("iot", f"thing/{thing}"))
        name = ShadowName(str(thing), str(shadow[0]) if shadow else None)
        try:
            return self._shadows.get(name)
        except ShadowError:
            return UNDEFINED


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """A typed DynamoDB attribute as a JSON value; binary values stay base64 text."""
    ((kind, value),) = attribute.items()
    if kind == "NULL":
        return None
    if kind == "N":
        return parse_json(value.encode())
    if kind == "NS":
        return [parse_json(number.encode()) for number in value]
    if kind == "L":
        return [from_attribute(child) for child in value]
    if kind == "M":
        return {name: from_attribute(child) for name, child in value.items()}
    return value
