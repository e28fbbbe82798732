"""Published versions and aliases of functions.

Source: Lambda API Reference, PublishVersion, CreateAlias; messages marked (recorded) were recorded on AWS.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.admin.answers import check_revision, checked, conflict, constraint, invalid, not_found, page
from headwater.functions.admin.functions import FunctionAdmin
from headwater.functions.admin.records import FunctionRecord, FunctionRecords, new_revision
from headwater.functions.config import LATEST
from headwater.functions.service import FunctionService

_ALIAS_PATTERN = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
_ALIAS = re.compile(r"(?![0-9]+$)[a-zA-Z0-9-_]{1,128}")


class Versions:
    """What is done with the numbers and names of a function's versions."""

    def __init__(self, service: FunctionService, records: FunctionRecords, functions: FunctionAdmin) -> None:
        self._service = service
        self._records = records
        self._functions = functions

    def publish(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        record = self._records.of(self._service.config(name).name)
        check_revision(checked(request, "RevisionId", str), record.revision_id)
        wanted = checked(request, "CodeSha256", str)
        current = self._functions.code_of(record).sha256
        if wanted and wanted != current:  # (recorded)
            raise invalid(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({current}). Please try again "
                "with the CodeSHA256 in $LATEST."
            )
        number = self._functions.publish(record, checked(request, "Description", str))
        return self._functions.describe(name, number)

    def list(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        numbers = [LATEST, *self._functions.version_numbers(name)]
        return page("Versions", [self._functions.entry(name, number) for number in numbers], query)

    # Aliases

    def create_alias(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        alias, version = str(request.get("Name") or ""), checked(request, "FunctionVersion", str, "")
        if not _ALIAS.fullmatch(alias):  # (recorded)
            raise constraint("name", alias, f"satisfy regular expression pattern: {_ALIAS_PATTERN}")
        known = [config.name for config in self._service.functions()]
        if name not in known:  # (recorded)
            arn = f"arn:aws:lambda:{self._service.region}:{self._service.account_id}:function:{name}"
            raise not_found(f"Function not found: {arn}:{version}")
        record = self._records.of(name)
        weights = self._weights(name, version, request)
        self._check_version(name, version)
        arn = self._arn(name, alias)
        if alias in self._service.config(name).aliases:
            raise conflict(f"Alias already exists: {arn}")
        record.aliases[alias] = {
            "AliasArn": arn,
            "Name": alias,
            "FunctionVersion": version,
            "Description": checked(request, "Description", str, ""),
            "RevisionId": new_revision(),
            **weights,
        }
        self._keep(record)
        return record.aliases[alias]

    def update_alias(self, name: str, alias: str, request: Mapping[str, Any]) -> dict[str, Any]:
        record = self._records.of(self._service.config(name).name)
        self._refuse_template(name, alias)
        current = record.aliases.get(alias)
        if current is None:  # (recorded)
            raise not_found(f"Alias not found: {self._arn(name, alias)}")
        check_revision(checked(request, "RevisionId", str), current["RevisionId"])
        version = checked(request, "FunctionVersion", str, current["FunctionVersion"])
        weights = (
            self._weights(name, version, request)
            if request.get("RoutingConfig") is not None
            else {key: current[key] for key in ("RoutingConfig",) if key in current}
        )
        self._check_version(name, version)
        record.aliases[alias] = {
            **{key: value for key, value in current.items() if key != "RoutingConfig"},
            "FunctionVersion": version,
            "Description": checked(request, "Description", str, current["Description"]),
            "RevisionId": new_revision(),
            **weights,
        }
        self._keep(record)
        return record.aliases[alias]

    def delete_alias(self, name: str, alias: str) -> None:
        """Deleting an alias that is not there is no error, as on AWS."""
        record = self._records.of(self._service.config(name).name)
        self._refuse_template(name, alias)
        if record.aliases.pop(alias, None) is not None:
            self._keep(record)

    def get_alias(self, name: str, alias: str) -> dict[str, Any]:
        found = self._aliases(name).get(alias)
        if found is None:  # (recorded)
            raise not_found(f"Cannot find alias arn: {self._arn(name, alias)}")
        return found

    def list_aliases(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        wanted = query.get("FunctionVersion")
        found = [alias for _, alias in sorted(self._aliases(name).items())]
        return page("Aliases", [one for one in found if wanted in (None, one["FunctionVersion"])], query)

    # Parts

    def _aliases(self, name: str) -> dict[str, dict[str, Any]]:
        config = self._service.config(name)
        of_template: dict[str, dict[str, Any]] = {
            alias: {
                "AliasArn": self._arn(name, alias),
                "Name": alias,
                "FunctionVersion": number,
                "Description": "",
                # The same as long as the template says the same.
                "RevisionId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._arn(name, alias)}:{number}")),
            }
            for alias, number in self._functions.template_aliases(config.name).items()
        }
        for alias, (number, weight) in config.alias_weights.items():
            if alias in of_template:
                of_template[alias]["RoutingConfig"] = {"AdditionalVersionWeights": {number: weight}}
        return {**self._records.of(config.name).aliases, **of_template}

    def _refuse_template(self, name: str, alias: str) -> None:
        if alias in self._functions.template_aliases(name):
            raise invalid(f"The alias {alias} of {name} comes from the template; change it there.")

    def _arn(self, name: str, qualifier: str) -> str:
        return f"{self._service.config(name).arn}:{qualifier}"

    def _check_version(self, name: str, version: str) -> None:
        if version != LATEST and version not in self._functions.version_numbers(name):  # (recorded)
            raise not_found(f"Function not found: {self._arn(name, version)}")

    def _weights(self, name: str, version: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request's RoutingConfig, checked; nothing without weights."""
        routing = checked(request, "RoutingConfig", dict, {})
        weights: dict[str, Any] = checked(routing, "AdditionalVersionWeights", dict, {})
        shown = ", ".join(f"{number}={_decimal(weight)}" for number, weight in weights.items())
        member = "routingConfig.additionalVersionWeights"
        if len(weights) > 1:  # (recorded)
            raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        for number, weight in weights.items():
            if not number.isdecimal():  # (recorded)
                raise _map_constraint(
                    member,
                    shown,
                    "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member "
                    "must have length greater than or equal to 1, Member must satisfy regular expression pattern: "
                    "[0-9]+]",
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:  # (recorded)
                raise _map_constraint(
                    member,
                    shown,
                    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must "
                    "have value greater than or equal to 0.0, Member must not be null]",
                )
            if version == LATEST:  # (recorded)
                message = "$LATEST is not supported for an alias pointing to more than 1 version"
                raise ServiceError("InvalidParameterValueException", message)
            if number == version:  # (recorded)
                raise invalid(
                    f"Invalid function version {number}. Function version {number} is already included in routing "
                    "configuration."
                )
            self._check_version(name, number)
        return {"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {}

    def _keep(self, record: FunctionRecord) -> None:
        self._functions.apply(record)
        self._records.save(record)


def _decimal(weight: Any) -> Any:
    return float(weight) if isinstance(weight, int) and not isinstance(weight, bool) else weight


def _map_constraint(member: str, shown: str, rule: str) -> ServiceError:
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{{{shown}}}' at '{member}' failed to satisfy constraint: {rule}",
    )
