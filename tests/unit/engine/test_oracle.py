"""Compiled plans answer what graphql-core's `execute` answers, for generated queries over generated data."""

import asyncio
from typing import Any

import orjson
from graphql import execute, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.engine import FieldCall, GraphQLEngine, GraphQLRequest, RequestContext, load_schema
from headwater.errors import RequestError
from headwater.values.identity import GraphQLCaller

SDL = """
type Query { node: Node nodes: [Node!] item: Item items: [Item!]! thing: Thing must: Item! matrix: [[Int!]] }
type Mutation { save: Item keep: [Thing] }
type Subscription { saved: Item @aws_subscribe(mutations: ["save"]) kept: [Thing] @aws_subscribe(mutations: ["keep"]) }
enum Status { ON OFF }
union Thing = Item | Other
interface Node { id: ID! title: String }
type Item implements Node {
  id: ID! title: String count: Int! price: Float flag: Boolean! status: Status tags: [String!]!
  parent: Item children: [Item!] options: [Item] slow: String late: Item strict: Item!
}
type Other implements Node { id: ID! title: String n: Int other: Node things: [Thing!]! }
"""
# name -> (type of the objects below it, None for leaves)
FIELDS: dict[str, dict[str, str | None]] = {
    "Query": {
        "node": "Node",
        "nodes": "Node",
        "item": "Item",
        "items": "Item",
        "thing": "Thing",
        "must": "Item",
        "matrix": None,
    },
    "Mutation": {"save": "Item", "keep": "Thing"},
    "Node": {"id": None, "title": None},
    "Thing": {},
    "Item": {
        **dict.fromkeys(["id", "title", "count", "price", "flag", "status", "tags", "slow"]),
        **dict.fromkeys(["parent", "children", "options", "late", "strict"], "Item"),
    },
    "Other": {"id": None, "title": None, "n": None, "other": "Node", "things": "Thing"},
}
CONDITIONS = {"Node": ["Item", "Other"], "Thing": ["Item", "Other", "Node"], "Item": ["Node"], "Other": ["Node"]}
RESOLVED = [
    *((root, name) for root in ("Query", "Mutation") for name in FIELDS[root]),
    ("Item", "slow"),
    ("Item", "late"),
    ("Item", "strict"),
    ("Other", "things"),
]


class SourceResolver:
    """Reads the field from its source, or from `root`; the text `boom` is an error."""

    def __init__(self, root: dict[str, Any], max_batch_size: int) -> None:
        self.root = root
        self.max_batch_size = max_batch_size

    def value(self, call: FieldCall) -> Any:
        value = (self.root if call.source is None else call.source).get(call.field_name)
        return RequestError("boom", "Boom") if value == "boom" else value

    async def resolve(self, call: FieldCall) -> Any:
        value = self.value(call)
        if isinstance(value, RequestError):
            raise value
        return value

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        return [self.value(call) for call in calls]


class ImmediateResolver(SourceResolver):
    """Never waits, and says so."""

    def resolve_now(self, call: FieldCall) -> Any:
        value = self.value(call)
        if isinstance(value, RequestError):
            raise value
        return value


# In place of a batch size: resolvers that never wait.
IMMEDIATE = -1


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, st.none())


LEAVES = {
    "id": maybe(st.one_of(st.text(max_size=3), st.integers(0, 9))),
    "title": maybe(st.one_of(st.text(max_size=3), st.just("boom"))),
    "count": maybe(st.one_of(st.integers(-3, 3), st.just("x"), st.just(2**40))),
    "price": maybe(st.one_of(st.floats(-2, 2), st.integers(0, 3), st.just("x"))),
    "flag": maybe(st.one_of(st.booleans(), st.just("x"))),
    "status": maybe(st.sampled_from(["ON", "OFF", "BAD"])),
    "tags": maybe(st.one_of(st.lists(maybe(st.text(max_size=2)), max_size=2), st.just(5))),
    "slow": maybe(st.sampled_from(["a", "boom"])),
    "n": maybe(st.integers(0, 3)),
}


