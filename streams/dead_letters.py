"""Flow 5/8: put a record that never can succeed into the dead-letter queue, with its reason."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.batch import Entry

# One SendMessageBatch takes 10 messages and 256 KB; base64 of the largest accepted payload (128 KB) fits in one
# message.
_MAX_ENTRIES = 10
_MAX_REQUEST_BYTES = 240 * 1024
_MAX_DATA_CHARACTERS = 200 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A Kinesis event record, and why it never can be telemetry."""

    entry: Entry[Mapping[str, Any]]
    reason: str
    detail: str

    def body(self) -> str:
        """Write the letter as JSON; data too long for a message is left in the stream, where `eventID` finds it."""
        record = self.entry.content
        kinesis = record["kinesis"]
        data = kinesis["data"]
        letter = {
            "reason": self.reason,
            "detail": self.detail,
            "deviceId": self.entry.key,
            "eventID": record.get("eventID"),
            "eventSourceARN": record.get("eventSourceARN"),
            "sequenceNumber": self.entry.sequence_number,
            "arrivalMs": round(kinesis["approximateArrivalTimestamp"] * 1000),
            "data": data if len(data) <= _MAX_DATA_CHARACTERS else None,
        }
        return json.dumps(letter, separators=(",", ":"))


def send_requests(queue_url: str, letters: Iterable[DeadLetter]) -> list[tuple[dict[str, Any], Sequence[DeadLetter]]]:
    """Build SendMessageBatch requests within the queue's limits; entry `Id`s are places in the request's letters."""
    requests: list[tuple[dict[str, Any], Sequence[DeadLetter]]] = []
    bodies: list[str] = []
    chunk: list[DeadLetter] = []
    size_bytes = 0
    for letter in letters:
        body = letter.body()
        if chunk and (len(chunk) == _MAX_ENTRIES or size_bytes + len(body) > _MAX_REQUEST_BYTES):
            requests.append((_request(queue_url, bodies), chunk))
            bodies, chunk, size_bytes = [], [], 0
        bodies.append(body)
        chunk.append(letter)
        size_bytes += len(body)
    if chunk:
        requests.append((_request(queue_url, bodies), chunk))
    return requests


def _request(queue_url: str, bodies: Sequence[str]) -> dict[str, Any]:
    entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
    return {"QueueUrl": queue_url, "Entries": entries}
