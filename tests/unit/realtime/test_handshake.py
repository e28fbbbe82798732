"""The three places credentials come in, and the headers resolvers see."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from headwater.realtime.handshake import HandshakeRefused, read_connect_request, request_headers

HEADER = {"host": "localhost:8080", "x-api-key": "da2-ÿ?>"}


def encoded(header: Any = HEADER, *, urlsafe: bool = False, padded: bool = True) -> str:
    raw = json.dumps(header).encode()
    text = (base64.urlsafe_b64encode(raw) if urlsafe else base64.b64encode(raw)).decode()
    return text if padded else text.rstrip("=")


@pytest.mark.parametrize("urlsafe", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_credentials_come_in_the_subprotocol(urlsafe: bool, padded: bool) -> None:
    entry = f"header-{encoded(urlsafe=urlsafe, padded=padded)}"

    connect = read_connect_request("", ["graphql-ws", entry], [])

    assert connect.header == HEADER


@pytest.mark.parametrize("quoted", [False, True])
def test_credentials_come_in_the_query(quoted: bool) -> None:
    text = quote(encoded(), safe="") if quoted else encoded()

    connect = read_connect_request(f"header={text}&payload=e30=", ["graphql-ws"], [])

    assert connect.header == HEADER
    assert connect.custom_headers == {}


def test_credentials_come_as_plain_headers() -> None:
    headers = [("host", "h"), ("x-api-key", "da2-x"), ("upgrade", "websocket"), ("sec-websocket-key", "k"), ("a", "b")]

    connect = read_connect_request("", ["graphql-ws"], headers)

    assert connect.header == {"host": "h", "x-api-key": "da2-x", "a": "b"}


def test_names_are_lower_case() -> None:
    connect = read_connect_request(f"header={encoded({'Host': 'h', 'Authorization': 'jwt'})}", ["graphql-ws"], [])

    assert connect.header == {"host": "h", "authorization": "jwt"}


def test_other_query_parameters_are_custom_headers_but_never_authorization() -> None:
    query = f"header={encoded()}&payload=e30%3D&X-Tenant=a%20b&Authorization=evil"

    connect = read_connect_request(query, ["graphql-ws"], [])

    assert connect.custom_headers == {"x-tenant": "a b"}


def test_resolvers_see_all_headers_but_authorization() -> None:
    seen = request_headers({"authorization": "jwt", "host": "h", "x-tenant": "start"}, {"x-tenant": "url", "y": "1"})

    assert seen == {"host": "h", "x-tenant": "start", "y": "1"}


@pytest.mark.parametrize("subprotocols", [[], ["graphql-transport-ws"], [f"header-{encoded()}"]])
def test_a_client_without_graphql_ws_is_refused_without_a_subprotocol(subprotocols: list[str]) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        read_connect_request(f"header={encoded()}", subprotocols, [])

    assert caught.value.errors == [{"message": "NoProtocolError", "errorCode": 400}]
    assert caught.value.subprotocol is None


@pytest.mark.parametrize(
    "query",
    [
        "",
        "payload=e30=",
        "header=",
        "header=%%%",
        "header=e",
        f"header={base64.b64encode(b'no json').decode()}",
        f"header={encoded([1])}",
        f"header={encoded({'x-api-key': 'da2-x'})}",
        f"header={encoded({'host': '', 'x-api-key': 'da2-x'})}",
        f"header={encoded({'host': 5})}",
        "header=" + "A" * 70_000,
    ],
)
def test_missing_or_undecodable_credentials_are_refused(query: str) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        read_connect_request(query, ["graphql-ws"], [("host", "h")])

    assert caught.value.errors == [{"message": "Required headers are missing.", "errorCode": 400}]
    assert caught.value.subprotocol == "graphql-ws"
