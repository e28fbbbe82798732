"""Node.js functions on a filtered stream, as in many public templates."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.patterns.running_app import logged, running
from tests.support.product import Product, eventually

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running("node_app", tmp_path_factory) as started:
        yield started


def test_filters_pass_what_one_of_their_patterns_matches(product: Product) -> None:
    texts = [json.dumps(data) for data in ({"responseStatus": {"code": 200}}, {"responseStatus": {"code": 404}})]
    texts += [json.dumps({"RBAC": True}), "not JSON"]
    records = [{"PartitionKey": "k", "Data": text.encode()} for text in texts]

    product.boto3("kinesis").put_records(StreamName="events", Records=records)

    assert eventually(lambda: len(logged(product, "all")) == 4)
    assert eventually(lambda: len(logged(product, "wanted")) == 2)
    assert [line["data"] for line in logged(product, "wanted")] == texts[1:3]
