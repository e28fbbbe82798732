"""Removals whose message to the erasure queue fails, at any point: asked for again, they send it."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from resolvers import remove_device
from resolvers.leftovers import Leftovers
from resolvers.remove_device import remove
from streams import items
from streams.aws.calls import AwsError, Service
from tests.resolvers.api import ADMIN, NOW_MS, Api
from tests.resolvers.test_handlers import ADMIN as ADMINISTRATOR
from tests.resolvers.test_handlers import STRANGER, mutate, register
from tests.strawberry_api.callers import Caller
from tests.strawberry_api.moto_http import deployed

REMOVAL = {"tenantId": "acme", "deviceId": "dev-1", "removedAt": NOW_MS}
ERASING = {**REMOVAL, "before": NOW_MS}


class Faulty:
    """Before or behind one call a connection is lost; `sent` are the messages that came to the queue."""

    def __init__(self, table: Service, operation: str, *, is_behind: bool) -> None:
        self.table, self.operation, self.is_behind = table, operation, is_behind
        self.sent: list[Mapping[str, Any]] = []

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._tried(operation, lambda: self.table.call(operation, request))
        return answer

    def send(self, message: Mapping[str, Any]) -> None:
        self._tried("SendMessage", lambda: self.sent.append(message))

    def _tried(self, operation: str, do: Callable[[], Any]) -> Any:
        is_failing = operation == self.operation
        if is_failing:
            self.operation = ""
        if is_failing and not self.is_behind:
            raise ConnectionError("lost before")
        answer = do()
        if is_failing:
            raise ConnectionError("lost behind")
        return answer


def remove_through(faulty: Faulty, api: Api, *, erases_data: bool = False, now_ms: int = NOW_MS) -> dict[str, Any]:
    return remove(
        "dev-1",
        ADMIN,
        table=faulty,
        table_name=api.table_name,
        now_ms=now_ms,
        retention_s=60,
        revoke_certificates=api.revoke,
        delete_shadows=lambda device_id: 0,
        leftovers=Leftovers(faulty, api.table_name, faulty.send, erases_data),
    )


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize("operation", ["GetItem", "TransactWriteItems", "SendMessage", "DeleteItem"])
def test_a_removal_that_failed_anywhere_is_repaired_by_asking_again(api: Api, operation: str, is_behind: bool) -> None:
    api.register(siteId="north")
    faulty = Faulty(api.table, operation, is_behind=is_behind)

    with pytest.raises(ConnectionError, match="lost"):
        remove_through(faulty, api, erases_data=True)
    is_over = (operation, is_behind) == ("DeleteItem", True)
    again = remove_through(faulty, api, erases_data=True)
    third = remove_through(faulty, api, erases_data=True)

    removed = {"deviceId": "dev-1", "tenantId": "acme", "siteId": "north", "version": 1}
    assert again == {**removed, "removedAt": items.iso_time(NOW_MS)} or (is_over and again["errorType"] == "NotFound")
    assert third["errorType"] == "NotFound"
    assert faulty.sent
    assert all(message == ERASING for message in faulty.sent)
    assert api.item(items.removal_key("dev-1", NOW_MS)) == {}


@pytest.mark.parametrize(
    ("first", "second", "sent"), [(True, False, ERASING), (False, True, ERASING), (False, False, REMOVAL)]
)
def test_data_is_erased_if_either_request_asked_for_it(
    api: Api, first: bool, second: bool, sent: Mapping[str, Any]
) -> None:
    api.register()
    faulty = Faulty(api.table, "SendMessage", is_behind=False)

    with pytest.raises(ConnectionError):
        remove_through(faulty, api, erases_data=first)
    remove_through(faulty, api, erases_data=second, now_ms=NOW_MS + 5000)

    assert faulty.sent == [sent]


def test_a_device_registered_again_meanwhile_is_removed_as_any_other(api: Api) -> None:
    api.register()
    faulty = Faulty(api.table, "SendMessage", is_behind=False)
    with pytest.raises(ConnectionError):
        remove_through(faulty, api)

    api.register()
    again = remove_through(faulty, api, now_ms=NOW_MS + 5000)

    assert (again["removedAt"], again["version"]) == (items.iso_time(NOW_MS + 5000), 2)
    assert faulty.sent == [{**REMOVAL, "removedAt": NOW_MS + 5000}]


def test_the_handler_repairs_a_removal_for_its_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(caller: Caller = ADMINISTRATOR) -> Any:
        return mutate(remove_device, "removeDevice", caller, deviceId="dev-1", eraseData=True)

    with deployed(monkeypatch) as endpoint:
        register()
        queue_url = os.environ["ERASURE_QUEUE_URL"]
        monkeypatch.setenv("ERASURE_QUEUE_URL", queue_url + "-gone")
        with pytest.raises(AwsError):
            ask()
        monkeypatch.setenv("ERASURE_QUEUE_URL", queue_url)

        stranger, again, third = ask(STRANGER), ask(), ask()

        assert stranger["errorType"] == third["errorType"] == "NotFound"
        assert (again["deviceId"], again["version"]) == ("dev-1", 1)
        (message,) = endpoint.messages(queue_url)
        assert (message["tenantId"], message["deviceId"], message["before"]) == ("acme", "dev-1", message["removedAt"])
