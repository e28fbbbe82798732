"""The publish a rule looks at, with everything SQL functions may ask about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.rules.values import UNDEFINED, parse_json


@dataclass(slots=True)
class Message:
    """One MQTT publish as topic rules see it.

    `topic` has no Basic Ingest prefix. `now_ms` is the arrival in epoch ms; `entropy` gives as many random bytes
    as it is asked for. `client_id`, `principal`, `source_ip` and `trace_id` are None for a publish that did not
    come over MQTT. `properties` are MQTT 5 properties by their AWS names, `user_properties` pairs in order.
    """

    topic: str
    payload: bytes
    now_ms: int
    entropy: Callable[[int], bytes]
    account_id: str = "123456789012"
    client_id: str | None = None
    principal: str | None = None
    source_ip: str | None = None
    trace_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    user_properties: tuple[tuple[str, str], ...] = ()
    _levels: list[str] | None = field(default=None, init=False)
    _value: Any = field(default=UNDEFINED, init=False)
    _is_parsed: bool = field(default=False, init=False)

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
