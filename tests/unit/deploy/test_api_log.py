"""`LogConfig` of a GraphQL API."""

from typing import Any

import pytest

from headwater.deploy.graphql.logs import api_log
from headwater.errors import TemplateError
from headwater.server.appsync.api_log import FieldLogLevel, LogSettings


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({"FieldLogLevel": "ALL"}, LogSettings(FieldLogLevel.ALL, is_verbose=True)),
        ({"FieldLogLevel": "ERROR", "ExcludeVerboseContent": True}, LogSettings(FieldLogLevel.ERROR)),
        ({"FieldLogLevel": "INFO", "ExcludeVerboseContent": "true"}, LogSettings(FieldLogLevel.INFO)),
        ({"CloudWatchLogsRoleArn": "arn"}, LogSettings(FieldLogLevel.NONE, is_verbose=True)),
    ],
)
def test_a_log_config_becomes_the_settings_of_a_log(config: dict[str, Any], settings: LogSettings) -> None:
    log = api_log({"LogConfig": config}, "arn:aws:appsync:us-east-1:1:apis/a", lambda: 0.0)

    assert log is not None
    assert log.settings == settings


def test_without_a_log_config_there_is_no_log() -> None:
    assert api_log({}, "arn", lambda: 0.0) is None


@pytest.mark.parametrize("level", ["all", "WARN", 3, ""])
def test_an_unknown_level_is_refused_with_those_there_are(level: object) -> None:
    with pytest.raises(TemplateError, match="expected NONE, ERROR, INFO, DEBUG, ALL") as caught:
        api_log({"LogConfig": {"FieldLogLevel": level}}, "arn", lambda: 0.0)

    assert caught.value.property_path == "LogConfig.FieldLogLevel"
