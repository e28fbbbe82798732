"""Operations resolve, complete and fail field by field."""

import asyncio
from typing import Any

import pytest

from headwater.engine import FieldCall, Limits
from headwater.errors import DataSourceError, RequestError, TemplateError

SDL = """
type Query { post(id: ID, limit: Int = 3): Post posts: [Post!] list: [Int] node: Node text: String kind: Kind
  json: AWSJSON when: AWSDateTime count: Int! filter(input: Filter): String wide: [Node] }
input Filter { name: String limit: Int = 7 tags: [String!] data: AWSJSON }
enum Kind { BIG SMALL }
interface Node { id: ID! }
type Post implements Node { id: ID! title: String author: Author comments: [Comment!] next: Post must: Int! }
type Comment { text: String author: Author! }
type Author { name: String! }
type Other implements Node { id: ID! size: Int }
type Mutation { first: Int second: Int! third: Post many: [Node] quiet: Post }
type Subscription { onThird: Post @aws_subscribe(mutations: ["third"])
  onMany: [Node] @aws_subscribe(mutations: ["many"])
  onSecond: Int @aws_subscribe(mutations: ["second"]) }
"""


def fail(error: Exception) -> Any:
    def resolve(call: FieldCall) -> Any:
        raise error

    return resolve


async def test_a_field_without_resolver_is_the_property_of_its_source(make_api: Any) -> None:
    api = make_api(SDL, {"Query.post": lambda call: {"id": 5, "title": "t", "author": {"name": "n"}, "extra": 1}})

    assert await api.data("{ post { x: id title author { name } next { id } } }") == {
        "post": {"x": "5", "title": "t", "author": {"name": "n"}, "next": None}
    }


async def test_a_root_field_without_resolver_is_null_without_error(make_api: Any) -> None:
    assert await make_api(SDL, {}).data("{ text post { id } }") == {"text": None, "post": None}


async def test_an_error_of_a_resolver_nulls_its_field_and_keeps_its_members(make_api: Any) -> None:
    error = DataSourceError("no", "Lambda:Unhandled", data={"id": 1, "title": "t", "must": 2}, error_info={"a": 1})
    api = make_api(SDL, {"Query.post": fail(error), "Query.text": lambda call: "fine"})

    result = await api.run("{ text p: post { id title } }")

    assert result.body == {
        "data": {"text": "fine", "p": None},
        "errors": [
            {
                "path": ["p"],
                "data": {"id": 1, "title": "t"},
                "errorType": "Lambda:Unhandled",
                "errorInfo": {"a": 1},
                "locations": [{"line": 1, "column": 8, "sourceName": None}],
                "message": "no",
            }
        ],
    }


async def test_an_appended_error_leaves_the_value(make_api: Any) -> None:
    def resolve(call: FieldCall) -> Any:
        call.append_error(RequestError("careful", "Warned"))
        return "value"

    result = await make_api(SDL, {"Query.text": resolve}).run("{ text }")

    assert result.body["data"] == {"text": "value"}
    assert result.body["errors"][0]["errorType"] == "Warned"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("list", {}, "Can't resolve value (/list) : type mismatch error, expected type LIST, got OBJECT"),
        ("post { id }", [], "Can't resolve value (/post) : type mismatch error, expected type OBJECT, got LIST"),
        ("post { id }", {}, "Cannot return null for non-nullable type: 'ID' within parent 'Post' (/post/id)"),
        (
            "kind",
            "HUGE",
            "Can't serialize value (/kind) : Invalid input for Enum 'Kind'. No value found for name 'HUGE'",
        ),
        ("when", "x", "Can't serialize value (/when) : Unable to serialize `x` as a valid DateTime Object."),
        ("list", [1, "x"], "Can't serialize value (/list[1]) : Expected type 'Int' but was 'String'."),
        (
            "posts { comments { author { name } } }",
            [{"comments": [{"author": {"name": "a"}}, {"author": {}}]}],
            "Cannot return null for non-nullable type: 'String' within parent 'Author' "
            "(/posts[0]/comments[1]/author/name)",
        ),
        (
            "node { id }",
            {"id": 1},
            "Can't resolve '/node'. Abstract type 'Node' must resolve to an Object type at runtime for field "
            "'Query.node'. Could not determine the exact type of 'Node'",
        ),
    ],
)
async def test_a_value_that_does_not_fit_is_null_with_the_service_s_message(
    make_api: Any, field: str, value: Any, message: str
) -> None:
    name = field.split()[0]
    result = await make_api(SDL, {f"Query.{name}": lambda call: value}).run(f"{{ {field} }}")

    assert result.body["errors"][0]["message"] == message
    assert list(result.body["errors"][0]) == ["path", "locations", "message"]


