"""Signing against botocore, and the connection against real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from streams.aws.calls import AwsError
from streams.aws.connection import AwsService, KeptAliveConnection
from streams.aws.environment import credentials, service_endpoint
from streams.aws.signing import Credentials, signed_headers

NOW_S = 1_732_489_762.0
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@pytest.mark.parametrize("token", ["", "session-token"])
@pytest.mark.parametrize(
    ("path", "query", "service"),
    [
        ("/graphql", "", "appsync"),
        ("/", "", "dynamodb"),
        ("/topics/devices%2Fdev-1%2Fcommands%2F1-a", "qos=1", "iotdata"),
        ("/schedules/command-1", "", "scheduler"),
    ],
)
@pytest.mark.parametrize(("method", "body"), [("POST", b'{"query":"{ a }"}'), ("GET", b""), ("DELETE", b"")])
def test_a_signature_is_botocores(
    path: str, query: str, service: str, token: str, method: str, body: bytes, monkeypatch: Any
) -> None:
    headers = {"content-type": "application/json"}
    keys = Credentials(KEYS.access_key_id, KEYS.secret_access_key, token)

    ours = signed_headers(
        keys,
        region="eu-west-1",
        service=service,
        host="127.0.0.1:8080",
        path=path,
        headers=headers,
        body=body,
        now_s=NOW_S,
        query=query,
        method=method,
    )

    url = f"http://127.0.0.1:8080{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers={**headers, "X-Amz-Date": ours["x-amz-date"]})
    signer = SigV4Auth(BotoCredentials(keys.access_key_id, keys.secret_access_key, token or None), service, "eu-west-1")
    request.context["timestamp"] = ours["x-amz-date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["x-amz-date"] == "20241124T230922Z"
    assert ours["authorization"].endswith(f"Signature={signature}")


def test_credentials_do_not_show_their_secret() -> None:
    assert "wJalr" not in repr(KEYS)


class Endpoint:
    """An HTTP server that answers from a list, and notes what it was asked."""

    def __init__(self, *answers: tuple[int, bytes, dict[str, str]]) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections: set[Any] = set()
        waiting = list(answers)
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.connections.add(self.client_address)
                endpoint.requests.append((self.path, dict(self.headers), body))
                status, answer, headers = waiting.pop(0)
                self.send_response(status)
                if headers.get("Transfer-Encoding") == "chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for start in range(0, len(answer), 5):
                        part = answer[start : start + 5]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    self.wfile.write(b"0\r\n\r\n")
                    return
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                if headers.get("X-Drop"):
                    # Closed without a word, as a load balancer does with an idle connection.
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/graphql"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Endpoint]]:
    open_endpoints: list[Endpoint] = []

    def start(*answers: tuple[int, bytes, dict[str, str]]) -> Endpoint:
        open_endpoints.append(Endpoint(*answers))
        return open_endpoints[-1]

    yield start
    for endpoint in open_endpoints:
        endpoint.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], KeptAliveConnection]]:
    opened: list[KeptAliveConnection] = []

    def start(url: str) -> KeptAliveConnection:
        opened.append(KeptAliveConnection(url))
        return opened[-1]

    yield start
    for connection in opened:
        connection.close()


def test_requests_share_a_connection(serve: Any, connect: Any) -> None:
    endpoint = serve((200, b"one", {}), (200, b"", {}))
    connection = connect(endpoint.url)

    answers = [connection.post({"x-a": "1"}, b"body"), connection.post({}, b"")]

    assert answers == [(200, b"one"), (200, b"")]
    assert endpoint.requests[0][0] == "/graphql"
    assert endpoint.requests[0][2] == b"body"
    assert len(endpoint.connections) == 1


def test_a_chunked_answer_is_put_together(serve: Any, connect: Any) -> None:
    endpoint = serve((200, b"twelve bytes", {"Transfer-Encoding": "chunked"}), (200, b"next", {}))
    connection = connect(endpoint.url)

    assert connection.post({}, b"") == (200, b"twelve bytes")
    assert connection.post({}, b"") == (200, b"next")


@pytest.mark.parametrize("headers", [{"Connection": "close"}, {"X-Drop": "1"}])
def test_a_closed_connection_is_opened_again(headers: dict[str, str], serve: Any, connect: Any) -> None:
    endpoint = serve((200, b"one", headers), (200, b"two", {}))
    connection = connect(endpoint.url)

    assert [connection.post({}, b"")[1], connection.post({}, b"")[1]] == [b"one", b"two"]
    assert len(endpoint.connections) == 2


def test_an_endpoint_that_is_not_there_is_an_os_error(serve: Any, connect: Any) -> None:
    endpoint = serve()
    endpoint.server.server_close()

    with pytest.raises(OSError):
        connect(endpoint.url).post({}, b"")


@pytest.mark.parametrize("url", ["ftp://host/", "127.0.0.1:80", "http://"])
def test_an_endpoint_that_is_no_url_is_refused_with_its_value(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        KeptAliveConnection(url)


@pytest.fixture
def make_service() -> Iterator[Callable[..., AwsService]]:
    made: list[AwsService] = []

    def make(url: str, pauses: list[float]) -> AwsService:
        made.append(
            AwsService(
                "dynamodb",
                region="us-east-1",
                endpoint=url,
                credentials=lambda: KEYS,
                clock=lambda: NOW_S,
                sleep=pauses.append,
                uniform=lambda low, high: high,
            )
        )
        return made[-1]

    yield make
    for service in made:
        service.close()


def refusal(code: str) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}).encode()


def test_a_throttled_call_is_repeated_with_growing_pauses(serve: Any, make_service: Any) -> None:
    pauses: list[float] = []
    endpoint = serve((400, refusal("ThrottlingException"), {}), (500, b"", {}), (200, b'{"Items":[]}', {}))

    answer = make_service(endpoint.url, pauses).call("Query", {"TableName": "t"})

    assert answer == {"Items": []}
    assert pauses == [0.1, 0.2]
    assert endpoint.requests[0][1]["x-amz-target"] == "DynamoDB_20120810.Query"
    assert endpoint.requests[0][2] == b'{"TableName":"t"}'


def test_a_refusal_is_raised_at_once_with_its_code(serve: Any, make_service: Any) -> None:
    endpoint = serve((400, refusal("ConditionalCheckFailedException"), {}))

    with pytest.raises(AwsError) as caught:
        make_service(endpoint.url, []).call("PutItem", {})

    assert (caught.value.code, caught.value.status) == ("ConditionalCheckFailedException", 400)


def test_throttling_that_does_not_end_is_raised(serve: Any, make_service: Any) -> None:
    endpoint = serve(*[(400, refusal("ThrottlingException"), {})] * 4)

    with pytest.raises(AwsError, match="ThrottlingException"):
        make_service(endpoint.url, []).call("PutItem", {})


def test_calls_at_once_get_an_answer_or_an_error_each(serve: Any, make_service: Any) -> None:
    endpoint = serve(*[(200, b"{}", {}), (400, refusal("ConditionalCheckFailedException"), {})] * 5)

    outcomes = make_service(endpoint.url, []).call_each("UpdateItem", [{"n": number} for number in range(10)])

    assert len(outcomes) == 10
    assert sum(isinstance(outcome, AwsError) for outcome in outcomes) == 5
    assert sorted(body for _, _, body in endpoint.requests) == [b'{"n":%d}' % number for number in range(10)]


def test_a_throttled_call_among_others_is_done_again_alone(serve: Any, make_service: Any) -> None:
    endpoint = serve((400, refusal("ThrottlingException"), {}), (200, b"{}", {}), (200, b'{"again":1}', {}))

    outcomes = make_service(endpoint.url, []).call_each("UpdateItem", [{"n": 0}, {"n": 1}])

    assert sorted(map(str, outcomes)) == ["{'again': 1}", "{}"]


def test_calls_that_cannot_be_made_are_errors_in_their_place(make_service: Any) -> None:
    outcomes = make_service("http://127.0.0.1:1", []).call_each("UpdateItem", [{"n": 0}, {"n": 1}])

    assert [type(outcome) for outcome in outcomes] == [ConnectionRefusedError] * 2


def test_endpoints_are_found_as_the_sdks_find_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert service_endpoint("dynamodb", "eu-west-1") == "https://dynamodb.eu-west-1.amazonaws.com"
    assert service_endpoint("x", "eu-west-1", host="data-ats.iot") == "https://data-ats.iot.eu-west-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert service_endpoint("dynamodb", "eu-west-1") == "http://127.0.0.1:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:2")
    assert service_endpoint("dynamodb", "eu-west-1") == "http://127.0.0.1:2"


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)

    with pytest.raises(RuntimeError, match="AWS_ACCESS_KEY_ID"):
        credentials()


def test_a_peer_that_speaks_no_http_is_an_http_error() -> None:
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def speak() -> None:
        for _ in range(1):
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0-x\r\n\r\n")

    thread = threading.Thread(target=speak)
    thread.start()
    connection = KeptAliveConnection(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(HTTPException, match="expected HTTP"):
        connection.post({}, b"")
    thread.join()
    listener.close()
