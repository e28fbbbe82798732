"""The verdict on every resource and property of a template: live, deploy-only or refused.

What no table names is refused, because a property that is silently ignored is a difference nobody sees.
A table maps dotted property paths (list positions left out) to verdicts; a path covers all that is below it
unless a longer path below it is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.template.tables import TYPE_TABLES, TypeTable

Verdict = Literal["live", "deploy-only", "refused"]
_RESOURCE_KEYS = frozenset(
    "Type Properties Metadata DependsOn Condition DeletionPolicy UpdateReplacePolicy UpdatePolicy "
    "CreationPolicy Connectors IgnoreGlobals".split()
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict; `path` is empty for the resource as a whole, `why` says what to do about a refusal."""

    logical_id: str
    type: str
    path: str
    verdict: Verdict
    why: str = ""


def judge(logical_id: str, body: Mapping[str, Any], properties: Mapping[str, Any]) -> list[Finding]:
    """Judge one resource by its raw body and its resolved properties."""
    kind = str(body["Type"])
    table = TYPE_TABLES.get(kind)
    if table is None:
        return [Finding(logical_id, kind, "", "refused", _unknown_type(kind))]
    if table.verdict == "refused":
        return [Finding(logical_id, kind, "", "refused", table.why)]
    findings = [Finding(logical_id, kind, "", table.verdict)]
    for key in body:
        if key not in _RESOURCE_KEYS:
            findings.append(Finding(logical_id, kind, key, "refused", "not an attribute of a resource"))
    if table.verdict == "deploy-only":
        return findings
    findings.extend(
        Finding(logical_id, kind, path, verdict, why) for path, verdict, why in _walk(table, "", properties)
    )
    for check in table.checks:
        findings.extend(Finding(logical_id, kind, path, "refused", why) for path, why in check(properties))
    return findings


def _walk(table: TypeTable, prefix: str, value: Any) -> Iterator[tuple[str, Verdict, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _walk(table, prefix, item)
        return
    if not isinstance(value, Mapping):
        # A path whose children are named, but which holds a plain value, was written in a shape of its own.
        yield prefix, "refused", f"found {value!r} where a mapping is expected"
        return
    for key, child in value.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if path in table.refused:
            yield path, "refused", table.refused[path]
        elif path in table.deploy_only:
            yield path, "deploy-only", ""
        elif table.has_paths_below(path):
            yield from _walk(table, path, child)
        elif path in table.live:
            yield path, "live", ""
        else:
            yield path, "refused", "not a property that works here; remove it, or deploy to AWS to use it"


def _unknown_type(kind: str) -> str:
    if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource":
        return "custom resources do not run here; move what it does behind a Condition"
    if kind.startswith("AWS::Serverless::"):
        return "this type needs the SAM transform; state `Transform: AWS::Serverless-2016-10-31` in the template"
    return "this resource type does not run here; move it behind a Condition that is false locally"
