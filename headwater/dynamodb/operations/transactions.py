"""TransactGetItems and TransactWriteItems."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.dynamodb.expressions.paths import CompiledProjection, project
from headwater.dynamodb.expressions.updates import CompiledUpdate
from headwater.dynamodb.faults import NOT_VALID, validation
from headwater.dynamodb.items.attributes import MAX_ITEM_BYTES, Item, normalise_item
from headwater.dynamodb.items.changes import delete_item, put_item, size_of_stored, unpack_item
from headwater.dynamodb.items.schema import check_nested_keys, key_of, key_of_item
from headwater.dynamodb.operations.capacity import (
    consumed,
    index_write_units,
    is_wanted,
    metrics_by_table,
    read_units,
    write_units,
)
from headwater.dynamodb.operations.items import apply_update, check_update
from headwater.dynamodb.operations.parameters import ExpressionParameters, Matches
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import DATABASE, TOKEN_PREFIX, Table
from headwater.errors import ServiceError

MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
TOKEN_LIFE_S = 600.0
_KINDS = ("ConditionCheck", "Put", "Delete", "Update")
# The service's own text is not known; this is the reference's.
_TOO_LARGE = "The aggregate size of the items in the transaction exceeded 4 MB"
_TWICE = "Transaction request cannot include multiple operations on one item"
_NO_REASON: Mapping[str, Any] = {"Code": "None"}


@dataclass(slots=True)
class _Action:
    """One prepared action of TransactWriteItems."""

    kind: str
    request: dict[str, Any]
    item: Item
    size: int
    condition: Matches | None
    update: CompiledUpdate | None
    parameters: ExpressionParameters
    table: Table | None = None
    key: bytes = b""
    old_raw: bytes | None = None
    new: Item | None = None


def transact_write_items(session: Session, request: Request) -> Response:
    """TransactWriteItems: all or nothing, in one commit.

    Raises: ServiceError `TransactionCanceledException` with a reason for each action.
    """
    actions = [_prepare(session, entry) for entry in request["TransactItems"]]
    if sum(action.size for action in actions) > MAX_TRANSACTION_BYTES:
        raise validation(_TOO_LARGE)
    token_key, digest = _token(request)
    if token_key is not None and _is_repeated(session, token_key, digest):
        return _answer(request, actions, session, is_repeated=True)
    _cancel_for(_locate(session, actions))
    _cancel_for([_reason(action) for action in actions])
    failures: list[dict[str, Any] | None] = [None] * len(actions)
    for position, action in enumerate(actions):
        try:
            _perform(session, action)
        except ServiceError as error:
            # An update that does not fit its item: known only once it is applied.
            failures[position] = _invalid_action(error)
            raise _canceled(failures) from error
    if token_key is not None:
        session.transaction.put(DATABASE, token_key, orjson.dumps([session.now, digest]))
    return _answer(request, actions, session, is_repeated=False)


def _prepare(session: Session, entry: Mapping[str, Any]) -> _Action:
    kinds = [kind for kind in _KINDS if entry.get(kind) is not None]
    if len(kinds) != 1:
        raise validation("TransactItems can only contain one of Check, Put, Update or Delete")
    kind, request = kinds[0], entry[kinds[0]]
    expressions = ("UpdateExpression", "ConditionExpression") if kind == "Update" else ("ConditionExpression",)
    parameters = ExpressionParameters(session.expressions, request, expressions)
    item, size = normalise_item(request["Item" if kind == "Put" else "Key"])
    if kind == "Put" and size > MAX_ITEM_BYTES:
        raise validation("Item size has exceeded the maximum allowed size")
    parameters.read_placeholders()
    update = parameters.update() if kind == "Update" else None
    condition = parameters.condition("ConditionExpression")
    parameters.finish()
    return _Action(kind, request, item, size, condition, update, parameters)


def _locate(session: Session, actions: list[_Action]) -> list[dict[str, Any] | None]:
    """Find table, key and present state of each action; what is wrong with its key or update cancels it."""
    reasons: list[dict[str, Any] | None] = [None] * len(actions)
    seen: set[bytes] = set()
    for position, action in enumerate(actions):
        table = session.table(action.request["TableName"])
        check_nested_keys(table, action.parameters.nested_heads)
        action.table = table
        try:
            action.key = key_of_item(table, action.item) if action.kind == "Put" else key_of(table, action.item)
            check_update(table, action.update, action.parameters)
        except ServiceError as error:
            reasons[position] = _invalid_action(error)
            continue
        if action.key in seen:
            raise validation(_TWICE)
        seen.add(action.key)
        action.old_raw = session.transaction.get(DATABASE, action.key)
    return reasons


def _invalid_action(error: ServiceError) -> dict[str, Any]:
    """The reason a faulty action cancels its transaction; an empty key is the fault of the whole request."""
    if error.message.startswith(NOT_VALID):
        raise error
    return {"Code": "ValidationError", "Message": error.message}


def _cancel_for(reasons: list[dict[str, Any] | None]) -> None:
    if any(reason is not None for reason in reasons):
        raise _canceled(reasons)


def _reason(action: _Action) -> dict[str, Any] | None:
    """Why the action's condition cancels the transaction, or None."""
    if action.condition is None:
        return None
    old = unpack_item(action.old_raw) if action.old_raw else None
    if action.condition(old or {}):
        return None
    reason: dict[str, Any] = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    if old is not None and action.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        reason["Item"] = old
    return reason


def _canceled(reasons: list[dict[str, Any] | None]) -> ServiceError:
    documents = [dict(_NO_REASON) if reason is None else reason for reason in reasons]
    codes = ", ".join(document["Code"] for document in documents)
    return ServiceError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        fields={"CancellationReasons": documents},
    )


