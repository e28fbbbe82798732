"""Nobody chooses a tenant: Cognito's rules on attributes, applied to the template's pool and app client.

moto stores these settings and enforces none, so the rules stand here.
Source: Amazon Cognito Developer Guide, "User pool attributes" and "Attribute permissions and scopes"; API Reference,
SignUp and UpdateUserAttributes.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.template.template_file import load_template, resources_of_type

TEMPLATE = load_template()
POOL = TEMPLATE["Resources"]["UserPool"]["Properties"]
CLIENT = TEMPLATE["Resources"]["UserPoolClient"]["Properties"]
TENANT = "custom:tenantId"


class NotAuthorized(Exception):
    """Cognito's NotAuthorizedException."""


def check_written(client: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
    """A client without WriteAttributes may write all standard and custom attributes."""
    writable = client.get("WriteAttributes")
    for name in attributes:
        if writable is not None and name not in writable:
            raise NotAuthorized(f"A client attempted to write unauthorized attribute {name}")


def sign_up(pool: Mapping[str, Any], client: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
    if pool.get("AdminCreateUserConfig", {}).get("AllowAdminCreateUserOnly"):
        raise NotAuthorized("SignUp is not permitted for this user pool")
    check_written(client, attributes)


def update_user_attributes(pool: Mapping[str, Any], client: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
    check_written(client, attributes)
    for attribute in pool["Schema"]:
        name = attribute["Name"] if attribute["Name"] == "email" else f"custom:{attribute['Name']}"
        if name in attributes and not attribute.get("Mutable", True):
            raise NotAuthorized(f"user.{name}: Attribute cannot be updated.")


def test_nobody_signs_up_into_a_tenant() -> None:
    with pytest.raises(NotAuthorized, match="not permitted"):
        sign_up(POOL, CLIENT, {"email": "a@b.c", TENANT: "acme"})


def test_nobody_moves_to_another_tenant() -> None:
    with pytest.raises(NotAuthorized, match="unauthorized attribute"):
        update_user_attributes(POOL, CLIENT, {TENANT: "acme"})
    # What people may change is open, so the refusal above is not one of everything.
    update_user_attributes(POOL, CLIENT, {"email": "new@b.c", "name": "Ada"})


@pytest.mark.parametrize("attempt", [sign_up, update_user_attributes])
def test_one_setting_may_be_lost_and_the_tenant_still_cannot_be_written(attempt: Callable[..., None]) -> None:
    open_pool = copy.deepcopy(POOL)
    open_pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] = False
    for attribute in open_pool["Schema"]:
        attribute["Mutable"] = True

    for pool, client in ((open_pool, CLIENT), (POOL, {**CLIENT, "WriteAttributes": None})):
        with pytest.raises(NotAuthorized):
            attempt(pool, client, {TENANT: "acme"})


def test_every_app_client_of_the_template_leaves_the_tenant_out() -> None:
    for name, client in resources_of_type(TEMPLATE, "AWS::Cognito::UserPoolClient").items():
        # Without the list a client writes everything.
        assert TENANT not in client["WriteAttributes"], name
        assert TENANT in client["ReadAttributes"], name


def test_no_trigger_of_the_pool_writes_attributes() -> None:
    assert "LambdaConfig" not in POOL