async def test_every_required_null_of_an_object_is_reported(make_api: Any) -> None:
    messages = await make_api(SDL, {"Query.posts": lambda call: [{"id": 1}, {}]}).messages("{ posts { id must } }")

    assert [message.split("(")[1] for message in messages] == ["/posts[0]/must)", "/posts[1]/id)", "/posts[1]/must)"]


async def test_a_required_null_climbs_to_the_nearest_place_that_may_be_null(make_api: Any) -> None:
    api = make_api(
        SDL,
        {
            "Query.posts": lambda call: [{"id": 1, "comments": [{"text": "x"}]}, {"id": 2, "comments": []}],
            "Comment.author": lambda call: None,
        },
    )

    result = await api.run("{ posts { id comments { text author { name } } } }")

    assert result.body["data"] == {"posts": [{"id": "1", "comments": None}, {"id": "2", "comments": []}]}


async def test_the_type_of_an_abstract_value_is_its_typename(make_api: Any) -> None:
    api = make_api(
        SDL, {"Query.wide": lambda call: [{"__typename": "Post", "id": 1}, {"__typename": "Other", "id": 2}]}
    )

    assert await api.data("{ wide { __typename id ... on Other { size } ... on Post { title } } }") == {
        "wide": [{"__typename": "Post", "id": "1", "title": None}, {"__typename": "Other", "id": "2", "size": None}]
    }


async def test_a_default_counts_for_an_omitted_argument_and_not_for_null(make_api: Any) -> None:
    api = make_api(SDL, {"Query.post": lambda call: None})

    await api.data(
        "query ($l: Int, $i: ID) { a: post b: post(limit: null) c: post(limit: $l) d: post(id: $i) }".replace(
            "post", "post", 1
        )
        .replace(" b:", " { id } b:")
        .replace(" c:", " { id } c:")
        .replace(" d:", " { id } d:")
        .replace(") }", ") { id } }"),
        {"i": None},
    )

    assert [call.arguments for call in api.resolvers["Query", "post"].calls] == [
        {"limit": 3},
        {"limit": None},
        {"limit": 3},
        {"id": None, "limit": 3},
    ]


async def test_literals_and_variables_mix_in_input_objects(make_api: Any) -> None:
    api = make_api(SDL, {"Query.filter": lambda call: "ok"})

    await api.data(
        'query ($n: String, $t: String!) { filter(input: {name: $n, tags: [$t, "b"], data: "{\\"a\\":1}"}) }',
        {"t": "a"},
    )

    (call,) = api.resolvers["Query", "filter"].calls
    assert call.arguments == {"input": {"limit": 7, "tags": ["a", "b"], "data": {"a": 1}}}


async def test_arguments_of_one_request_are_not_seen_by_the_next(make_api: Any) -> None:
    def resolve(call: FieldCall) -> Any:
        call.arguments["input"]["tags"].append("mine")
        return "ok"

    api = make_api(SDL, {"Query.filter": resolve})
    query = 'query ($i: Filter = {tags: ["c"]}) { a: filter(input: {tags: ["a"]}) b: filter(input: $i) }'

    for _ in range(2):
        await api.data(query)

    assert [call.arguments["input"]["tags"] for call in api.resolvers["Query", "filter"].calls] == [
        ["a", "mine"],
        ["c", "mine"],
    ] * 2


