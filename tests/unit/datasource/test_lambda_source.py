"""Lambda data sources: with code, direct, batched and asynchronous."""

from typing import Any

import orjson
import pytest

from headwater.datasource import DirectLambdaResolver, LambdaSource
from headwater.errors import DataSourceError, RequestError, ServiceError
from tests.unit.datasource.calls import FieldCall, FieldInfo, Function, GraphQLRequest, Reply, User, unit

IDENTITY = {"sub": "192879fc", "username": "jdoe", "groups": None}


def direct(function: Function, max_batch_size: int = 0) -> DirectLambdaResolver:
    return DirectLambdaResolver(function.source(), name="Mutation.createSomething", max_batch_size=max_batch_size)


def create_call(**arguments: Any) -> FieldCall:
    return FieldCall(
        "Mutation",
        "createSomething",
        arguments,
        None,
        FieldInfo(["id", "field1"], "{\n  id\n  field1\n}"),
        GraphQLRequest(caller=User(IDENTITY)),
    )


async def test_with_code_the_event_is_the_payload() -> None:
    function = Function(b'{"a": 1}')

    value = await unit(function.source(), "return { operation: 'Invoke', payload: { id: ctx.args.id } };").resolve(
        FieldCall(arguments={"id": "7"})
    )

    assert (value, function.events) == ({"a": 1}, [b'{"id":"7"}'])


async def test_the_event_of_a_direct_resolver_has_the_members_of_the_recorded_one() -> None:
    function = Function(b'{"id": "1"}')

    value = await direct(function).resolve(create_call(id="my identifier"))

    assert value == {"id": "1"}
    assert orjson.loads(function.events[0]) == {
        "arguments": {"id": "my identifier"},
        "identity": IDENTITY,
        "source": None,
        "request": {"headers": {"x-api-key": "da2-k"}, "domainName": None},
        "prev": None,
        "info": {
            "selectionSetList": ["id", "field1"],
            "selectionSetGraphQL": "{\n  id\n  field1\n}",
            "fieldName": "createSomething",
            "parentTypeName": "Mutation",
            "variables": {},
        },
        "stash": {},
    }


async def test_a_direct_resolver_takes_the_type_of_the_exception() -> None:
    function = Function(b'{"errorMessage": "no such thing", "errorType": "NotFound"}', "Unhandled")

    with pytest.raises(DataSourceError, match="no such thing") as failure:
        await direct(function).resolve(create_call())

    assert failure.value.error_type == "NotFound"


async def test_an_unauthorized_exception_keeps_its_reason_to_itself() -> None:
    function = Function(b'{"errorMessage": "secret", "errorType": "UnauthorizedException"}', "Unhandled")

    with pytest.raises(DataSourceError) as failure:
        await direct(function).resolve(create_call())

    assert failure.value.message == "You are not authorized to make this call."


async def test_a_direct_batch_sends_a_list_of_contexts() -> None:
    replies = [{"data": {"id": "1"}}, {"errorMessage": "bad", "errorType": "Bad", "data": {"id": "x"}}, None]
    function = Function(orjson.dumps(replies))

    values = await direct(function, 5).resolve_batch([create_call(user_id=str(n)) for n in range(3)])

    assert [event["arguments"] for event in orjson.loads(function.events[0])] == [{"user_id": str(n)} for n in range(3)]
    assert values[0] == {"id": "1"}
    assert (values[1].message, values[1].error_type, values[1].data) == ("bad", "Bad", {"id": "x"})
    assert values[2] is None


async def test_a_batch_is_cut_at_its_size() -> None:
    function = Function(b"[1, 2]")
    resolver = unit(function.source(), "return { operation: 'BatchInvoke', payload: ctx.args.n };", max_batch_size=2)

    values = await resolver.resolve_batch([FieldCall(arguments={"n": n}) for n in range(4)])

    assert function.events == [b"[0,1]", b"[2,3]"]
    assert values == [1, 2, 1, 2]


async def test_a_thrown_error_reaches_every_element_of_the_batch() -> None:
    function = Function(b'{"errorMessage": "boom"}', "Unhandled")
    resolver = unit(
        function.source(), "return { operation: 'BatchInvoke' };", "return ctx.error.message;", max_batch_size=5
    )

    assert await resolver.resolve_batch([FieldCall(), FieldCall()]) == ["boom", "boom"]


async def test_a_batch_reply_of_another_length_is_an_error() -> None:
    resolver = unit(
        Function(b"[1]").source(), "return { operation: 'BatchInvoke' };", "return ctx.error.message;", max_batch_size=5
    )

    assert (
        await resolver.resolve_batch([FieldCall(), FieldCall()])
        == ["BatchInvoke was given 2 payloads but the reply has 1 items."] * 2
    )


async def test_one_call_with_batch_invoke_is_a_batch_of_one() -> None:
    function = Function(b"[5]")

    assert await unit(function.source(), "return { operation: 'BatchInvoke', payload: 1 };").resolve(FieldCall()) == 5
    assert function.events == [b"[1]"]


async def test_an_event_invocation_gives_null_and_does_not_wait() -> None:
    sent: list[bytes] = []

    async def invoke(payload: bytes) -> Reply:
        raise AssertionError("waited for the reply")

    async def invoke_event(payload: bytes) -> None:
        sent.append(payload)

    resolver = unit(
        LambdaSource(invoke, invoke_event), "return { operation: 'Invoke', invocationType: 'Event', payload: 1 };"
    )

    assert await resolver.resolve(FieldCall()) is None
    assert sent == [b"1"]


async def test_a_missing_function_is_an_illegal_argument() -> None:
    async def invoke(payload: bytes) -> Reply:
        raise ServiceError("ResourceNotFoundException", "Function not found", status=404)

    resolver = unit(LambdaSource(invoke), "return { operation: 'Invoke' };", "return ctx.error.type;")

    assert await resolver.resolve(FieldCall()) == "Lambda:IllegalArgument"


async def test_a_request_without_an_operation_is_a_mapping_template_error() -> None:
    with pytest.raises(RequestError) as failure:
        await unit(Function().source(), "return { payload: 1 };").resolve(FieldCall())

    assert failure.value.message == "Value for field '$[operation]' not found."
    assert failure.value.error_type == "MappingTemplate"


async def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(RequestError, match="Unsupported operation 'Call'"):
        await unit(Function().source(), "return { operation: 'Call' };").resolve(FieldCall())


@pytest.mark.parametrize("levels", [201, 254, 900, 5000])
async def test_a_reply_nested_too_deeply_is_an_error_of_the_function(levels: int) -> None:
    function = Function(b"[" * levels + b"]" * levels)

    with pytest.raises(DataSourceError, match="cannot be read") as caught:
        await direct(function).resolve(create_call())

    assert caught.value.error_type == "Lambda:IllegalArgument"
