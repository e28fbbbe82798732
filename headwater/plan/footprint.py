"""What a template's functions use for a message: `Metadata.Headwater.Plan`, which AWS ignores.

Only the author of the functions knows how many items they write and how large. The form is in docs/your-template.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.errors import TemplateError

Group = Literal["Message", "Device", "DeviceMinute", "Batch"]
_GROUPS = ("Message", "Device", "DeviceMinute", "Batch")
_WRITE_UNIT_BYTES, _READ_UNIT_BYTES = 1024, 4096


@dataclass(frozen=True, slots=True)
class Item:
    """One item that is read or written for each message, device of a batch, minute of a device, or batch.

    Its size is `fixed_bytes` and `payload_share` of one payload, and for each message of its group `message_bytes` and
    `message_share` of its payload; `summary_share` of one payload comes on top where a group has several messages, and
    `watched_bytes` for each device that somebody watches by its name. With `together` a group of more messages is
    several items of at most so many.
    """

    per: Group
    fixed_bytes: int
    payload_share: float
    summary_share: float
    message_bytes: int
    message_share: float
    watched_bytes: int
    together: int
    is_consistent: bool
    seen_by: str
    days: str

    def size_bytes(self, payload_bytes: int, messages: float, named: float = 0.0) -> float:
        each = self.message_bytes + self.message_share * payload_bytes
        share = self.payload_share + (self.summary_share if messages > 1 else 0.0)
        return self.fixed_bytes + share * payload_bytes + messages * each + named * self.watched_bytes

    def pieces(self, messages: float) -> int:
        """Count the items of one group."""
        return max(1, math.ceil(messages / self.together)) if self.together else 1

    def piece_bytes(self, payload_bytes: int, messages: float) -> float:
        return self.size_bytes(payload_bytes, messages / self.pieces(messages))

    def write_units(self, payload_bytes: int, messages: float) -> int:
        return self.pieces(messages) * _units(self.piece_bytes(payload_bytes, messages), _WRITE_UNIT_BYTES)

    def read_units(self, payload_bytes: int, messages: float, named: float = 0.0) -> float:
        units = _units(self.size_bytes(payload_bytes, messages, named), _READ_UNIT_BYTES)
        return units if self.is_consistent else units / 2


def _units(size_bytes: float, unit_bytes: int) -> int:
    return max(1, -(-int(size_bytes) // unit_bytes))


@dataclass(frozen=True, slots=True)
class Publishes:
    """Mutations of one function: `together` in a request; `is_watched_alone` where nobody else's changes are sent."""

    together: int
    event_bytes: int
    payload_share: float
    is_watched_alone: bool


@dataclass(frozen=True, slots=True)
class FunctionFootprint:
    """What one function does with a batch, and how long it takes on AWS (seconds)."""

    reads: tuple[Item, ...] = ()
    writes: tuple[Item, ...] = ()
    publishes: Publishes | None = None
    batch_s: float = 0.0
    device_s: float = 0.0
    message_s: float = 0.0
    request_s: float = 0.0
    minute_s: float = 0.0


def parse_footprints(plan: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, FunctionFootprint]:
    """Read `Functions` by logical id; entries whose `When` does not hold for the parameters are left out.

    Raises: TemplateError naming the entry, the value found and what is expected.
    """
    functions = _mapping(plan.get("Functions"), "Functions")
    return {
        str(name): _footprint(_mapping(raw, f"Functions.{name}"), f"Functions.{name}", parameters)
        for name, raw in functions.items()
    }


