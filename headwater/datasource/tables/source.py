"""The DynamoDB data source: from AppSync's request objects to the table and back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headwater.datasource.ports import SourceCall, require, unsupported_operation
from headwater.datasource.tables.batches import (
    batch_delete_item,
    batch_get_item,
    batch_put_item,
    transact_get_items,
    transact_write_items,
)
from headwater.datasource.tables.items import delete_item, get_item, put_item, update_item
from headwater.datasource.tables.page_tokens import PageTokens
from headwater.datasource.tables.pages import query, scan
from headwater.datasource.tables.table import ConditionHandler, DynamoCall, Table

Operation = Callable[[Table, dict[str, Any], SourceCall], Awaitable[Any]]

OPERATIONS: Mapping[str, Operation] = {
    "GetItem": get_item,
    "PutItem": put_item,
    "UpdateItem": update_item,
    "DeleteItem": delete_item,
    "Query": query,
    "Scan": scan,
    "BatchGetItem": batch_get_item,
    "BatchPutItem": batch_put_item,
    "BatchDeleteItem": batch_delete_item,
    "TransactGetItems": transact_get_items,
    "TransactWriteItems": transact_write_items,
}


class DynamoDbSource:
    """One table behind resolvers.

    `call` executes a DynamoDB operation in AWS JSON shapes and raises ServiceError. `handle_condition` invokes the
    Lambda function of a `Custom` condition handler, by its ARN, with a JSON payload.
    """

    def __init__(
        self,
        call: DynamoCall,
        table_name: str,
        *,
        region: str,
        tokens: PageTokens,
        handle_condition: ConditionHandler | None = None,
    ) -> None:
        self._table = Table(call, table_name, region, tokens, handle_condition)

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """Run one operation of the AppSync DynamoDB reference; `Sync` needs a versioned data source and is refused."""
        operation = require(request, "operation", str)
        run = OPERATIONS.get(operation)
        if run is None:
            raise unsupported_operation(operation, tuple(OPERATIONS))
        return await run(self._table, request, call)