async def test_sibling_fields_of_a_query_resolve_concurrently(make_api: Any) -> None:
    both_started = asyncio.Event()
    started: list[str] = []

    class Meeting:
        max_batch_size = 0

        async def resolve(self, call: FieldCall) -> Any:
            started.append(call.field_name)
            if len(started) == 2:
                both_started.set()
            await both_started.wait()
            return None

        async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
            raise AssertionError

    api = make_api(SDL, {"Query.text": Meeting(), "Query.kind": Meeting()})

    assert await api.data("{ text kind }") == {"text": None, "kind": None}


async def test_root_mutation_fields_run_one_after_the_other_with_all_below_them(make_api: Any) -> None:
    order: list[str] = []

    class Slow:
        max_batch_size = 0

        def __init__(self, name: str, value: Any) -> None:
            self.name, self.value = name, value

        async def resolve(self, call: FieldCall) -> Any:
            order.append(f"{self.name} starts")
            await asyncio.sleep(0)
            order.append(f"{self.name} ends")
            return self.value

        async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
            raise AssertionError

    resolvers = {
        "Mutation.third": Slow("third", {"id": 1}),
        "Post.next": Slow("next", None),
        "Mutation.first": Slow("first", 1),
    }
    await make_api(SDL, resolvers).data("mutation { third { next { id } } first }")

    assert order == ["third starts", "third ends", "next starts", "next ends", "first starts", "first ends"]


async def test_sibling_calls_of_a_batched_field_go_together_in_chunks(make_api: Any, resolver: Any) -> None:
    authors = resolver(lambda call: {"name": f"author of {call.source['id']}"}, max_batch_size=2)
    api = make_api(SDL, {"Query.posts": lambda call: [{"id": n} for n in range(5)], "Post.author": authors})

    data = await api.data("{ posts { author { name } } }")

    assert [post["author"]["name"] for post in data["posts"]] == [f"author of {n}" for n in range(5)]
    assert authors.batches == [2, 2, 1]


async def test_a_batched_field_below_single_resolvers_is_still_called_together(make_api: Any, resolver: Any) -> None:
    authors = resolver(lambda call: {"name": call.source["text"]}, max_batch_size=10)
    api = make_api(
        SDL,
        {
            "Query.posts": lambda call: [{"id": n} for n in range(3)],
            "Post.comments": lambda call: [{"text": f"{call.source['id']}-{n}"} for n in range(2)],
            "Comment.author": authors,
        },
    )

    data = await api.data("{ posts { comments { author { name } } } }")

    names = [[one["author"]["name"] for one in post["comments"]] for post in data["posts"]]
    assert names == [["0-0", "0-1"], ["1-0", "1-1"], ["2-0", "2-1"]]
    assert authors.batches == [6]


async def test_a_batch_may_fail_for_some_of_its_calls(make_api: Any, resolver: Any) -> None:
    authors = resolver(
        lambda call: RequestError("none", "Missing") if call.source["id"] == 1 else {"name": "n"}, max_batch_size=10
    )
    api = make_api(SDL, {"Query.posts": lambda call: [{"id": n} for n in range(3)], "Post.author": authors})

    result = await api.run("{ posts { author { name } } }")

    assert [post["author"] for post in result.body["data"]["posts"]] == [{"name": "n"}, None, {"name": "n"}]
    assert [(error["path"], error["errorType"]) for error in result.body["errors"]] == [
        (["posts", 1, "author"], "Missing")
    ]


async def test_a_batch_that_answers_too_few_fails_for_all(make_api: Any) -> None:
    class Short:
        max_batch_size = 10

        async def resolve(self, call: FieldCall) -> Any:
            raise AssertionError

        async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
            return [None]

    api = make_api(SDL, {"Query.posts": lambda call: [{"id": 1}, {"id": 2}], "Post.author": Short()})

    assert await api.messages("{ posts { author { name } } }") == ["The batch answered 1 results for 2 calls."] * 2


