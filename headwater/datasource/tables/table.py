"""The table a data source works on, and how DynamoDB's errors reach resolvers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from headwater.datasource.ports import SourceCall
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.errors import DataSourceError, ServiceError

DynamoCall = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
ConditionHandler = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name and the callables that reach it."""

    call: DynamoCall
    name: str
    region: str
    tokens: PageTokens
    handle_condition: ConditionHandler | None = None

    async def request(self, operation: str, parameters: dict[str, Any], call: SourceCall) -> dict[str, Any]:
        """Execute a DynamoDB operation. Raises: DataSourceError."""
        try:
            return await self.call(operation, parameters)
        except ServiceError as error:
            raise table_fault(error, call) from error


def table_fault(error: ServiceError, call: SourceCall, data: Any = None) -> DataSourceError:
    """A DynamoDB error in AppSync's words; `data` becomes `ctx.result`."""
    place = f"(Service: DynamoDb, Status Code: {error.status}, Request ID: {call.request_id})"
    return DataSourceError(f"{error.message} {place}", f"DynamoDB:{error.code}", data=data)