def item(children: st.SearchStrategy[Any], node: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"__typename": st.just("Item")},
        optional={
            **{name: LEAVES[name] for name in ("title", "price", "status", "slow")},
            "id": LEAVES["id"],
            "count": LEAVES["count"],
            "flag": LEAVES["flag"],
            "tags": LEAVES["tags"],
            "parent": maybe(children),
            "children": maybe(st.lists(maybe(children), max_size=2)),
            "options": maybe(st.one_of(st.lists(maybe(children), max_size=2), st.just(7))),
            "late": maybe(st.one_of(children, st.just("boom"))),
            "strict": maybe(children),
        },
    )


def other(items: st.SearchStrategy[Any], node: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"__typename": st.sampled_from(["Other", "Other", "Other", "Missing"])},
        optional={
            "id": LEAVES["id"],
            "title": LEAVES["title"],
            "n": LEAVES["n"],
            "other": maybe(node),
            "things": maybe(st.lists(maybe(node), max_size=2)),
        },
    )


LEAF_ITEM = item(st.none(), st.none())
ITEM_1 = item(LEAF_ITEM, LEAF_ITEM)
NODE_1 = st.one_of(ITEM_1, other(LEAF_ITEM, LEAF_ITEM))
ITEM_2 = item(ITEM_1, NODE_1)
NODE_2 = st.one_of(ITEM_2, other(ITEM_1, NODE_1))
DATA = st.fixed_dictionaries(
    {
        "node": maybe(NODE_2),
        "nodes": maybe(st.lists(maybe(NODE_2), max_size=3)),
        "item": maybe(ITEM_2),
        "items": maybe(st.lists(maybe(ITEM_2), max_size=3)),
        "thing": maybe(NODE_2),
        "must": maybe(ITEM_1),
        "matrix": maybe(st.lists(maybe(st.lists(maybe(st.integers(0, 3)), max_size=2)), max_size=2)),
        "save": maybe(ITEM_2),
        "keep": maybe(st.lists(maybe(NODE_2), max_size=3)),
    }
)


@st.composite
def selections(draw: st.DrawFn, parent: str, depth: int) -> str:
    """A non-empty selection set; a response key always means the same field, so nothing conflicts."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["field", "field", "field", "inline", "spread", "typename"]))
        condition = draw(st.sampled_from(["", "", "", " @include(if: $yes)", " @skip(if: $yes)", " @skip(if: $no)"]))
        names = [name for name, below in FIELDS[parent].items() if below is None or depth > 0]
        if kind == "field" and names:
            name = draw(st.sampled_from(names))
            alias = draw(st.sampled_from(["", "", f"{name}_x: ", f"{name}_y: "]))
            below = FIELDS[parent][name]
            parts.append(f"{alias}{name}{condition}" + (draw(selections(below, depth - 1)) if below else ""))
        elif kind == "inline" and parent in CONDITIONS:
            target = draw(st.sampled_from(CONDITIONS[parent]))
            parts.append(f"... on {target}{condition} {draw(selections(target, depth))}")
        elif kind == "spread" and parent in ("Item", "Node", "Thing"):
            parts.append(f"...{'F' if parent == 'Item' else 'G'}{condition}")
        else:
            parts.append("__typename")
    return "{ " + " ".join(parts) + " }"


# U makes sure that every variable and fragment is used, so that validation has nothing to say about generated text.
FRAGMENTS = """
fragment F on Item { id title ...G children { id count parent { strict { id } } } }
fragment G on Node { id ... on Item { slow tags } ... on Other { n other { id } } }
fragment U on Item { id @skip(if: $yes) title @skip(if: $no) ...F }
"""


def run_both(text: str, root: dict[str, Any], variables: dict[str, Any], batch: int) -> tuple[Any, Any, Any]:
    schema = load_schema(SDL)
    resolver = ImmediateResolver(root, 0) if batch == IMMEDIATE else SourceResolver(root, batch)
    engine = GraphQLEngine(schema, dict.fromkeys(RESOLVED, resolver), default_mode="API_KEY")
    context = RequestContext(GraphQLCaller("API_KEY"))

    def resolve(source: Any, info: Any) -> Any:
        value = (source or root).get(info.field_name)
        if value == "boom" and (info.parent_type.name, info.field_name) in RESOLVED:
            raise RequestError("boom", "Boom")
        return value

    async def both() -> tuple[Any, Any, Any]:
        ours = await engine.execute(GraphQLRequest(text, variables), context)
        theirs: Any = execute(
            schema.graphql,
            parse(text),
            variable_values=variables,
            field_resolver=resolve,
            type_resolver=lambda value, info, abstract_type: value.get("__typename"),
        )
        return ours.body, theirs, ours.published

    return asyncio.run(both())


def null_place(data: Any, path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shortest part of a path where the data is null."""
    for length, key in enumerate(path):
        if data is None:
            return path[:length]
        data = data[key]
    return path


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(selections("Query", 4), DATA, st.booleans(), st.booleans(), st.sampled_from([0, 1, 3, IMMEDIATE]))
def test_a_compiled_query_answers_what_graphql_core_answers(
    selection: str, root: dict[str, Any], yes: bool, no: bool, batch: int
) -> None:
    text = (
        f"query ($yes: Boolean!, $no: Boolean = false) {{ ...S item @skip(if: true) {{ ...U }} }} "
        f"fragment S on Query {selection} {FRAGMENTS}"
    )

    body, theirs, _ = run_both(text, root, {"yes": yes, "no": no}, batch)

    data = body["data"]
    assert data == theirs.data
    assert list_keys(data) == list_keys(theirs.data)
    # Several errors below one null are reported by us, as by the service, and cut short by graphql-core.
    ours = {null_place(data, tuple(error["path"])) for error in body.get("errors", [])}
    assert ours == {null_place(data, tuple(error.path or ())) for error in theirs.errors or ()}


