"""HTTP/1.1 over a socket: what the server accepts, refuses and closes."""

import asyncio
import json
import socket

import pytest
import uvloop

from headwater.server.http.answers import HttpLimits
from headwater.server.http.server import HttpServer
from headwater.server.http.shared import KnownHead, KnownHeads
from headwater.values.http import HttpRequest, HttpResponse
from tests.integration.raw_http import RawClient, connected, echo, on_both_loops, serving

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@on_both_loops
async def test_a_request_is_answered_and_the_connection_kept() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(GET)
        first = await client.answer()
        client.write(GET)
        second = await client.answer()

    assert (first.status, first.body) == (200, b"GET /a?b=1 ")
    assert first.headers["content-type"] == "text/plain"
    assert "GMT" in first.headers["date"]
    assert second.body == first.body


@on_both_loops
async def test_pipelined_requests_are_answered_in_order_when_some_wait() -> None:
    paths = [f"/wait{i}" if i % 3 else f"/now{i}" for i in range(40)]
    async with serving() as (_, port), connected(port) as client:
        client.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
        bodies = [(await client.answer()).body.decode() for _ in paths]

    assert bodies == [f"GET {path}? " for path in paths]


@on_both_loops
async def test_a_request_may_arrive_byte_by_byte() -> None:
    request = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    async with serving() as (_, port), connected(port) as client:
        for byte in request:
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        answer = await client.answer()

    assert answer.body == b"POST /p? abc"


@on_both_loops
async def test_chunked_bodies_are_joined() -> None:
    request = (
        b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
    )
    async with serving() as (_, port), connected(port) as client:
        client.write(request + GET)
        answers = [await client.answer(), await client.answer()]

    assert [answer.body for answer in answers] == [b"POST /p? abcde", b"GET /a?b=1 "]


@on_both_loops
async def test_expect_100_continue_gets_its_interim_answer() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        interim = await client.answer()
        client.write(b"ok")
        final = await client.answer()

    assert interim.status == 100
    assert final.body == b"POST /p? ok"


@on_both_loops
async def test_expect_with_a_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with serving(limits=HttpLimits(max_body_bytes=10)) as (_, port), connected(port) as client:
        client.write(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        answer = await client.answer()

    assert answer.status == 413


@on_both_loops
async def test_the_interim_answer_waits_for_earlier_answers() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(
            b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
            b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        statuses = [(await client.answer()).status, (await client.answer()).status]
        client.write(b"ok")
        statuses.append((await client.answer()).status)

    assert statuses == [200, 100, 200]


@on_both_loops
async def test_head_has_the_length_but_no_body() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        head = await client.answer(is_head=True)
        get = await client.answer()

    assert head.headers["content-length"] == str(len("HEAD /a? "))
    assert get.body == b"GET /a?b=1 "


@on_both_loops
async def test_204_has_neither_length_nor_body() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(204, (), b"ignored")

    async with serving(handler) as (_, port), connected(port) as client:
        client.write(GET + GET)
        answers = [await client.answer(), await client.answer()]

    assert [answer.status for answer in answers] == [204, 204]
    assert "content-length" not in answers[0].headers


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("request_bytes", "closes"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
    ],
)
def test_the_connection_closes_as_the_request_says(run: object, request_bytes: bytes, closes: bool) -> None:
    async def scenario() -> None:
        async with serving() as (_, port), connected(port) as client:
            client.write(request_bytes)
            answer = await client.answer()
            assert answer.status == 200
            assert (answer.headers.get("connection") == "close") is closes
            if closes:
                assert await client.is_closed()
            else:
                client.write(GET)
                assert (await client.answer()).status == 200

    run(scenario())  # type: ignore[operator]  # one of the two runners above


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x00\x05hello", 400),
        (b"NOT HTTP\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 3000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 3000, 431),
        (b"GET /" + b"a" * 3000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: 1\r\n" * 1000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 5000, 431),
    ],
)
def test_a_bad_request_gets_a_json_error_and_the_connection_ends(request_bytes: bytes, status: int) -> None:
    async def scenario() -> None:
        limits = HttpLimits(max_head_bytes=2000, max_body_bytes=1000)
        async with serving(limits=limits) as (_, port), connected(port) as client:
            # In pieces: an unfinished head must be refused without its end.
            for start in range(0, len(request_bytes), 700):
                client.write(request_bytes[start : start + 700])
                await asyncio.sleep(0.001)
            answer = await client.answer()
            body = json.loads(answer.body)
            assert answer.status == status
            assert body["errors"][0]["message"] == body["message"]
            assert await client.is_closed()

    uvloop.run(scenario())


@on_both_loops
async def test_requests_before_a_malformed_one_are_still_answered() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + b"rubbish\r\n\r\n")
        statuses = [(await client.answer()).status, (await client.answer()).status]

    assert statuses == [200, 400]


