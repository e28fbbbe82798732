"""What IoT Core refuses of a shadow, as the caller is told; tests/operations/test_shadows.py has what it takes."""

from collections.abc import Iterator
from typing import Any

import pytest

from resolvers import device_shadow, register_device
from resolvers.caller import BadRequest
from resolvers.live_device import NotFound
from streams.aws.calls import AwsError
from tests.resolvers.test_handlers import ADMIN, event, mutate
from tests.strawberry_api.moto_http import CONTEXT, MotoEndpoint, deployed


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoEndpoint]:
    with deployed(monkeypatch) as made:
        mutate(register_device, "registerDevice", input={"deviceId": "dev-1"})
        yield made


def wish(**given: Any) -> Any:
    return mutate(device_shadow, "setDesiredState", deviceId="dev-1", desired={"a": 1}, **given)


@pytest.mark.parametrize(
    ("status", "message", "error", "told"),
    [
        (409, "Version conflict", device_shadow.Conflict, "the shadow is not at version 3"),
        (413, "The payload exceeds", BadRequest, "desired and reported together exceed the 8192 bytes"),
        (400, "arrays can't have null values", BadRequest, "refused by IoT Core: arrays can't have null"),
        (403, "no", AwsError, "Http403: no"),
    ],
)
def test_a_refusal_says_what_it_means(
    endpoint: MotoEndpoint, status: int, message: str, error: type[Exception], told: str
) -> None:
    endpoint.answers = [(status, {"message": message})]

    with pytest.raises(error, match=told):
        wish(version=3)


def test_a_throttled_update_is_sent_again(endpoint: MotoEndpoint) -> None:
    shadow = {"state": {"desired": {"a": 1}, "delta": {"a": 1}}, "metadata": {}, "version": 1}
    endpoint.answers = [(429, {"message": "Rate exceeded"}), (200, {}), (200, shadow)]

    answer = wish()

    assert (answer["desired"], answer["changedAt"], answer["version"]) == ({"a": 1}, None, 1)
    update = ("/things/dev-1/shadow", {"state": {"desired": {"a": 1}}})
    assert endpoint.posted == [update, update, ("/things/dev-1/shadow", None)]


def test_a_shadow_that_was_deleted_behind_the_update_is_not_found(endpoint: MotoEndpoint) -> None:
    endpoint.answers = [(200, {}), (404, {"message": "No shadow exists"})]

    with pytest.raises(NotFound, match="there is no device 'dev-1' any more"):
        wish()


def test_a_device_that_is_removed_meanwhile_keeps_no_shadow(endpoint: MotoEndpoint) -> None:
    key = {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}}

    class Removing(list[tuple[int, Any]]):
        """The answers, the first of which comes after the device was removed."""

        def pop(self, place: Any = -1) -> Any:
            endpoint.clients["dynamodb"].delete_item(TableName="headwater", Key=key)
            return super().pop(place)

    endpoint.answers = Removing([(200, {}), (200, {})])

    with pytest.raises(NotFound, match="there is no device 'dev-1'"):
        wish()

    assert endpoint.sent[-1] == ("DELETE", "/things/dev-1/shadow")


def test_the_newest_change_of_either_side_is_shown(endpoint: MotoEndpoint) -> None:
    metadata = {
        "desired": {"timestamp": {"timestamp": 1_732_489_700}, "list": [{"timestamp": 1_732_489_762}]},
        "reported": {"a": {"b": {"timestamp": 1_732_489_761}}},
    }
    endpoint.answers = [(200, {"state": {}, "metadata": metadata, "version": 7})]

    answer = device_shadow.handler(event("Query", "getDeviceShadow", ADMIN, {"deviceId": "dev-1"}), CONTEXT)

    assert answer["changedAt"] == "2024-11-24T23:09:22.000Z"
    assert answer["version"] == 7
