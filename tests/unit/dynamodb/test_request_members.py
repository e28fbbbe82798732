"""Every member of every request that the service's model knows is looked at here: honoured, or refused by name."""

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from headwater.dynamodb.api import OPERATIONS, STREAMS_OPERATIONS
from headwater.dynamodb.requests.operations import MEMBERS, UNSUPPORTED
from headwater.dynamodb.requests.shapes import Members, Shape
from headwater.dynamodb.requests.streams_operations import STREAMS_MEMBERS

MODELS = {
    "dynamodb": botocore.session.get_session().get_service_model("dynamodb"),
    "dynamodbstreams": botocore.session.get_session().get_service_model("dynamodbstreams"),
}
SERVICES = {"dynamodb": (OPERATIONS, MEMBERS), "dynamodbstreams": (STREAMS_OPERATIONS, STREAMS_MEMBERS)}
CASES = [(service, operation) for service, (operations, _) in SERVICES.items() for operation in operations]


def unknown(model: Any, ours: Shape | Members | None, path: str) -> Iterator[str]:
    """The members of a shape of the model that the table here does not have."""
    if model.name == "AttributeValue" or ours is None:
        if ours is None:
            yield path
        return
    if model.type_name == "structure":
        members = ours if isinstance(ours, Members) else ours.members
        assert members is not None, path
        for name, member in model.members.items():
            yield from unknown(member, members.get(name), f"{path}.{name}")
    elif model.type_name in {"list", "map"}:
        assert isinstance(ours, Shape)
        inner = model.member if model.type_name == "list" else model.value
        if ours.kind not in {"value", "values"}:
            yield from unknown(inner, ours.element, f"{path}[]")


@pytest.mark.parametrize(("service", "operation"), CASES)
def test_a_request_is_read_to_its_last_member_or_refused(service: str, operation: str) -> None:
    model = MODELS[service].operation_model(operation).input_shape
    refused = {f"{operation}.{member}" for member in UNSUPPORTED.get(operation, ())}

    left_out = set(unknown(model, SERVICES[service][1][operation], operation))

    # An older botocore has fewer members, a newer one may have some that are to be looked at.
    assert left_out <= refused


def test_an_operation_that_is_not_here_is_not_half_here() -> None:
    for service, (operations, members) in SERVICES.items():
        assert operations.keys() == members.keys(), service
        assert operations.keys() <= set(MODELS[service].operation_names), service