async def test_published_mutations_are_keyed_by_real_names_with_aliases_merged(make_api: Any) -> None:
    post = {"id": 1, "title": "t", "author": {"name": "n"}, "comments": [{"text": "c", "author": {"name": "m"}}]}
    api = make_api(SDL, {"Mutation.third": lambda call: post})

    result = await api.run(
        "mutation { x: third { i: id a: author { n: name } b: author { __typename } "
        "comments { author { who: name } } } }"
    )

    assert [(one.mutation_field, one.response, one.selected) for one in result.published] == [
        (
            "third",
            {"id": "1", "author": {"name": "n", "__typename": "Author"}, "comments": [{"author": {"name": "m"}}]},
            {"id": {}, "author": {"name": {}, "__typename": {}}, "comments": {"author": {"name": {}}}},
        )
    ]


async def test_published_objects_of_abstract_types_carry_their_typename(make_api: Any) -> None:
    values = [{"__typename": "Post", "id": 1, "next": {"id": 3, "title": "t"}}, None, {"__typename": "Other", "id": 2}]
    api = make_api(SDL, {"Mutation.many": lambda call: values})

    result = await api.run("mutation { many { id ... on Post { n: next { t: title } } } }")

    assert result.published[0].response == [
        {"__typename": "Post", "id": "1", "next": {"title": "t"}},
        None,
        {"__typename": "Other", "id": "2"},
    ]


async def test_fields_that_fail_are_not_published_and_the_others_are(make_api: Any) -> None:
    api = make_api(
        SDL,
        {
            "Mutation.third": lambda call: {"id": 1},
            "Mutation.second": fail(RequestError("x")),
            "Mutation.quiet": lambda c: {},
        },
    )

    result = await api.run("mutation { a: third { id } b: third { id must } second }")

    assert result.body["data"] is None
    assert [one.response for one in result.published] == [{"id": "1"}]


async def test_only_linked_mutations_are_published(make_api: Any) -> None:
    api = make_api(SDL, {"Mutation.quiet": lambda call: {"id": 1}})

    assert (await api.run("mutation { quiet { id } }")).published == ()


async def test_skip_and_include_follow_their_variables_each_time(make_api: Any) -> None:
    api = make_api(SDL, {"Query.post": lambda call: {"id": 1, "title": "t"}})
    query = "query ($s: Boolean!) { post { id @skip(if: $s) title @include(if: $s) } }"

    assert [await api.data(query, {"s": s}) for s in (True, False, True)] == [
        {"post": {"title": "t"}},
        {"post": {"id": "1"}},
        {"post": {"title": "t"}},
    ]


async def test_depth_and_resolver_limits_are_errors_at_their_field(make_api: Any) -> None:
    post = {"id": 1, "next": {"id": 2, "next": {"id": 3}}}
    api = make_api(
        SDL,
        {"Query.post": lambda call: post, "Post.author": lambda call: {"name": "n"}},
        limits=Limits(max_depth=3, max_resolvers=2),
    )

    result = await api.run("{ post { id next { id next { id } } author { name } } text a: post { author { name } } }")

    errors = [(error["path"], error["errorType"]) for error in result.body["errors"]]
    assert (["post", "next", "next", "id"], "QueryDepthLimitReached") in errors
    assert sum(kind == "ResolverExecutionLimitReached" for _, kind in errors) == 1
    assert result.body["data"]["post"]["next"] == {"id": "2", "next": None}


async def test_an_operation_that_takes_too_long_times_out_and_keeps_what_was_published(make_api: Any) -> None:
    class Stuck:
        max_batch_size = 0

        async def resolve(self, call: FieldCall) -> Any:
            await asyncio.get_running_loop().create_future()

        async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
            raise AssertionError

    api = make_api(
        SDL, {"Mutation.third": lambda call: {"id": 1}, "Mutation.first": Stuck()}, limits=Limits(timeout_s=0.01)
    )

    result = await api.run("mutation { third { id } first }")

    assert result.body["data"] is None
    assert [(error["errorType"], error["message"]) for error in result.body["errors"]] == [
        ("ExecutionTimeout", "Execution timed out.")
    ]
    assert len(result.published) == 1


