"""One running product for the journeys of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder: Path = tmp_path_factory.mktemp("product")
    running = Product(folder / "data").start()
    yield running
    exit_code = running.terminate()
    assert exit_code == 0, running.log()
    assert "Traceback" not in running.log()
