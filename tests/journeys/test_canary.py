"""The canary of stage prod: a message through everything, with the role it has on AWS."""

import json
from collections.abc import Iterator

import pytest

from tests.support.product import Product


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("prod") / "data", ("--param", "Stage=prod")).start()
    yield running
    assert running.terminate() == 0, running.log()


def test_a_message_comes_through_and_is_timed_every_time(prod: Product) -> None:
    client = prod.boto3("lambda")

    # The second time its device is there already.
    for _ in range(2):
        answer = client.invoke(FunctionName="headwater-CanaryFunction", LogType="Tail")

        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        assert 0 < json.loads(payload)["seconds"] < 20