async def test_a_time_out_of_a_resolver_s_own_is_not_taken_for_the_operation_s(make_api: Any) -> None:
    with pytest.raises(TimeoutError):
        await make_api(SDL, {"Query.text": fail(TimeoutError())}).run("{ text }")


async def test_a_bug_in_one_resolver_cancels_its_siblings(make_api: Any) -> None:
    cancelled: list[str] = []

    class Waiting:
        max_batch_size = 0

        async def resolve(self, call: FieldCall) -> Any:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(call.field_name)
                raise

        async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
            raise AssertionError

    api = make_api(SDL, {"Query.text": Waiting(), "Query.kind": fail(ZeroDivisionError())})

    with pytest.raises(ZeroDivisionError):
        await api.run("{ text kind }")
    assert cancelled == ["text"]


async def test_introspection_can_be_switched_off(make_api: Any) -> None:
    query = '{ __schema { queryType { name } } t: __type(name: "Post") { name } __typename }'
    api = make_api(SDL, {})
    closed = make_api(SDL, {}, limits=Limits(is_introspection_enabled=False))

    assert await api.data(query) == {
        "__schema": {"queryType": {"name": "Query"}},
        "t": {"name": "Post"},
        "__typename": "Query",
    }
    assert await closed.messages(query) == [
        "Validation error of type FieldUndefined: Field 'queryType' in type '__Schema' is undefined "
        "@ '__schema/queryType'",
        "Validation error of type FieldUndefined: Field 'name' in type '__Type' is undefined @ '__type/name'",
    ]
    assert await closed.data("{ __typename }") == {"__typename": "Query"}


async def test_introspection_that_is_off_hides_the_fields_behind_fragments_too(make_api: Any) -> None:
    closed = make_api(SDL, {}, limits=Limits(is_introspection_enabled=False))
    query = "{ __schema { ...S ... on __Schema { directives { name } } } } fragment S on __Schema { types { name } }"

    assert [message.partition(": ")[2].partition(" @")[0] for message in await closed.messages(query)] == [
        "Field 'directives' in type '__Schema' is undefined",
        "Field 'types' in type '__Schema' is undefined",
    ]


async def test_introspection_follows_its_variables(make_api: Any) -> None:
    api = make_api(SDL, {})
    query = "query ($n: String!) { __type(name: $n) { name } }"

    assert [await api.data(query, {"n": name}) for name in ("Post", "Other")] == [
        {"__type": {"name": "Post"}},
        {"__type": {"name": "Other"}},
    ]


async def test_too_many_tokens_or_fields_or_levels_are_refused(make_api: Any) -> None:
    api = make_api(SDL, {}, limits=Limits(max_plan_fields=500))
    explosion = "query { node { ...F0 } } " + " ".join(
        f"fragment F{n} on Post {{ a: next {{ ...F{n + 1} }} b: next {{ ...F{n + 1} }} }}" for n in range(12)
    )

    assert await api.messages("{ " + "text " * 15_000 + "}") == ["Maximum char length exceeded"]
    assert await api.messages(explosion + " fragment F12 on Post { id }") == [
        "The selection expands to more than 500 fields."
    ]
    assert (await api.run("{ post " + "{ next " * 5_000 + "{ id }" + "}" * 5_001)).body["errors"]


