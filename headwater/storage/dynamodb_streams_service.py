"""The DynamoDB Streams service on the store."""

from collections.abc import Callable
from typing import Any

from headwater.dynamodb.api import STREAMS_OPERATIONS, STREAMS_TARGET_PREFIX, check
from headwater.dynamodb.expressions.cache import ExpressionCache
from headwater.dynamodb.session import Session
from headwater.dynamodb.tables.model import Catalog
from headwater.errors import ServiceError
from headwater.storage.store import Store
from headwater.values.identity import AwsPrincipal


class DynamoDbStreamsService:
    """DynamoDB Streams; all four operations only read."""

    target_prefix = STREAMS_TARGET_PREFIX

    def __init__(self, store: Store, *, region: str, account_id: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._catalog = Catalog(region, account_id)
        self._expressions = ExpressionCache()

    async def call(
        self, operation: str, request: dict[str, Any], principal: AwsPrincipal | None = None
    ) -> dict[str, Any]:
        """Run one operation. Raises: ServiceError."""
        known = STREAMS_OPERATIONS.get(operation)
        if known is None:
            raise ServiceError(
                "UnknownOperationException", f"DynamoDB Streams operation {operation} is not supported here"
            )
        check(operation, request)
        run, now = known.run, self._clock()
        return self._store.read(
            lambda transaction: run(Session(transaction, self._catalog, self._expressions, now), request)  # type: ignore[arg-type]  # reads only
        )
