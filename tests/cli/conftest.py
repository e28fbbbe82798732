"""One running product for the tests of a module that only talk to it."""

from collections.abc import Iterator

import pytest

from tests.support.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("product") / "data").start()
    yield running
    exit_code = running.terminate()
    assert exit_code == 0, running.log()
    assert "Traceback" not in running.log()
