"""Run tests/operations/scenario.json against any implementation of the API: each step answers as it is written there.

A step is `{"telemetry": {deviceId, payload}}` or `{"operation": "name.graphql", "caller", "variables", "expect"}`
with, if wanted, `"capture": {name: path}` (remember a value of the answer) and `"eventually": true` (data comes
through the streams: ask again). In all values `${run}` is this run's id, `${ms-5}` epoch milliseconds and `${iso-5}`
the same as AWSDateTime (5 ms before the run's time), `${name}` a captured value; `${any}` in an expectation is
whatever is not null.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
_PLACEHOLDER = re.compile(r"\$\{(\w+?)(-\d+)?\}")


class Implementation(Protocol):
    """What the operations run on.

    `caller` is `admin`, `operator`, `viewer` (people of tenant `ops-<run>`), `stranger` (an admin of `other-<run>`),
    `apiKey` or `service` (IAM).
    """

    async def execute(self, query: str, variables: dict[str, Any], caller: str) -> dict[str, Any]: ...

    async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None: ...

    async def wait(self) -> bool:
        """Let the streams go on; False when there is nothing to wait for (any more)."""
        ...


@dataclass
class Values:
    """What placeholders stand for."""

    run: str
    now_ms: int
    captured: dict[str, Any]

    def fill(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self.fill(name): self.fill(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.fill(member) for member in value]
        if not isinstance(value, str):
            return value
        whole = _PLACEHOLDER.fullmatch(value)
        if whole:
            return self._one(whole)
        return _PLACEHOLDER.sub(lambda match: str(self._one(match)), value)

    def _one(self, match: re.Match[str]) -> Any:
        name, offset = match[1], int(match[2] or 0)
        if name == "any":
            return match[0]
        if name == "run":
            return self.run
        if name == "ms":
            return self.now_ms + offset
        if name == "iso":
            moment = datetime.fromtimestamp((self.now_ms + offset) // 1000, UTC)
            return f"{moment:%Y-%m-%dT%H:%M:%S}.{(self.now_ms + offset) % 1000:03d}Z"
        return self.captured[name]


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((HERE / "scenario.json").read_text(encoding="utf-8"))
    return found


async def run_scenario(implementation: Implementation, *, run: str, now_ms: int) -> None:
    """Do every step in order. Raises AssertionError with the step, the answer and the difference."""
    values = Values(run, now_ms, {})
    for place, step in enumerate(steps()):
        if "telemetry" in step:
            telemetry = values.fill(step["telemetry"])
            await implementation.send_telemetry(telemetry["deviceId"], telemetry["payload"])
            continue
        query = (HERE / step["operation"]).read_text(encoding="utf-8")
        expected = values.fill(step["expect"])
        while True:
            answer = await implementation.execute(query, values.fill(step.get("variables", {})), step["caller"])
            fault = difference(expected, answer)
            if fault is None or not step.get("eventually") or not await implementation.wait():
                break
        assert fault is None, (
            f"step {place}, {step['operation']} as {step['caller']}: {fault}\nanswer: {json.dumps(answer)}"
        )
        for name, path in step.get("capture", {}).items():
            values.captured[name] = _at(answer, path)


def difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Say where two JSON values differ; `data` must be equal, of errors only path, errorType and message are
    compared.
    """
    if expected == "${any}":
        return None if found is not None else f"{path} is null"
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return f"{path} is {found!r}, expected an object"
        names = set(expected) if path.startswith("errors") else set(expected) | (set(found) - {"extensions"})
        faults = (
            difference(expected[name], found[name], f"{path}.{name}".lstrip("."))
            if name in expected and name in found
            else f"{path}.{name} is only on one side"
            for name in sorted(names)
        )
        return next((fault for fault in faults if fault is not None), None)
    if isinstance(expected, list):
        if not isinstance(found, list) or len(expected) != len(found):
            return f"{path} is {found!r}, expected {len(expected)} values"
        inner = (
            difference(one, other, f"{path}.{place}")
            for place, (one, other) in enumerate(zip(expected, found, strict=True))
        )
        return next((fault for fault in inner if fault is not None), None)
    return None if expected == found else f"{path} is {found!r}, expected {expected!r}"


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
