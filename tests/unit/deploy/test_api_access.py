"""Who may call a GraphQL API, as its template says."""

from typing import Any

import pytest

from headwater.deploy.graphql.access import expiry_of
from headwater.deploy.graphql.oidc import pattern_of
from headwater.errors import TemplateError


@pytest.mark.parametrize("text", ["[", "(?P<", "*"])
def test_a_setting_that_is_no_regular_expression_is_named(text: str) -> None:
    with pytest.raises(TemplateError, match="is no regular expression") as caught:
        pattern_of({"ClientId": text}, "OpenIDConnectConfig", "ClientId")

    assert caught.value.property_path == "OpenIDConnectConfig.ClientId"


def test_a_setting_that_is_absent_accepts_everything() -> None:
    assert pattern_of({}, "UserPoolConfig", "AppIdClientRegex") is None


DAY_S = 24 * 3600


@pytest.mark.parametrize(
    ("expires", "ends"), [(None, 1000 + 365 * DAY_S), (1000 + DAY_S, 1000 + DAY_S), (str(2000), 2000)]
)
def test_an_api_key_ends_when_the_template_says_or_as_late_as_it_may(expires: Any, ends: float) -> None:
    assert expiry_of(expires, 1000.0) == ends


@pytest.mark.parametrize("expires", [0, 999, 1000, 1001 + 365 * DAY_S])
def test_an_api_key_of_the_past_or_for_longer_than_a_year_is_refused(expires: int) -> None:
    with pytest.raises(TemplateError, match="1 to 365 days ahead"):
        expiry_of(expires, 1000.0)