def _footprint(raw: Mapping[str, Any], path: str, parameters: Mapping[str, str]) -> FunctionFootprint:
    _only(raw, path, "Reads", "Writes", "Publishes", "Microseconds")
    times = _mapping(raw.get("Microseconds", {}), f"{path}.Microseconds")
    _only(times, f"{path}.Microseconds", "Batch", "Device", "Message", "Request", "Minute")
    seconds = {name: _whole(times, name, f"{path}.Microseconds") / 1e6 for name in times}
    published = [
        _publishes(entry, f"{path}.Publishes")
        for entry in _entries(raw.get("Publishes", []), f"{path}.Publishes", parameters)
    ]
    if len(published) > 1:
        raise _fault(f"{path}.Publishes", f"one entry holds at a time, found {len(published)}")
    items = {
        kind: tuple(
            _item(entry, f"{path}.{kind}") for entry in _entries(raw.get(kind, []), f"{path}.{kind}", parameters)
        )
        for kind in ("Reads", "Writes")
    }
    return FunctionFootprint(
        items["Reads"],
        items["Writes"],
        published[0] if published else None,
        batch_s=seconds.get("Batch", 0.0),
        device_s=seconds.get("Device", 0.0),
        message_s=seconds.get("Message", 0.0),
        request_s=seconds.get("Request", 0.0),
        minute_s=seconds.get("Minute", 0.0),
    )


def _entries(raw: Any, path: str, parameters: Mapping[str, str]) -> list[Mapping[str, Any]]:
    if not isinstance(raw, list):
        raise _fault(path, f"expected a list, found {raw!r}")
    entries = [_mapping(entry, path) for entry in raw]
    return [entry for entry in entries if _holds(_mapping(entry.get("When", {}), f"{path}.When"), path, parameters)]


def _holds(when: Mapping[str, Any], path: str, parameters: Mapping[str, str]) -> bool:
    for name, wanted in when.items():
        if name not in parameters:
            raise _fault(f"{path}.When", f"the template has no parameter {name!r}")
        if parameters[name] != str(wanted):
            return False
    return True


def _item(raw: Mapping[str, Any], path: str) -> Item:
    _only(
        raw, path, "Per", "Bytes", "PayloadPercent", "SummaryPercent", "MessageBytes", "MessagePayloadPercent",
        "WatchedBytes", "Together", "Consistent", "SeenBy", "Days", "When",
    )  # fmt: skip
    per = raw.get("Per")
    if per not in _GROUPS:
        raise _fault(f"{path}.Per", f"expected one of {', '.join(_GROUPS)}, found {per!r}")
    return Item(
        per,
        _whole(raw, "Bytes", path),
        _whole(raw, "PayloadPercent", path) / 100,
        _whole(raw, "SummaryPercent", path) / 100,
        _whole(raw, "MessageBytes", path),
        _whole(raw, "MessagePayloadPercent", path) / 100,
        _whole(raw, "WatchedBytes", path),
        _whole(raw, "Together", path),
        is_consistent=str(raw.get("Consistent", "false")).lower() == "true",
        seen_by=str(raw.get("SeenBy", "")),
        days=str(raw.get("Days", "")),
    )


def _publishes(raw: Mapping[str, Any], path: str) -> Publishes:
    _only(raw, path, "Together", "Bytes", "PayloadPercent", "WatchedAlone", "When")
    together = _whole(raw, "Together", path)
    if together < 1:
        raise _fault(f"{path}.Together", f"expected 1 or more, found {together}")
    is_watched_alone = str(raw.get("WatchedAlone", "false")).lower() == "true"
    return Publishes(together, _whole(raw, "Bytes", path), _whole(raw, "PayloadPercent", path) / 100, is_watched_alone)


def _whole(raw: Mapping[str, Any], name: str, path: str) -> int:
    value = raw.get(name, 0)
    # SAM's transform hands numbers of the metadata on as text where they were quoted.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 0 <= value < 10**9:
        raise _fault(f"{path}.{name}", f"expected a whole number from 0, found {value!r}")
    return value


def _mapping(raw: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise _fault(path, f"expected a mapping, found {raw!r}")
    return raw


def _only(raw: Mapping[str, Any], path: str, *known: str) -> None:
    unknown = sorted(str(name) for name in raw if name not in known)
    if unknown:
        raise _fault(path, f"{', '.join(unknown)}: unknown; there are {', '.join(known)}")


def _fault(path: str, message: str) -> TemplateError:
    return TemplateError(message, logical_id="Metadata.Headwater.Plan", property_path=path)
