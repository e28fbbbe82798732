"""One running product with the API of `stack/`, beside a web server that is its HTTP endpoint and OIDC issuer."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater.auth.jwt import PoolKey, make_pool_key
from tests.support.product import Product

STACK = Path(__file__).parent / "stack"


@dataclass
class Web:
    """Pages that count their visits, and the key set of an issuer."""

    key: PoolKey
    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str]) -> str:
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if path == "/keys":
            return json.dumps(self.key.jwks())
        self.requests.append((path, headers))
        return f"visit {len(self.requests)}"


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    served = Web(make_pool_key())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.answer(self.path, {name.lower(): value for name, value in self.headers.items()}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Api:
    """The running API."""

    product: Product
    log_file: Path

    @property
    def url(self) -> str:
        return str(self.product.ready["graphqlUrl"])

    def authorizer_events(self, token: str) -> list[dict[str, Any]]:
        """What the authorizer was called with for a token."""
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() else []
        return [event for event in map(json.loads, lines) if event["authorizationToken"] == token]


def arguments_of(log_file: Path, web_url: str) -> tuple[str, ...]:
    return ("--param", f"LogFile={log_file}", "--param", f"WebUrl={web_url}", "--max-subscriptions", "3")


@pytest.fixture(scope="session")
def api(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("appsync")
    log_file = folder / "authorizer.jsonl"
    product = Product(folder / "data", arguments_of(log_file, web.url), template=STACK / "template.yaml").start()
    yield Api(product, log_file)
    assert product.terminate() == 0, product.log()
    assert "Traceback" not in product.log()
