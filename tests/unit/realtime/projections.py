"""A projection for tests: what the engine would compile from a subscription's selection."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class SomeProjection:
    """`onState`, followed by `putState`; `unselected` and `fault` are the answers to what is asked."""

    field_name: str = "onState"
    mutation_fields: tuple[str, ...] = ("putState",)
    group_key: str = "group"
    to_payload: Callable[[Any], bytes] = orjson.dumps
    unselected: Sequence[str] = ()
    fault: Callable[[Sequence[str], Iterable[Any]], str | None] = lambda path, values: None

    def project(self, response: Any) -> bytes:
        return self.to_payload(response)

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        return list(self.unselected)

    def refused_fields(self) -> list[str]:
        return []

    def filter_fault(self, path: Sequence[str], values: Iterable[Any]) -> str | None:
        return self.fault(path, values)