@on_both_loops
async def test_a_handler_that_fails_answers_500_and_the_connection_goes_on() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        statuses = [(await client.answer()).status, (await client.answer()).status]

    assert statuses == [500, 200]


@on_both_loops
async def test_a_header_with_a_line_break_is_never_sent() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (("x", "a\r\nset-cookie: b"),), b"")

    async with serving(handler) as (_, port), connected(port) as client:
        client.write(GET)
        answer = await client.answer()

    assert answer.status == 500
    assert "set-cookie" not in answer.headers


@on_both_loops
async def test_a_handler_may_use_timeouts_and_task_groups_before_it_waits() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        async with asyncio.timeout(5):
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, b"child"))
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(30)
            except TimeoutError:
                return HttpResponse(200, (), child.result())
        return HttpResponse(500)

    async with serving(handler) as (_, port), connected(port) as client:
        client.write(GET)
        answer = await client.answer()

    assert (answer.status, answer.body) == (200, b"child")


@on_both_loops
async def test_headers_and_bodies_of_each_request_are_its_own() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), json.dumps([request.headers, request.body.decode()]).encode())

    requests = [(b"a", b"1"), (b"a", b"2"), (b"a", b"333"), (b"b", b"333"), (b"a", b"1")]
    async with serving(handler) as (_, port), connected(port) as client:
        for value, body in requests:
            client.write(b"POST / HTTP/1.1\r\nHost: x\r\nX-A:  %s \r\nContent-Length: %d\r\n\r\n" % (value, len(body)))
            client.write(body)
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        answers = [json.loads((await client.answer()).body) for _ in range(len(requests) + 1)]

    assert answers[-1] == [[], ""]
    assert answers[:-1] == [
        [[["host", "x"], ["x-a", value.decode()], ["content-length", str(len(body))]], body.decode()]
        for value, body in requests
    ]


@on_both_loops
async def test_headers_without_host_are_judged_by_each_requests_version() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"
        )
        statuses = [(await client.answer()).status, (await client.answer()).status]

    assert statuses == [200, 400]


@on_both_loops
async def test_an_upgrade_nobody_serves_is_a_plain_request() -> None:
    upgrade = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with serving() as (_, port), connected(port) as client:
        client.write(upgrade + GET)
        answers = [await client.answer(), await client.answer()]

    assert [answer.body for answer in answers] == [b"GET /a? ", b"GET /a?b=1 "]


@on_both_loops
async def test_an_absolute_target_is_reduced_to_its_path() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"GET http://x:1/p?q HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.answer()

    assert answer.body == b"GET /p?q "


@on_both_loops
async def test_a_peer_that_stops_sending_still_gets_its_answer() -> None:
    async with serving() as (_, port), connected(port) as client:
        client.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        client.writer.write_eof()
        answer = await client.answer()
        closed = await client.is_closed()

    assert answer.status == 200
    assert closed


@on_both_loops
async def test_a_large_answer_reaches_a_slow_reader_whole() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), b"x" * 3_000_000)

    async with serving(handler) as (_, port), connected(port) as client:
        client.write(GET + GET)
        sizes = [len((await client.answer()).body), len((await client.answer()).body)]

    assert sizes == [3_000_000, 3_000_000]


@on_both_loops
async def test_a_port_in_use_raises_the_systems_error() -> None:
    async with serving() as (_, port):
        with pytest.raises(OSError) as caught:
            await HttpServer(echo).start("127.0.0.1", port)

    assert "in use" in str(caught.value)


@on_both_loops
async def test_localhost_is_served_on_every_address_it_has() -> None:
    server = HttpServer(echo)
    port = await server.start("localhost", 0)
    addresses = {str(info[4][0]) for info in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}

    answers = []
    for address in addresses:
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answers.append(await reader.read())
        writer.close()
    await server.stop(1)

    assert len(answers) == len(addresses)
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


