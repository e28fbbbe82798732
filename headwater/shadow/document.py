"""A shadow document: how updates are merged into its state, its metadata, and what differs.

A document is `{"state": {section: values}, "metadata": {section: …}, "version": n}`; metadata repeat the shape of
the state with `{"timestamp": s}` in place of every value, one for each element of an array.
Source: AWS IoT Core Developer Guide, "Device Shadow service documents".
"""

from typing import Any

Document = dict[str, Any]


def merged(state: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """The state after an update: objects member by member, null removes, everything else is replaced."""
    result = dict(state)
    for name, value in update.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result


def stamped(value: Any, timestamp: int) -> Any:
    """The metadata of values that were all set at one time."""
    if isinstance(value, dict):
        return {name: stamped(child, timestamp) for name, child in value.items() if child is not None}
    if isinstance(value, list):
        return [stamped(child, timestamp) for child in value]
    return {"timestamp": timestamp}


def merged_metadata(
    metadata: dict[str, Any], before: dict[str, Any], update: dict[str, Any], timestamp: int
) -> dict[str, Any]:
    """The metadata after an update of a state that was `before`."""
    result = dict(metadata)
    for name, value in update.items():
        old = before.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(old, dict):
            result[name] = merged_metadata(result.get(name, {}), old, value, timestamp)
        else:
            result[name] = stamped(value, timestamp)
    return result


def difference(desired: Any, reported: Any) -> Any:
    """What is desired and not reported so, down to the members that differ; None if nothing differs."""
    if isinstance(desired, dict) and isinstance(reported, dict):
        found = {}
        for name, value in desired.items():
            if name not in reported:
                found[name] = value
            elif (inner := difference(value, reported[name])) is not None:
                found[name] = inner
        return found or None
    return None if _same(desired, reported) else desired


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def metadata_of(delta: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the desired values that a delta holds."""
    return {
        name: metadata_of(value, metadata[name]) if isinstance(value, dict) else metadata[name]
        for name, value in delta.items()
        if name in metadata
    }
