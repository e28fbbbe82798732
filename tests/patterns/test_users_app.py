"""The users API of every tutorial: a Lambda resolver and a subscription on its mutation."""

from collections.abc import Iterator

import pytest

from tests.patterns.running_app import running
from tests.support.product import Product
from tests.support.subscriber import Subscriber

CREATE = 'mutation($name: String!) { createUser(name: $name, email: "a@b.example") { id name email } }'


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running("users_app", tmp_path_factory) as started:
        yield started


def test_created_user_is_found_and_listed(product: Product) -> None:
    made = product.data(CREATE, {"name": "Ada"})["createUser"]

    found = product.data("query($id: ID!) { getUser(id: $id) { name email } }", {"id": made["id"]})
    listed = product.data("{ listUsers(limit: 10) { id } }")

    assert found == {"getUser": {"name": "Ada", "email": "a@b.example"}}
    assert {"id": made["id"]} in listed["listUsers"]


def test_unknown_user_is_null(product: Product) -> None:
    assert product.data('{ getUser(id: "absent") { name } }') == {"getUser": None}


def test_subscriber_sees_the_fields_that_the_mutation_selected(product: Product) -> None:
    everybody = Subscriber(product, "subscription { onCreateUser { id name email } }")
    only_grace = Subscriber(product, 'subscription { onCreateUser(name: "Grace") { name } }')

    product.data('mutation { createUser(name: "Alan") { id name } }')
    product.data(CREATE, {"name": "Grace"})

    first = everybody.next()["onCreateUser"]
    assert (first["name"], first["email"]) == ("Alan", None)  # the mutation did not select email
    assert only_grace.next() == {"onCreateUser": {"name": "Grace"}}
    everybody.close()
    only_grace.close()


def test_wrong_email_is_refused_before_the_function(product: Product) -> None:
    document = product.graphql('mutation { createUser(name: "x", email: "no") { id } }')

    assert "errors" in document
