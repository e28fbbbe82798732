"""How asynchronous calls of a function, by qualifier, are retried and where their ends go.

Source: Lambda API Reference, PutFunctionEventInvokeConfig; messages marked (recorded) were recorded on AWS.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.admin.answers import between, checked, constraint, invalid, not_found, page
from headwater.functions.admin.records import FunctionRecords
from headwater.functions.config import LATEST, EventInvokeConfig, FunctionConfig
from headwater.functions.service import FunctionService

_ARN_PATTERN = r"^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
_ARN = re.compile(_ARN_PATTERN)
# Source: Lambda developer guide, "Capturing records of Lambda asynchronous invocations".
_SERVICES = {"OnSuccess": ("sqs", "sns", "lambda", "events"), "OnFailure": ("sqs", "sns", "lambda", "events", "s3")}
_MEMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


class EventInvokeConfigs:
    """The settings by function and qualifier, `$LATEST` without one."""

    def __init__(self, service: FunctionService, records: FunctionRecords) -> None:
        self._service = service
        self._records = records

    def put(self, name: str, qualifier: str | None, request: Mapping[str, Any], *, merges: bool) -> dict[str, Any]:
        """Set, or with `merges` change, what the request names."""
        if not any(request.get(member) is not None for member in _MEMBERS):  # (recorded), also for no function
            raise invalid("You must specify at least one of error handling or destination setting.")
        config = self._config(name, qualifier)
        key = qualifier or LATEST
        current = self._of(config).get(key)
        if merges and current is None:
            raise self._absent(config.name, key)
        given = {
            "MaximumRetryAttempts": between(request, "MaximumRetryAttempts", None, 0, 2),
            "MaximumEventAgeInSeconds": between(request, "MaximumEventAgeInSeconds", None, 60, 21_600),
            "DestinationConfig": self._destinations(config, request),
        }
        document = {
            **((current or {}) if merges else {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}}),
            **{member: value for member, value in given.items() if value is not None},
            "LastModified": self._service.clock(),
        }
        self._keep(config.name, key, document)
        return self._shown(config, key, document)

    def get(self, name: str, qualifier: str | None) -> dict[str, Any]:
        key = qualifier or LATEST
        try:
            config = self._config(name, qualifier)
        except ServiceError as error:
            raise self._absent(name, key) from error
        document = self._of(config).get(key)
        if document is None:
            raise self._absent(config.name, key)
        return self._shown(config, key, document)

    def delete(self, name: str, qualifier: str | None) -> None:
        self.get(name, qualifier)
        self._keep(name, qualifier or LATEST, None)

    def list(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        config = self._config(name, None)
        found = [self._shown(config, key, document) for key, document in self._of(config).items()]
        return page("FunctionEventInvokeConfigs", found, query, most=50)

    # Parts

    def _config(self, name: str, qualifier: str | None) -> FunctionConfig:
        try:
            self._service.config(f"{name}:{qualifier}" if qualifier else name)
            return self._service.config(name)
        except ServiceError as error:  # (recorded)
            raise not_found("The function doesn't exist.") from error

    def _absent(self, name: str, qualifier: str) -> ServiceError:
        arn = f"arn:aws:lambda:{self._service.region}:{self._service.account_id}:function:{name}:{qualifier}"
        return not_found(f"The function {arn} doesn't have an EventInvokeConfig")  # (recorded)

    def _of(self, config: FunctionConfig) -> dict[str, dict[str, Any]]:
        """The documents by qualifier: those of the template, and what was set through the API."""
        started = self._records.of(config.name).modified_s
        of_template = {LATEST: config.event_invoke, **config.event_invokes}
        own = self._records.of(config.name).event_invokes
        shown = {
            key: {
                "MaximumRetryAttempts": settings.maximum_retry_attempts,
                "MaximumEventAgeInSeconds": int(settings.maximum_event_age_s),
                "DestinationConfig": {
                    "OnSuccess": {"Destination": settings.on_success} if settings.on_success else {},
                    "OnFailure": {"Destination": settings.on_failure} if settings.on_failure else {},
                },
                "LastModified": started,
            }
            for key, settings in of_template.items()
            if key not in own and settings != EventInvokeConfig(dead_letter=settings.dead_letter)
        }
        return {**shown, **own}

    def _shown(self, config: FunctionConfig, qualifier: str, document: Mapping[str, Any]) -> dict[str, Any]:
        return {"FunctionArn": f"{config.arn}:{qualifier}", **document}

    def _destinations(self, config: FunctionConfig, request: Mapping[str, Any]) -> dict[str, Any] | None:
        given = checked(request, "DestinationConfig", dict)
        if given is None:
            return None
        kept: dict[str, Any] = {}
        for side in ("OnSuccess", "OnFailure"):
            arn = checked(checked(given, side, dict, {}), "Destination", str)
            kept[side] = {"Destination": arn} if arn else {}
            if arn:
                self._check_destination(config, side, arn)
        return kept

    def _check_destination(self, config: FunctionConfig, side: str, arn: str) -> None:
        if not _ARN.fullmatch(arn):  # (recorded)
            member = f"destinationConfig.{side[0].lower()}{side[1:]}.destination"
            raise constraint(member, arn, f"satisfy regular expression pattern: {_ARN_PATTERN}")
        service = arn.split(":")[2]
        if service not in _SERVICES[side]:
            raise invalid(f"The destination {arn} does not work here: {', '.join(_SERVICES[side])} do.")
        if service != "lambda":
            return
        if arn == config.arn:  # (recorded)
            raise invalid("You can't specify the function as a destination for itself.")
        try:
            self._service.config(arn)
        except ServiceError as error:  # (recorded)
            raise invalid(f"The destination ARN {arn} is invalid.") from error

    def _keep(self, name: str, qualifier: str, document: dict[str, Any] | None) -> None:
        record = self._records.of(name)
        record.event_invokes.pop(qualifier, None)
        if document is not None:
            record.event_invokes[qualifier] = document
        config = self._service.config(name)
        self._service.register(with_settings(config, qualifier, document))
        self._records.save(record)


def with_settings(config: FunctionConfig, qualifier: str, document: Mapping[str, Any] | None) -> FunctionConfig:
    """A function with one qualifier's settings as the API has them, None for the default."""
    settings = EventInvokeConfig(dead_letter=config.event_invoke.dead_letter)
    if document is not None:
        destinations = document["DestinationConfig"]
        settings = EventInvokeConfig(
            maximum_retry_attempts=document.get("MaximumRetryAttempts", settings.maximum_retry_attempts),
            maximum_event_age_s=document.get("MaximumEventAgeInSeconds", settings.maximum_event_age_s),
            on_success=destinations["OnSuccess"].get("Destination"),
            on_failure=destinations["OnFailure"].get("Destination"),
            dead_letter=settings.dead_letter,
        )
    if qualifier == LATEST:
        return replace(config, event_invoke=settings)
    return replace(config, event_invokes={**config.event_invokes, qualifier: settings})