def list_keys(data: Any) -> Any:
    """The order of response keys, which equality of dicts does not see."""
    if isinstance(data, dict):
        return [(key, list_keys(value)) for key, value in data.items()]
    return [list_keys(item) for item in data] if isinstance(data, list) else None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(selections("Item", 3), DATA, st.booleans(), st.sampled_from([0, IMMEDIATE]))
def test_what_a_mutation_publishes_is_its_response_by_real_names(
    selection: str, root: dict[str, Any], yes: bool, batch: int
) -> None:
    text = (
        f"mutation ($yes: Boolean!, $no: Boolean = false) {{ a: save {selection} k: keep {{ __typename ...F ...G }} "
        f"u: save @skip(if: $yes) {{ ...U }} }} {FRAGMENTS}"
    )

    body, theirs, published = run_both(text, root, {"yes": yes, "no": False}, batch)

    assert body["data"] == theirs.data
    expected = [name for key, name in (("a", "save"), ("k", "keep"), ("u", "save")) if body["data"].get(key)]
    assert [one.mutation_field for one in published if one.response] == expected
    for one in published:
        for entry in one.response if isinstance(one.response, list) else [one.response]:
            assert all(not key.endswith(("_x", "_y")) for key in entry or ())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(selections("Item", 3), selections("Thing", 3), DATA, st.booleans())
def test_a_subscriber_with_the_mutation_s_selection_gets_the_mutation_s_response(
    save: str, keep: str, root: dict[str, Any], yes: bool
) -> None:
    variables = {"yes": yes, "no": False}
    head = "($yes: Boolean!, $no: Boolean = false)"
    tail = f"fragment V on Item {{ ...U }} {FRAGMENTS}"
    engine = GraphQLEngine(load_schema(SDL), {}, default_mode="API_KEY")

    for name, field, selection in (("saved", "save", save), ("kept", "keep", keep)):
        used = "... on Item @skip(if: true) { ...V }"
        text = f"{head} {{ {{}} {{ {used} {selection[1:-1]} }} }} {tail}"
        body, _, published = run_both("mutation " + text.replace("{}", field, 1), root, variables, 0)
        prepared = engine.prepare_subscription(
            GraphQLRequest("subscription " + text.replace("{}", name, 1), variables), GraphQLCaller("API_KEY")
        )

        for one in published:
            assert orjson.loads(prepared.projection.project(one.response)) == {"data": {name: body["data"][field]}}
            assert prepared.projection.unselected_fields(one.selected) == []