POST = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
# Each entry is one read of the server: heads it has seen before, whole and cut anywhere, alone and with company.
REPEATED_HEADS = {
    "the same request again": [POST + b"abc", POST + b"abc"],
    "another body": [POST + b"abc", POST + b"def", POST + b"\r\n\r"],
    "a body that comes later": [POST + b"abc", POST, b"def", POST + b"d", b"ef"],
    "a head in two reads": [POST + b"abc", POST[:20], POST[20:] + b"def"],
    "a head behind half of one": [POST + b"abc", b"P", POST[1:] + b"def"],
    "pipelined behind a known head": [POST + b"abc", POST + b"def" + GET, POST + b"ghi" + POST + b"jkl"],
    "a known head behind empty lines": [POST + b"abc", b"\r\n", POST + b"def"],
    "a known head as a body": [
        GET,
        b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GET),
        GET,
        GET,
    ],
    "chunks": [CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", CHUNKED + b"0\r\n\r\n", CHUNKED, b"1\r\na\r\n0\r\n\r\n"],
    "a known head while the answer waits": [GET.replace(b"/a", b"/wait"), GET.replace(b"/a", b"/wait"), GET, GET],
}


@pytest.mark.parametrize("reads", REPEATED_HEADS.values(), ids=REPEATED_HEADS.keys())
def test_a_head_that_came_before_means_what_it_means_to_the_parser(reads: list[bytes]) -> None:
    async def answers(pieces: list[bytes]) -> list[bytes]:
        async with serving() as (_, port), connected(port) as client:
            for piece in pieces:
                client.write(piece)
                await client.writer.drain()
                # Lets the server read each piece by itself; the answers are the same if it does not.
                for _ in range(5):
                    await asyncio.sleep(0)
            client.write(b"GET /end HTTP/1.1\r\nHost: x\r\n\r\n")
            found: list[bytes] = []
            while not found or not found[-1].startswith(b"GET /end"):
                found.append((await client.answer()).body)
            return found

    parsed = uvloop.run(answers([bytes([byte]) for read in reads for byte in read]))

    assert uvloop.run(answers(reads)) == parsed


@on_both_loops
async def test_a_known_head_is_not_shared_between_peers_that_differ() -> None:
    async def peer(request: HttpRequest) -> HttpResponse:
        seen = request.derived.setdefault("peer", request.peer)
        return HttpResponse(200, (), f"{request.peer} {seen}".encode())

    async with serving(peer) as (_, port):
        bodies = []
        for address in ("127.0.0.1", "127.0.0.2") * 2:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            client = RawClient(reader, writer)
            client.write(GET)
            bodies.append((await client.answer()).body)
            writer.close()

    assert bodies == [b"127.0.0.1 127.0.0.1", b"127.0.0.2 127.0.0.2"] * 2


@on_both_loops
async def test_signed_requests_do_not_push_known_heads_out() -> None:
    async def peer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), str(request.derived.setdefault("first", request.body)).encode())

    async with serving(peer) as (_, port):
        seen = []
        for number in range(3):
            async with connected(port) as client:
                client.write(POST + b"%03d" % number)
                seen.append((await client.answer()).body)
                for date in range(300):
                    client.write(GET.replace(b"\r\n\r\n", b"\r\nX-Amz-Date: %d-%d\r\n\r\n" % (number, date)))
                    await client.answer()

    assert seen == [b"b'000'"] * 3


@on_both_loops
async def test_an_expectation_and_a_last_request_are_never_taken_from_memory() -> None:
    expecting = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving() as (_, port):
        for _ in range(2):
            async with connected(port) as client:
                client.write(expecting + b"ok")
                first = await client.answer()
                last = first if first.status == 200 else await client.answer()
                client.write(expecting)
                interim = await client.answer()
                client.write(b"ok")
                assert (last.body, interim.status, (await client.answer()).body) == (b"POST /p? ok", 100, last.body)
                client.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert (await client.answer()).headers["connection"] == "close"
                assert await client.is_closed()


def test_known_heads_are_bounded_in_number_and_size() -> None:
    heads = KnownHeads()
    for number in range(1000):
        heads.keep((b"head %d" % number, "peer", False), KnownHead("GET", "/", "", (), 0, {}))
    heads.keep((b"x" * 5000, "peer", False), KnownHead("GET", "/", "", (), 0, {}))

    assert len(heads) == 256
    assert [*heads][-1] == (b"head 999", "peer", False)
