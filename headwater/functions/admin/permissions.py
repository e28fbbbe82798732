"""Resource policies of functions: shown, never asked, since who calls a function here is the instance itself.

Source: Lambda API Reference, AddPermission; messages marked (recorded) were recorded on AWS.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError
from headwater.functions.admin.answers import (
    check_revision,
    checked,
    conflict,
    constraint,
    invalid,
    not_found,
    required,
)
from headwater.functions.admin.records import FunctionRecords
from headwater.functions.config import LATEST
from headwater.functions.service import FunctionService

_SID = re.compile(r"[a-zA-Z0-9-_]{1,100}")
_ALIAS = re.compile(r"(?![0-9]+$)[a-zA-Z0-9-_]+")
_SERVICES = (".amazonaws.com", ".amazonaws.com.cn", ".amazon.com")
_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]")


class ResourcePolicies:
    """The statements by function, qualifier and statement id."""

    def __init__(self, service: FunctionService, records: FunctionRecords) -> None:
        self._service = service
        self._records = records

    def add(self, name: str, qualifier: str | None, request: Mapping[str, Any]) -> dict[str, Any]:
        arn = self._arn(name, qualifier)
        sid, action = str(required(request, "StatementId")), str(required(request, "Action"))
        principal = str(required(request, "Principal"))
        if not _SID.fullmatch(sid):
            raise constraint("statementId", sid, "satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")
        if not _ACTION.fullmatch(action):
            pattern = "(lambda:[*]|lambda:[a-zA-Z]+|[*])"
            raise constraint("action", action, f"satisfy regular expression pattern: {pattern}")
        record = self._records.of(name)
        check_revision(checked(request, "RevisionId", str), record.revision_of(qualifier), call="GetPolicy")
        statements = record.policies.setdefault(qualifier or LATEST, {})
        if sid in statements:  # (recorded)
            raise conflict(
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
                "existing statement."
            )
        statement: dict[str, Any] = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": _principal(principal),
            "Action": action,
            "Resource": arn,
        }
        conditions = _conditions(request)
        if conditions:
            statement["Condition"] = conditions
        statements[sid] = statement
        record.renew(qualifier)
        self._records.save(record)
        return {"Statement": json.dumps(statement)}

    def remove(self, name: str, qualifier: str | None, sid: str, revision: str | None) -> None:
        try:
            self._service.config(name)
        except ServiceError as error:  # (recorded)
            arn = f"arn:aws:lambda:{self._service.region}:{self._service.account_id}:function:{name}"
            raise not_found(f"No policy found for: {arn}") from error
        self._arn(name, qualifier)
        record = self._records.of(name)
        statements = record.policies.get(qualifier or LATEST)
        if not statements:  # (recorded)
            raise not_found("No policy is associated with the given resource.")
        check_revision(revision, record.revision_of(qualifier))
        if statements.pop(sid, None) is None:  # (recorded)
            raise not_found(f"Statement {sid} is not found in resource policy.")
        record.renew(qualifier)
        self._records.save(record)

    def get(self, name: str, qualifier: str | None) -> dict[str, Any]:
        known = [config.name for config in self._service.functions()]
        record = self._records.of(name) if name in known else None
        statements = list(record.policies.get(qualifier or LATEST, {}).values()) if record is not None else []
        if record is None or not statements:  # (recorded), for a function that does not exist as well
            raise not_found("The resource you requested does not exist.")
        document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return {"Policy": json.dumps(document), "RevisionId": record.revision_of(qualifier)}

    def _arn(self, name: str, qualifier: str | None) -> str:
        """Raises: ServiceError for a function or version that does not exist, or `$LATEST` by its name."""
        if qualifier == LATEST:  # (recorded)
            raise invalid("We currently do not support adding policies for $LATEST.")
        config = self._service.config(name)
        if qualifier is None:
            return config.arn
        if _ALIAS.fullmatch(qualifier) and qualifier not in config.aliases:  # (recorded)
            raise not_found(f"Cannot find alias arn: {config.arn}:{qualifier}")
        self._service.config(f"{name}:{qualifier}")
        return f"{config.arn}:{qualifier}"


def _principal(text: str) -> Any:
    if text == "*":
        return "*"
    if re.fullmatch(r"\d{12}", text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if text.startswith("arn:"):
        return {"AWS": text}
    if text.endswith(_SERVICES):
        return {"Service": text}
    raise ServiceError(  # (recorded)
        "InvalidParameterValueException",
        "The provided principal was invalid. Please check the principal and try again.",
        fields={"Type": "User"},
    )


def _conditions(request: Mapping[str, Any]) -> dict[str, Any]:
    equals = {}
    if source := checked(request, "SourceAccount", str):
        equals["AWS:SourceAccount"] = source
    if kind := checked(request, "FunctionUrlAuthType", str):
        equals["lambda:FunctionUrlAuthType"] = kind
    if organization := checked(request, "PrincipalOrgID", str):
        equals["aws:PrincipalOrgID"] = organization
    if token := checked(request, "EventSourceToken", str):
        equals["lambda:EventSourceToken"] = token
    conditions: dict[str, Any] = {"StringEquals": equals} if equals else {}
    if arn := checked(request, "SourceArn", str):
        conditions["ArnLike"] = {"AWS:SourceArn": arn}
    return conditions
