"""Names of shadows and the reserved topics of the Device Shadow service.

Source: AWS IoT Core Developer Guide, "Device Shadow MQTT topics" and "Reserved topics".
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Verb = Literal["get", "update", "delete"]

TOPIC_PREFIX: Final = "$aws/things/"
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_SHADOW = re.compile(r"[a-zA-Z0-9:_-]{1,64}")
_TOPIC = re.compile(r"\$aws/things/([^/]+)/shadow(?:/name/([^/]+))?/(get|update|delete)")


def is_thing_name(text: str) -> bool:
    return _THING.fullmatch(text) is not None


def is_shadow_name(text: str) -> bool:
    return _SHADOW.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ShadowName:
    """One shadow; `shadow` is None for the classic one, which has no name."""

    thing: str
    shadow: str | None = None

    @property
    def topic(self) -> str:
        """What its topics begin with, without a slash at the end."""
        named = "" if self.shadow is None else f"/name/{self.shadow}"
        return f"{TOPIC_PREFIX}{self.thing}/shadow{named}"

    @property
    def text(self) -> str:
        """The name as error messages have it."""
        return self.thing if self.shadow is None else f"{self.thing}~{self.shadow}"

    @property
    def is_valid(self) -> bool:
        return is_thing_name(self.thing) and (self.shadow is None or is_shadow_name(self.shadow))


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """What a publish to a reserved topic asks for."""

    name: ShadowName
    verb: Verb


def parse_request_topic(topic: str) -> ShadowRequest | None:
    """The request of a topic; None for every other topic, also those the service itself publishes to."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    verb: Verb = match[3]  # type: ignore[assignment]  # the pattern's alternatives are the verbs
    return ShadowRequest(ShadowName(match[1], match[2]), verb)
