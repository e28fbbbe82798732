"""Partner tokens on moto's table: made once, let in as a viewer of their tenant, ended by time or by people."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from resolvers.authorize_partner import authorize
from resolvers.caller import BadRequest, UnauthorizedException, caller_tenant
from resolvers.partner_token import parse_token
from resolvers.partner_tokens import DAY_MS, NotFound, create, revoke
from streams.items import plain_item
from tests.strawberry_api.callers import SERVICE, partner, person
from tests.strawberry_api.moto_aws import REGION, BotoService, create_table, in_moto

NOW_MS = 1_732_489_762_123
TOKEN_ID = "0123456789abcdef"
SECRET = "s" * 43
ADMIN = person("acme", "admin").identity


class Tokens:
    """The functions' logic on one table."""

    def __init__(self) -> None:
        self.table_name = create_table()
        self.table = BotoService(boto3.client("dynamodb", region_name=REGION))

    def create(self, identity: Any = ADMIN, **given: Any) -> dict[str, Any]:
        return create(
            {"name": "erp", **given},
            identity,
            table=self.table,
            table_name=self.table_name,
            now_ms=NOW_MS,
            token_id=TOKEN_ID,
            secret=SECRET,
        )

    def revoke(self, identity: Any = ADMIN) -> dict[str, Any]:
        return revoke(TOKEN_ID, identity, table=self.table, table_name=self.table_name, now_ms=NOW_MS)

    def authorize(self, token: str, *, at_ms: int = NOW_MS) -> dict[str, Any]:
        event = {"authorizationToken": token, "requestContext": {"requestId": "r"}}
        return authorize(event, table=self.table, table_name=self.table_name, now_ms=at_ms)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with in_moto():
        yield Tokens()


def test_a_token_is_let_in_as_its_tenant(tokens: Tokens) -> None:
    token = tokens.create()["token"]

    answer = tokens.authorize(token)

    assert answer == {
        "isAuthorized": True,
        "resolverContext": {"tenantId": "acme", "tokenId": TOKEN_ID},
        "deniedFields": [],
        "ttlOverride": 60,
    }
    assert caller_tenant({"resolverContext": answer["resolverContext"]}) == "acme"


def test_the_table_does_not_hold_the_secret(tokens: Tokens) -> None:
    created = tokens.create()

    (item,) = tokens.table.call("Scan", {"TableName": tokens.table_name})["Items"]

    assert parse_token(created["token"]) == (TOKEN_ID, SECRET)
    assert SECRET not in str(plain_item(item))
    assert "secretDigest" not in created["partnerToken"]


def test_any_other_token_is_refused(tokens: Tokens) -> None:
    tokens.create()

    for token in (
        "",
        "Bearer x",
        f"hwp_{TOKEN_ID}_{'t' * 43}",
        f"hwp_{'f' * 16}_{SECRET}",
        f"hwp_{TOKEN_ID}_{SECRET}x",
        f"hwp_{TOKEN_ID}#_{SECRET}",
    ):
        assert tokens.authorize(token) == {"isAuthorized": False}, token


def test_a_token_ends_with_its_time_and_is_never_kept_longer(tokens: Tokens) -> None:
    token = tokens.create(expiresInDays=1)["token"]

    assert tokens.authorize(token, at_ms=NOW_MS + DAY_MS - 5_000)["ttlOverride"] == 5
    assert tokens.authorize(token, at_ms=NOW_MS + DAY_MS) == {"isAuthorized": False}


def test_a_revoked_token_is_refused_and_revoking_again_changes_nothing(tokens: Tokens) -> None:
    token = tokens.create()["token"]

    first = tokens.revoke()

    assert tokens.authorize(token) == {"isAuthorized": False}
    assert first["revokedAt"] == "2024-11-24T23:09:22.123Z"
    assert tokens.revoke() == first


def test_another_tenants_administrator_finds_no_token(tokens: Tokens) -> None:
    token = tokens.create()["token"]

    with pytest.raises(NotFound, match="no partner token"):
        tokens.revoke(person("other", "admin").identity)

    assert tokens.authorize(token)["isAuthorized"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "name has 0 characters, expected 1 to 128"),
        ({"expiresInDays": 0}, "expiresInDays is 0, expected 1 to 365"),
        ({"expiresInDays": 366}, "expiresInDays is 366, expected 1 to 365"),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(tokens: Tokens, given: Any, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        tokens.create(**given)

    assert str(error.value) == message


def test_a_service_names_the_tenant_and_a_person_cannot(tokens: Tokens) -> None:
    with pytest.raises(BadRequest, match="tenantId is required"):
        tokens.create(SERVICE.identity)

    assert tokens.create(tenantId="other")["partnerToken"]["tenantId"] == "acme"


@pytest.mark.parametrize("identity", [{"resolverContext": {}}, {"resolverContext": None}, {"username": "ada"}])
def test_an_identity_without_a_tenant_or_of_no_known_kind_is_refused(identity: Any) -> None:
    with pytest.raises(UnauthorizedException):
        caller_tenant(identity, "acme")


def test_a_partner_sees_its_tenant_whatever_it_names() -> None:
    assert caller_tenant(partner("acme").identity, "other") == "acme"