async def test_a_fragment_is_completed_alike_wherever_it_is_spread(make_api: Any) -> None:
    post = {"id": 1, "title": "t", "next": {"id": 2, "title": "u"}, "must": None}
    api = make_api(
        SDL,
        {"Query.post": lambda call: post, "Mutation.third": lambda call: post, "Mutation.quiet": lambda call: post},
        limits=Limits(max_depth=2),
    )
    refused = {
        "path": ["b", "next", "t"],
        "data": None,
        "errorType": "QueryDepthLimitReached",
        "errorInfo": None,
        "locations": [{"line": 1, "column": 91, "sourceName": None}],
        "message": "Query depth limit of 2 reached.",
    }

    result = await api.run(
        "{ a: post { ...F } b: post { ...F next { ...F } } c: post { ...F } } fragment F on Post { t: title }"
    )
    repeated = await api.run(
        "mutation { x: third { ...F } y: third { ...F } z: quiet { ...F } } fragment F on Post { t: title must }"
    )

    assert result.body == {
        "data": {"a": {"t": "t"}, "b": {"t": "t", "next": {"t": None}}, "c": {"t": "t"}},
        "errors": [refused],
    }
    assert repeated.body["data"] == {"x": None, "y": None, "z": None}
    assert [error["path"] for error in repeated.body["errors"]] == [["x", "must"], ["y", "must"], ["z", "must"]]


async def test_documents_are_forgotten_in_order_of_use(make_api: Any) -> None:
    api = make_api(SDL, {}, limits=Limits(max_cached_documents=2))

    for query in ("{ text }", "{ kind }", "{ text }", "{ list }"):
        await api.data(query)

    assert api.engine.cached_queries == ("{ text }", "{ list }")


async def test_documents_are_forgotten_by_their_compiled_size(make_api: Any) -> None:
    """Each takes at least 500 times its text, a second plan of the same document as much as the document."""
    bound = 500 * 3 * len("query A($c: Boolean!) { text @skip(if: $c) }")
    api = make_api(SDL, {}, limits=Limits(max_cached_bytes=bound))
    first, second, third = (f"query {name}($c: Boolean!) {{ text @skip(if: $c) }}" for name in "ABC")

    for query in (first, second, third):
        await api.data(query, {"c": False})
    before = api.engine.cached_queries
    await api.data(third, {"c": True})
    after = api.engine.cached_queries
    await api.data("{ text } #" + "x" * bound)

    assert before == (first, second, third)
    assert after == (second, third)
    assert api.engine.cached_queries == (second, third)


async def test_extensions_of_the_request_are_part_of_the_response(make_api: Any) -> None:
    def resolve(call: FieldCall) -> Any:
        call.request.extensions["apiCacheEntriesDeleted"] = 1
        return None

    result = await make_api(SDL, {"Query.text": resolve}).run("{ text }")

    assert result.body == {"data": {"text": None}, "extensions": {"apiCacheEntriesDeleted": 1}}


async def test_info_lists_and_prints_the_selection(make_api: Any) -> None:
    api = make_api(SDL, {"Query.post": lambda call: None, "Query.node": lambda call: None})

    await api.data(
        "query Q($s: Boolean!) { post(id: 1) { id a: author { name } ...F comments @skip(if: $s) { text } } "
        "node { id ... on Post { title } } } fragment F on Post { title author { name } }",
        {"s": True, "unused": 1},
    )

    (call,) = api.resolvers["Query", "post"].calls
    assert call.info.selection_set_list == ["id", "a", "a/name", "title", "author", "author/name"]
    assert call.info.selection_set_graphql == (
        "{\n  id\n  a: author {\n    name\n  }\n  ...F\n  comments @skip(if: $s) {\n    text\n  }\n}"
    )
    assert call.info.variables == {"s": True, "unused": 1}
    assert (call.parent_type, call.field_name, call.source) == ("Query", "post", None)
    assert api.resolvers["Query", "node"].calls[0].info.selection_set_list == ["id"]


async def test_info_of_a_leaf_is_empty(make_api: Any) -> None:
    api = make_api(SDL, {"Query.text": lambda call: None})

    await api.data("{ text }")

    (call,) = api.resolvers["Query", "text"].calls
    assert (call.info.selection_set_list, call.info.selection_set_graphql) == ([], "")


def test_a_resolver_of_a_field_that_does_not_exist_is_refused(make_api: Any) -> None:
    with pytest.raises(TemplateError, match=r"a resolver is attached to Query\.nope"):
        make_api(SDL, {"Query.nope": lambda call: None})
