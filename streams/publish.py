"""Flow 7/8: write publish mutations, many to a request by alias, and map the answer's errors back to them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.coalesce import WATCHED_READINGS, Publish

# AppSync drops a subscription event above 240 KB without a word; a request is kept under it too.
MAX_EVENT_BYTES = 240 * 1000
MAX_ALIASES = 25
_ENVELOPE_BYTES = 2_000

_SPAN = "{min max count}"
# Subscribers can see only what the mutation selected: each selection is complete, and a test holds it to
# schema.graphql.
SELECTIONS = {
    "publishDeviceState": (
        "DeviceStateInput",
        "deviceId tenantId siteId version eventId time seq readings sampleCount summary "
        f"spans{{{' '.join(f'{name}{_SPAN}' for name in WATCHED_READINGS)}}}",
    ),
    "publishAlert": (
        "AlertInput",
        "alertId deviceId tenantId siteId ruleId name severity status reading value threshold "
        "openedAt acknowledgedAt acknowledgedBy note resolvedAt version",
    ),
    "publishCommand": (
        "CommandInput",
        "commandId deviceId tenantId name parameters status sentAt timeoutAt closedAt reply version",
    ),
    "publishPresence": ("PresenceInput", "deviceId tenantId siteId isConnected since disconnectReason version"),
    "publishDeviceRemoval": ("DeviceRemovalInput", "deviceId tenantId siteId removedAt version"),
}
# The JSON-valued fields (AWSJSON): a string on the wire.
_JSON_FIELDS = ("readings", "summary", "parameters", "reply")


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """One GraphQL request; alias `m<i>` is `publishes[i]`."""

    body: bytes
    publishes: tuple[Publish, ...]


def requests(publishes: Iterable[Publish]) -> list[PublishRequest]:
    """Pack publishes into requests, in order; a device is at most once in a request.

    Root fields of a mutation go on after one of them failed. With one publish per device in a request, stopping a
    device at its first failure is stopping between requests.
    """
    packed: list[PublishRequest] = []
    chunk: list[Publish] = []
    inputs: list[str] = []
    size_bytes = _ENVELOPE_BYTES
    for publish in publishes:
        text = _input_json(publish)
        is_full = len(chunk) == MAX_ALIASES or size_bytes + len(text) > MAX_EVENT_BYTES
        if chunk and (is_full or any(other.device_id == publish.device_id for other in chunk)):
            packed.append(_request(chunk, inputs))
            chunk, inputs, size_bytes = [], [], _ENVELOPE_BYTES
        chunk.append(publish)
        inputs.append(text)
        size_bytes += len(text)
    if chunk:
        packed.append(_request(chunk, inputs))
    return packed


def failed_publishes(request: PublishRequest, status: int, answer: bytes) -> list[tuple[Publish, str]]:
    """Name the publishes of a request that did not happen, each with the reason.

    HTTP 200 with `errors` is a failure of exactly the aliases its paths name; an error without a path, another status
    or a body that is no GraphQL answer is a failure of all. An alias that is null without an error reached nobody.
    """
    if status != 200:
        return [(publish, f"HTTP {status}: {answer[:300].decode('utf-8', 'replace')}") for publish in request.publishes]
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return [(publish, "the answer is no JSON object") for publish in request.publishes]
    data = document.get("data") or {}
    reasons: dict[str, str] = {}
    for error in document.get("errors") or []:
        reason = f"{error.get('errorType')}: {error.get('message')}"
        path = error.get("path")
        if not path:
            return [(publish, reason) for publish in request.publishes]
        reasons.setdefault(str(path[0]), reason)
    failed = []
    for place, publish in enumerate(request.publishes):
        alias = f"m{place}"
        if alias in reasons:
            failed.append((publish, reasons[alias]))
        elif data.get(alias) is None:
            failed.append((publish, "the mutation answered null"))
    return failed


def _request(publishes: Sequence[Publish], inputs: Sequence[str]) -> PublishRequest:
    declared = []
    fields = []
    fragments: dict[str, str] = {}
    for place, publish in enumerate(publishes):
        input_type, selection = SELECTIONS[publish.mutation]
        output_type = input_type.removesuffix("Input")
        # One fragment a type: validating a request costs by what is written in it, not by what it selects.
        fragments[output_type] = f"fragment {output_type}Event on {output_type}{{{selection}}}"
        declared.append(f"$i{place}:{input_type}!")
        fields.append(f"m{place}:{publish.mutation}(input:$i{place}){{...{output_type}Event}}")
    parts = (f"mutation Publish({','.join(declared)}){{{' '.join(fields)}}}", *fragments.values())
    query = json.dumps(" ".join(parts))
    variables = ",".join(f'"i{place}":{text}' for place, text in enumerate(inputs))
    return PublishRequest(f'{{"query":{query},"variables":{{{variables}}}}}'.encode(), tuple(publishes))


def _input_json(publish: Publish) -> str:
    fields = _state_fields(publish.input) if publish.mutation == "publishDeviceState" else dict(publish.input)
    for name in _JSON_FIELDS:
        if fields.get(name) is not None:
            fields[name] = _compact(fields[name])
    text = _compact(fields)
    if _ENVELOPE_BYTES + len(text) > MAX_EVENT_BYTES:
        # The event still says that there is something new, and thresholds still work; the client queries the rest.
        text = _compact({**fields, **{name: None for name in _JSON_FIELDS if name in fields}})
    return text


def _state_fields(state: Mapping[str, Any]) -> dict[str, Any]:
    spans = state["spans"]
    watched = {name: spans[name] for name in WATCHED_READINGS if name in spans}
    summary = spans if state["sampleCount"] > 1 else None
    return {**state, "spans": watched, "summary": summary}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
