"""What the journeys of a module run on: a product of their own, or the stack that HEADWATER_STACK names."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.support.deployed import DeployedProduct, stack_outputs
from tests.support.product import Product

STACK = os.environ.get("HEADWATER_STACK", "")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if STACK:
        session = boto3.Session()
        deployed = DeployedProduct(stack_outputs(STACK, session), session)
        yield deployed
        deployed.close()
        return
    folder: Path = tmp_path_factory.mktemp("product")
    running = Product(folder / "data").start()
    yield running
    exit_code = running.terminate()
    assert exit_code == 0, running.log()
    assert "Traceback" not in running.log()
