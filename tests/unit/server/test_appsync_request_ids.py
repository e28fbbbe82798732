"""Ids of GraphQL requests."""

import uuid

from headwater.server.appsync.request_ids import RequestIds


def test_every_request_id_is_a_new_random_uuid() -> None:
    request_ids = RequestIds()

    drawn = [request_ids() for _ in range(1000)]

    assert len(set(drawn)) == 1000
    assert all(uuid.UUID(one).version == 4 and str(uuid.UUID(one)) == one for one in drawn)


def test_request_ids_follow_the_entropy_they_are_given() -> None:
    request_ids = RequestIds(lambda size: bytes(size))

    assert request_ids() == "00000000-0000-4000-8000-000000000000"