def _perform(session: Session, action: _Action) -> None:
    table = action.table
    assert table is not None
    if action.kind == "Put":
        action.new = action.item
        put_item(session, table, action.key, action.old_raw, action.item, action.size)
    elif action.kind == "Delete" and action.old_raw is not None:
        delete_item(session, table, action.key, action.old_raw)
    elif action.kind == "Update":
        old = unpack_item(action.old_raw) if action.old_raw else None
        values = action.parameters.values
        if old is None and action.update is not None and action.update.only_removes:
            return
        change = apply_update(session, table, action.key, action.item, action.old_raw, old, action.update, values)
        action.size, action.new = change.new_size, change.new


def _token(request: Request) -> tuple[bytes | None, str]:
    token = request.get("ClientRequestToken")
    if not token:
        return None, ""
    body = orjson.dumps(request["TransactItems"], option=orjson.OPT_SORT_KEYS)
    return TOKEN_PREFIX + token.encode()[:100], hashlib.sha256(body).hexdigest()


def _is_repeated(session: Session, token_key: bytes, digest: str) -> bool:
    """Whether this very request was done within ten minutes."""
    raw = session.transaction.get(DATABASE, token_key)
    if raw is None:
        return False
    time_s, known = orjson.loads(raw)
    if session.now - time_s > TOKEN_LIFE_S:
        return False
    if known != digest:
        raise ServiceError(
            "IdempotentParameterMismatchException",
            "Request parameters do not match the parameters of an earlier request with the same client token",
        )
    return True


def _answer(request: Request, actions: list[_Action], session: Session, *, is_repeated: bool) -> Response:
    located = [(action, action.table or session.table(action.request["TableName"])) for action in actions]
    response: Response = {}
    if is_wanted(request):
        member = "ReadCapacityUnits" if is_repeated else "WriteCapacityUnits"
        used: dict[str, _Used] = {}
        for action, table in located:
            used.setdefault(table.name, _Used(table)).add(action, is_repeated=is_repeated)
        response["ConsumedCapacity"] = [
            consumed(request, entry.table, entry.units, entry.indexes, read_or_write=member) for entry in used.values()
        ]
    response |= metrics_by_table(
        request, [(table, action.item) for action, table in located if action.kind != "ConditionCheck"]
    )
    return response


@dataclass(slots=True)
class _Used:
    """Capacity units of one table's part of a transaction: what is written is paid twice."""

    table: Table
    units: float = 0.0
    indexes: dict[str, float] = field(default_factory=dict)

    def add(self, action: _Action, *, is_repeated: bool) -> None:
        new_size = 0 if action.kind in {"Delete", "ConditionCheck"} else action.size
        if is_repeated:
            self.units += read_units(new_size, is_consistent=True, is_transaction=True)
            return
        old_raw = action.old_raw
        self.units += write_units(size_of_stored(old_raw) if old_raw else 0, new_size, is_transaction=True)
        if not self.table.indexes or action.kind == "ConditionCheck":
            return
        old = unpack_item(old_raw) if old_raw else None
        for name, units in index_write_units(self.table, old, action.new).items():
            self.indexes[name] = self.indexes.get(name, 0.0) + 2 * units


@dataclass(slots=True)
class _Get:
    """One prepared read of TransactGetItems."""

    request: dict[str, Any]
    item: Item
    parameters: ExpressionParameters
    projection: CompiledProjection | None
    table: Table | None = None
    key: bytes = b""


def transact_get_items(session: Session, request: Request) -> Response:
    """TransactGetItems: up to 100 items of one snapshot.

    Raises: ServiceError `TransactionCanceledException` for keys that are not their tables'.
    """
    gets = [_prepare_get(session, entry["Get"]) for entry in request["TransactItems"]]
    _cancel_for(_locate_gets(session, gets))
    responses: list[dict[str, Any]] = []
    units: dict[str, tuple[Table, float]] = {}
    total = 0
    for get in gets:
        assert get.table is not None
        raw = session.transaction.get(DATABASE, get.key)
        response: dict[str, Any] = {}
        size = 0
        if raw is not None:
            item = unpack_item(raw)
            response["Item"] = item if get.projection is None else project(item, get.projection.tree)
            size = size_of_stored(raw)
        responses.append(response)
        total += size
        if total > MAX_TRANSACTION_BYTES:
            raise validation(_TOO_LARGE)
        used = read_units(size, is_consistent=True, is_transaction=True)
        units[get.table.name] = (get.table, units.get(get.table.name, (get.table, 0.0))[1] + used)
    result: Response = {"Responses": responses}
    if is_wanted(request):
        result["ConsumedCapacity"] = [
            consumed(request, table, used, read_or_write="ReadCapacityUnits") for table, used in units.values()
        ]
    return result


def _prepare_get(session: Session, request: dict[str, Any]) -> _Get:
    parameters = ExpressionParameters(session.expressions, request, ("ProjectionExpression",))
    key, _ = normalise_item(request["Key"])
    parameters.read_placeholders()
    projection = parameters.projection()
    parameters.finish()
    return _Get(request, key, parameters, projection)


def _locate_gets(session: Session, gets: list[_Get]) -> list[dict[str, Any] | None]:
    reasons: list[dict[str, Any] | None] = [None] * len(gets)
    seen: set[bytes] = set()
    for position, get in enumerate(gets):
        get.table = session.table(get.request["TableName"])
        check_nested_keys(get.table, get.parameters.nested_heads)
        try:
            get.key = key_of(get.table, get.item)
        except ServiceError as error:
            reasons[position] = _invalid_action(error)
            continue
        if get.key in seen:
            raise validation(_TWICE)
        seen.add(get.key)
    return reasons
