"""Query and Scan: pages of items with opaque tokens."""

from typing import Any

from headwater.datasource.ports import SourceCall, json_kind, malformed
from headwater.datasource.tables.expressions import Parameters
from headwater.datasource.tables.table import Table
from headwater.datasource.tables.typed_values import to_plain_item

SELECTS = ("ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT")


async def query(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"items", "nextToken", "scannedCount"}` of a key condition."""
    parameters = Parameters(table.name)
    if parameters.add("KeyConditionExpression", request, "query") is None:
        raise malformed("Value for field '$[query]' not found.")
    if request.get("scanIndexForward") is False:
        parameters.request["ScanIndexForward"] = False
    return await _page(table, "Query", parameters, request, call)


async def scan(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"items", "nextToken", "scannedCount"}` of a table, an index, or one segment of it."""
    parameters = Parameters(table.name)
    for name, parameter in (("totalSegments", "TotalSegments"), ("segment", "Segment")):
        if request.get(name) is not None:
            parameters.request[parameter] = request[name]
    return await _page(table, "Scan", parameters, request, call)


async def _page(
    table: Table, operation: str, parameters: Parameters, request: dict[str, Any], call: SourceCall
) -> dict[str, Any]:
    body = parameters.request
    index = request.get("index")
    binding = (call.resolver_id, operation, table.name, index or "")
    if index is not None:
        body["IndexName"] = index
    if request.get("limit") is not None:
        body["Limit"] = _limit(request["limit"])
    if request.get("consistentRead"):
        body["ConsistentRead"] = True
    if request.get("select") is not None:
        if request["select"] not in SELECTS:
            raise malformed(f"Unsupported select '{request['select']}': expected one of {', '.join(SELECTS)}.")
        body["Select"] = request["select"]
    if request.get("nextToken") is not None:
        body["ExclusiveStartKey"] = table.tokens.open(request["nextToken"], *binding)
    parameters.add("FilterExpression", request, "filter")
    parameters.add("ProjectionExpression", request, "projection")
    reply = await table.request(operation, parameters.build(), call)
    last_key = reply.get("LastEvaluatedKey")
    return {
        "items": [to_plain_item(item) for item in reply.get("Items", ())],
        "nextToken": table.tokens.seal(last_key, *binding) if last_key else None,
        "scannedCount": reply.get("ScannedCount", 0),
    }


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise malformed(f"Expected JSON number for field '$[limit]' but got '{json_kind(value)}' instead.")
    return int(value)
