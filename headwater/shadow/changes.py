"""The three operations on a shadow: from a stored document and a request to the next document and the answers.

The version goes on over a deletion, for a client that still has the old one must not win; after two days without a
shadow it begins anew. Source: AWS IoT Core Developer Guide, "Device Shadow MQTT topics", "Versioning".
"""

from dataclasses import dataclass
from typing import Any, Final

from headwater.shadow.document import Document, difference, merged, merged_metadata, metadata_of, stamped
from headwater.shadow.names import ShadowName
from headwater.shadow.request import MAXIMUM_STATE_BYTES, ShadowError, Update, size_of

VERSION_OUTLIVES_S: Final = 48 * 3600
_EMPTY: Final[Document] = {"state": {}, "metadata": {}, "version": 0}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an operation did. `document` is to be stored; `delta` and `documents` are published after an update.

    `answer` is the accepted response document.
    """

    document: Document
    answer: Document
    delta: Document | None = None
    documents: Document | None = None


def get_shadow(stored: Document | None, name: ShadowName, *, now: float, token: str | None = None) -> Document:
    """The response to get. Raises: ShadowError 404."""
    document = _present(stored, name, token)
    state = dict(document["state"])
    delta = difference(state.get("desired", {}), state.get("reported", {})) if "desired" in state else None
    if delta is not None:
        state["delta"] = delta
    answer = {"state": state, "metadata": document["metadata"], "version": document["version"]}
    return _signed(answer, now, token)


def update_shadow(stored: Document | None, update: Update, *, now: float) -> Accepted:
    """Merge an update. Raises: ShadowError 409 for another version, 413 for a state that becomes too large."""
    timestamp = int(now)
    before = _document(stored, now)
    if update.version is not None and update.version != before["version"]:
        raise ShadowError(409, "Version conflict", update.token)
    state, metadata = dict(before["state"]), dict(before["metadata"])
    for section, values in update.sections.items():
        _merge(state, metadata, section, values, timestamp)
    if size_of(state) > MAXIMUM_STATE_BYTES:
        raise ShadowError(413, "The payload exceeds the maximum size allowed", update.token)
    document = {"state": state, "metadata": metadata, "version": before["version"] + 1}
    given = {section: values for section, values in update.sections.items() if values is not None}
    answer = {
        "state": dict(update.sections),
        "metadata": {section: stamped(values, timestamp) for section, values in given.items()},
        "version": document["version"],
    }
    return Accepted(
        document,
        _signed(answer, now, update.token),
        _delta(document, now, update.token),
        _documents(before, document, now, update.token),
    )


def delete_shadow(stored: Document | None, name: ShadowName, *, now: float, token: str | None = None) -> Accepted:
    """Leave only the version. Raises: ShadowError 404."""
    version = _present(stored, name, token)["version"]
    return Accepted({"version": version, "deletedAt": int(now)}, _signed({"version": version}, now, token))


def is_present(stored: Document | None) -> bool:
    """Whether there is a shadow, and not only the version of one that was deleted."""
    return stored is not None and "state" in stored


def _present(stored: Document | None, name: ShadowName, token: str | None) -> Document:
    if stored is None or "state" not in stored:
        raise ShadowError(404, f"No shadow exists with name: '{name.text}'", token)
    return stored


def _document(stored: Document | None, now: float) -> Document:
    """What an update starts from."""
    if stored is None:
        return _EMPTY
    if "state" in stored:
        return stored
    outlived = now - stored["deletedAt"] > VERSION_OUTLIVES_S
    return _EMPTY if outlived else {**_EMPTY, "version": stored["version"]}


def _merge(
    state: dict[str, Any], metadata: dict[str, Any], section: str, values: dict[str, Any] | None, timestamp: int
) -> None:
    before = state.get(section, {})
    after = merged(before, values) if values is not None else {}
    if after:
        state[section] = after
        metadata[section] = merged_metadata(metadata.get(section, {}), before, values or {}, timestamp)
    else:
        state.pop(section, None)
        metadata.pop(section, None)


def _delta(document: Document, now: float, token: str | None) -> Document | None:
    state = document["state"]
    delta = difference(state.get("desired", {}), state.get("reported", {}))
    if delta is None:
        return None
    metadata = metadata_of(delta, document["metadata"].get("desired", {}))
    return _signed({"version": document["version"], "state": delta, "metadata": metadata}, now, token)


def _documents(before: Document, after: Document, now: float, token: str | None) -> Document:
    return _signed({"previous": before, "current": after}, now, token)


def _signed(answer: Document, now: float, token: str | None) -> Document:
    answer["timestamp"] = int(now)
    if token is not None:
        answer["clientToken"] = token
    return answer
