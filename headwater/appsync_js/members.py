"""What the AppSync modules offer: a name they do not have is refused at load, as the service's type check does."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from tree_sitter import Node

from headwater.appsync_js.syntax import SourceTree, string_value, text_of

Finding = tuple[Node, str, str]
# The members of a value of the runtime; None where it is a function.
Members: TypeAlias = Mapping[str, "Members | None"]


def _functions(names: str) -> Members:
    return dict.fromkeys(names.split())


UTIL: Members = {
    **_functions(
        "error appendError unauthorized base64Encode base64Decode urlEncode urlDecode escapeJavaScript matches autoId "
        "autoUlid autoKsuid authType"
    ),
    "dynamodb": _functions(
        "toDynamoDB toString toStringSet toNumber toNumberSet toBinary toBinarySet toBoolean toNull toList toMap "
        "toMapValues toS3Object fromS3ObjectJson"
    ),
    "http": _functions("copyHeaders addResponseHeader addResponseHeaders"),
    "math": _functions("roundNum minVal maxVal randomDouble randomWithinRange"),
    "rds": _functions("toJsonObject toJsonString"),
    "str": _functions("normalize"),
    "time": _functions(
        "nowISO8601 nowEpochSeconds nowEpochMilliSeconds nowFormatted parseFormattedToEpochMilliSeconds "
        "parseISO8601ToEpochMilliSeconds epochMilliSecondsToSeconds epochMilliSecondsToISO8601 "
        "epochMilliSecondsToFormatted"
    ),
    "transform": _functions(
        "toDynamoDBFilterExpression toDynamoDBConditionExpression toSubscriptionFilter toElasticsearchQueryDSL"
    ),
    "xml": _functions("toMap toJsonString"),
}
GLOBALS: Members = {
    "util": UTIL,
    "runtime": _functions("earlyReturn"),
    "extensions": _functions(
        "evictFromApiCache setSubscriptionFilter setSubscriptionInvalidationFilter invalidateSubscriptions"
    ),
}
MODULES: Mapping[str, Members] = {
    "@aws-appsync/utils": GLOBALS,
    "@aws-appsync/utils/dynamodb": {
        **_functions(
            "get put update remove query scan sync batchGet batchPut batchDelete transactGet transactWrite "
            "toStringSet toNumberSet toBinarySet"
        ),
        "operations": _functions("add remove replace increment decrement append prepend updateListItem"),
    },
    "@aws-appsync/utils/rds": {
        **_functions("select insert update remove sql createPgStatement createMySQLStatement toJsonObject"),
        "typeHint": _functions("DECIMAL JSON TIME DATE UUID TIMESTAMP"),
        "agg": _functions("max maxDistinct min minDistinct count countDistinct avg avgDistinct sum sumDistinct"),
    },
    "@aws-appsync/utils/ai": _functions("invokeModel converse"),
}
# What code that was written for request templates asks of util, and what APPSYNC_JS has for it.
INSTEAD = {
    "toJson": "JSON.stringify()",
    "parseJson": "JSON.parse()",
    "isNull": "comparison with null",
    "isNullOrEmpty": "comparison with null and ''",
    "defaultIfNull": "the operator ??",
    "validate": "util.error() in an if",
    "qr": "the call itself",
    "quiet": "the call itself",
    "toDynamoDBJson": "util.dynamodb.toDynamoDB()",
    "toMapValuesJson": "util.dynamodb.toMapValues()",
    "toStringJson": "util.dynamodb.toString()",
    "toNumberJson": "util.dynamodb.toNumber()",
}


def check_members(tree: SourceTree) -> Iterator[Finding]:
    """Imports of, and reads from, the AppSync modules that name what those do not have."""
    for node in tree.nodes:
        if node.type == "import_specifier":
            module = _module_of(node)
            name = text_of(node.child_by_field_name("name"))
            # Names of types, which begin with a capital, may be imported for documentation.
            if module in MODULES and name not in MODULES[module] and not name[:1].isupper():
                yield node, "no-unknown-member", f"{module} has no {name}"
        elif node.type == "member_expression":
            members = _members_of(node.child_by_field_name("object"), tree)
            name = text_of(node.child_by_field_name("property"))
            if members is not None and name not in members:
                hint = f": use {INSTEAD[name]}" if name in INSTEAD else ""
                owner = text_of(node.child_by_field_name("object"))
                yield node, "no-unknown-member", f"{owner}.{name} is not available in APPSYNC_JS{hint}"


def _module_of(specifier: Node) -> str:
    statement: Node | None = specifier
    while statement is not None and statement.type != "import_statement":
        statement = statement.parent
    return "" if statement is None else string_value(statement.child_by_field_name("source")) or ""


def _members_of(node: Node | None, tree: SourceTree) -> Members | None:
    """What an expression that names a value of the runtime offers; None for any other expression."""
    if node is None:
        return None
    if node.type == "member_expression":
        owner = _members_of(node.child_by_field_name("object"), tree)
        return None if owner is None else owner.get(text_of(node.child_by_field_name("property")))
    if node.type != "identifier":
        return None
    binding = tree.bindings.find(node)
    if binding is None:
        return GLOBALS.get(text_of(node))
    declaration = binding.identifier.parent
    if declaration is None:
        return None
    if declaration.type == "namespace_import":
        return MODULES.get(_module_of(declaration))
    if declaration.type == "import_specifier":
        exported = text_of(declaration.child_by_field_name("name"))
        return MODULES.get(_module_of(declaration), {}).get(exported)
    return None
