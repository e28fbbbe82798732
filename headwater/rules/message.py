"""The publish a rule looks at, with everything SQL functions may ask about it."""

import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from headwater.rules.values import UNDEFINED, parse_json

_NONE: Mapping[str, Any] = MappingProxyType({})


class Message(msgspec.Struct, gc=False):
    """One MQTT publish as topic rules see it.

    `topic` has no Basic Ingest prefix. `now_ms` is the arrival in epoch ms; `entropy` gives as many random bytes
    as it is asked for. `client_id`, `principal` and `source_ip` are None for a publish that did not come over MQTT.
    `properties` are MQTT 5 properties by their AWS names, `user_properties` pairs in order. `lineage` is for whoever
    carries out republish actions: what the publish came of.
    """

    topic: str
    payload: bytes
    now_ms: int
    entropy: Callable[[int], bytes]
    account_id: str = "123456789012"
    client_id: str | None = None
    principal: str | None = None
    source_ip: str | None = None
    properties: Mapping[str, Any] = _NONE
    user_properties: tuple[tuple[str, str], ...] = ()
    lineage: Any = None
    _levels: list[str] | None = None
    _value: Any = UNDEFINED
    _is_parsed: bool = False
    _trace_id: str = ""

    @property
    def levels(self) -> list[str]:
        if self._levels is None:
            self._levels = self.topic.split("/")
        return self._levels

    @property
    def value(self) -> Any:
        """The payload as JSON, UNDEFINED if it is none; parsed once for all rules."""
        if not self._is_parsed:
            self._value = parse_json(self.payload)
            self._is_parsed = True
        return self._value

    @property
    def trace_id(self) -> str:
        """A UUID of this publish, made when it is first asked for."""
        if not self._trace_id:
            self._trace_id = str(uuid.UUID(bytes=self.entropy(16), version=4))
        return self._trace_id
