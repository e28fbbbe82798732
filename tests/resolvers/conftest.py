"""Run one resolver file's handlers on a context, with a clock that stands still."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from headwater.appsync_js import HandlerOutcome, JsModule, compile_module
from tests.resolvers.api import Api
from tests.strawberry_api.moto_aws import in_moto
from tests.template.template_file import ROOT

NOW_MS = 1_732_489_762_123
Run = Callable[..., HandlerOutcome]


@cache
def resolver_module(name: str) -> JsModule:
    return compile_module((ROOT / "resolvers" / f"{name}.js").read_text(encoding="utf-8"), name)


@pytest.fixture
def run() -> Run:
    def call(name: str, handler: Any, **context: Any) -> HandlerOutcome:
        base: dict[str, Any] = {"arguments": {}, "identity": None, "stash": {}, "info": {}, "source": None}
        return resolver_module(name).call(handler, {**base, **context}, now_ms=NOW_MS, entropy=bytes(32))

    return call


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The functions on an empty table."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with in_moto():
        yield Api()
