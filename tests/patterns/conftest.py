"""One instance with the probe functions for all scenarios of event source mappings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patterns.esm_driver import Collector, Esm
from tests.support.product import Product


@pytest.fixture(scope="session")
def esm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Esm]:
    collector = Collector()
    product = Product(
        tmp_path_factory.mktemp("esm") / "data",
        ("--param", f"Collector={collector.url}"),
        Path(__file__).parent / "esm_probe" / "template.yaml",
    )
    try:
        yield Esm(product.start(), collector)
        assert product.terminate() == 0
    finally:
        product.kill()
        collector.close()
