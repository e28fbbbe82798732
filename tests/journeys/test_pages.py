"""What a page of another site may do through the user's browser: nothing."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.support.product import Product

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=0000000000000000000000000000000000000000000000000000000000000000"
)
QUERY = (
    "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260101%2Fus-east-1%2Flambda%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
)


def ask(product: Product, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    address = urlsplit(product.ready["awsEndpointUrl"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    connection.request("POST", path, b"{}", headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example:8080"},
    ],
)
def test_unknown_keys_are_refused_from_foreign_pages(product: Product, foreign: dict[str, str]) -> None:
    headers = {"x-amz-target": "DynamoDB_20120810.ListTables", "content-type": "application/x-amz-json-1.0"}
    signed = {**headers, "authorization": SIGNED, "x-amz-date": "20260101T000000Z"}

    by_header = ask(product, "/", {**signed, **foreign})
    by_query = ask(product, QUERY, {**headers, **foreign})
    program = ask(product, "/", signed)

    assert by_header[0] == 400
    assert b"UnrecognizedClientException" in by_header[1]
    assert by_query[0] == 400
    assert program[0] == 200
