"""The life of messages in a queue: sent, received for a while, received again or deleted, or dead.

Keys, each led by the queue's number: `m` messages by their sequence; `s` their state; `v` the time at which each can be
received next, which finds those that can; `d` deduplication ids and `e` when they are forgotten; `n` the counter.
"""

import base64
import binascii
import hashlib
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from headwater.errors import ServiceError
from headwater.sqs.message import Message
from headwater.sqs.queue import DATABASE, Queue, QueueCatalog, invalid, queue_name
from headwater.values.transaction import ReadTransaction, WriteTransaction

DEDUPLICATION_MS = 300_000
# A sequence number of a FIFO queue has 20 digits.
FIRST_FIFO_NUMBER = 18_850_000_000_000_000_000
_STATE = struct.Struct(">QQIB")  # visible from (ms), first received (ms), receives, 1 while it was only delayed
_HANDLE = struct.Struct(">QQI")
_DEDUPLICATION = struct.Struct(">QQ36s")  # forgotten at (ms), sequence, message id
_FORGET_AT_ONCE = 4
# How many receivable messages of a FIFO queue are looked at to keep a group together.
_GROUPED_AT_MOST = 1000

_decode_message = msgspec.json.Decoder(Message).decode


@dataclass(frozen=True, slots=True)
class State:
    """What changes: `is_delayed` tells a message that waits for its first receive from one in flight.

    The group is here too, so that a FIFO queue is searched without reading its messages.
    """

    visible_ms: int
    first_received_ms: int = 0
    receive_count: int = 0
    is_delayed: bool = False
    group_id: str = ""

    def encode(self) -> bytes:
        fixed = _STATE.pack(self.visible_ms, self.first_received_ms, self.receive_count, self.is_delayed)
        return fixed + self.group_id.encode()

    @classmethod
    def decode(cls, raw: bytes) -> "State":
        visible, first, count, delayed = _STATE.unpack_from(raw)
        return cls(visible, first, count, bool(delayed), raw[_STATE.size :].decode())


@dataclass(frozen=True, slots=True)
class Received:
    """A message in a receiver's hands."""

    message: Message
    sequence: int
    state: State
    receipt_handle: str


def enqueue(
    transaction: WriteTransaction,
    queue: Queue,
    message: Message,
    *,
    visible_ms: int,
    is_delayed: bool = False,
    receive_count: int = 0,
) -> int:
    """Add a message at the end of a queue; returns its sequence."""
    key = b"n" + _lead(queue)
    raw = transaction.get(DATABASE, key)
    sequence = int.from_bytes(raw, "big") if raw is not None else 1
    transaction.put(DATABASE, key, (sequence + 1).to_bytes(8, "big"))
    transaction.put(DATABASE, _message_key(queue, sequence), msgspec.json.encode(message))
    state = State(visible_ms, receive_count=receive_count, is_delayed=is_delayed, group_id=message.group_id or "")
    _put_state(transaction, queue, sequence, state)
    return sequence


def find_duplicate(
    transaction: ReadTransaction, queue: Queue, deduplication_id: str, *, now_ms: int
) -> tuple[str, int] | None:
    """Message id and sequence of what was sent under the same id in the last five minutes."""
    raw = transaction.get(DATABASE, _deduplication_key(queue, deduplication_id))
    if raw is None:
        return None
    forgotten_ms, sequence, message_id = _DEDUPLICATION.unpack(raw)
    return (message_id.decode(), sequence) if now_ms < forgotten_ms else None


def remember_deduplication(
    transaction: WriteTransaction, queue: Queue, deduplication_id: str, *, sequence: int, message_id: str, now_ms: int
) -> None:
    """Remember an id for five minutes, and forget a few whose time is over."""
    key = _deduplication_key(queue, deduplication_id)
    until = now_ms + DEDUPLICATION_MS
    transaction.put(DATABASE, key, _DEDUPLICATION.pack(until, sequence, message_id.encode()))
    lead = b"e" + _lead(queue)
    transaction.put(DATABASE, lead + until.to_bytes(8, "big") + key[9:], b"")
    over: list[bytes] = []
    for expired, _ in transaction.scan(DATABASE, lead, lead + (now_ms + 1).to_bytes(8, "big")):
        if len(over) == _FORGET_AT_ONCE:
            break
        over.append(expired)
    for expired in over:
        transaction.delete(DATABASE, expired)
        identity = b"d" + _lead(queue) + expired[17:]
        raw = transaction.get(DATABASE, identity)
        # The same id may have been used again since.
        if raw is not None and _DEDUPLICATION.unpack(raw)[0] <= now_ms:
            transaction.delete(DATABASE, identity)


def receive(
    transaction: WriteTransaction,
    catalog: QueueCatalog,
    queue: Queue,
    *,
    at_most: int,
    visibility_s: int,
    now_ms: int,
) -> tuple[list[Received], set[str]]:
    """Take messages that can be received, and hide them for a while.

    Those past the retention period are dropped; those that were received as often as the redrive policy allows go to
    the dead-letter queue, whose name is in the second answer.
    """
    redrive = queue.redrive()
    dead_queue = catalog.find(transaction, queue_name(redrive[0])) if redrive is not None else None
    oldest_ms = now_ms - queue.number_of("MessageRetentionPeriod") * 1000
    taken: list[Received] = []
    woken: set[str] = set()
    seen: set[int] = set()
    while len(taken) < at_most:
        # Chosen before anything changes: with a timeout of 0 a message is receivable at once, but not twice now.
        found = itertools.islice(_receivable(transaction, queue, now_ms), at_most + len(seen))
        chosen = [sequence for sequence in found if sequence not in seen][: at_most - len(taken)]
        if not chosen:
            break
        seen.update(chosen)
        for sequence in chosen:
            message = _message(transaction, queue, sequence)
            state = _state(transaction, queue, sequence)
            if message.sent_ms < oldest_ms:
                remove(transaction, queue, sequence)
            elif redrive is not None and dead_queue is not None and state.receive_count >= redrive[1]:
                _bury(transaction, catalog, queue, dead_queue, sequence, state.receive_count, now_ms=now_ms)
                woken.add(dead_queue.name)
            else:
                taken.append(_take(transaction, queue, sequence, message, state, visibility_s, now_ms))
    return taken, woken


def _take(
    transaction: WriteTransaction,
    queue: Queue,
    sequence: int,
    message: Message,
    state: State,
    visibility_s: int,
    now_ms: int,
) -> Received:
    hidden = replace(
        state,
        visible_ms=now_ms + visibility_s * 1000,
        first_received_ms=state.first_received_ms or now_ms,
        receive_count=state.receive_count + 1,
        is_delayed=False,
    )
    _put_state(transaction, queue, sequence, hidden)
    handle = _HANDLE.pack(queue.number, sequence, hidden.receive_count)
    return Received(message, sequence, hidden, base64.b64encode(handle).decode())


def _receivable(transaction: ReadTransaction, queue: Queue, now_ms: int) -> Iterator[int]:
    """Sequences in the order in which they are to be received, found before any of them changes."""
    if queue.is_fifo:
        yield from _receivable_in_order(transaction, queue, now_ms)
        return
    lead = b"v" + _lead(queue)
    for key, _ in transaction.scan(DATABASE, lead, lead + (now_ms + 1).to_bytes(8, "big")):
        yield int.from_bytes(key[17:], "big")


def _receivable_in_order(transaction: ReadTransaction, queue: Queue, now_ms: int) -> Iterator[int]:
    """As many of one group as there are, then the next group's; within a group the order holds.

    A group with a message in flight, or a delayed one, gives nothing after it.
    Source: SQS Developer Guide, "FIFO queue delivery logic".
    """
    lead = b"s" + _lead(queue)
    blocked: set[str] = set()
    groups: dict[str, list[int]] = {}
    found = 0
    for key, raw in transaction.scan(DATABASE, lead, _after(lead)):
        state = State.decode(raw)
        if state.visible_ms > now_ms:
            blocked.add(state.group_id)
        elif state.group_id not in blocked:
            groups.setdefault(state.group_id, []).append(int.from_bytes(key[9:], "big"))
            found += 1
            if found == _GROUPED_AT_MOST:
                break
    for sequences in groups.values():
        yield from sequences


def remove(transaction: WriteTransaction, queue: Queue, sequence: int) -> bool:
    """Delete a message; false if it is gone already."""
    raw = transaction.get(DATABASE, _state_key(queue, sequence))
    if raw is None:
        return False
    transaction.delete(DATABASE, _visible_key(queue, sequence, State.decode(raw)))
    transaction.delete(DATABASE, _state_key(queue, sequence))
    transaction.delete(DATABASE, _message_key(queue, sequence))
    return True


def delete_received(transaction: WriteTransaction, queue: Queue, handle: object, *, now_ms: int) -> None:
    """Delete by receipt handle. Only the handle of the last receive deletes; an older one succeeds without effect.

    Raises: ServiceError `ReceiptHandleIsInvalid`; `InvalidParameterValue` if a FIFO message can be received again.
    """
    sequence, state, is_last = _by_handle(transaction, queue, handle)
    if state is None or not is_last:
        return
    if queue.is_fifo and state.visible_ms <= now_ms:
        raise invalid(f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")
    remove(transaction, queue, sequence)


def change_visibility(
    transaction: WriteTransaction, queue: Queue, handle: object, *, timeout_s: int, now_ms: int
) -> None:
    """The handle of an earlier receive does, too.

    Raises: ServiceError `ReceiptHandleIsInvalid`, `MessageNotInflight`, `InvalidParameterValue`.
    """
    try:
        sequence, state, _ = _by_handle(transaction, queue, handle)
    except ServiceError as error:
        raise ServiceError(error.code, "The input receipt handle is invalid.") from error
    if state is None:
        raise invalid(
            f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
            "available for visibility timeout change."
        )
    if state.visible_ms <= now_ms:
        raise ServiceError("MessageNotInflight", "The specified message isn't in flight.")
    _put_state(transaction, queue, sequence, replace(state, visible_ms=now_ms + timeout_s * 1000))


def _by_handle(transaction: ReadTransaction, queue: Queue, handle: object) -> tuple[int, State | None, bool]:
    """The sequence, the state unless the message is gone, and whether it was not received again since."""
    try:
        number, sequence, count = _HANDLE.unpack(base64.b64decode(str(handle), validate=True))
    except (binascii.Error, ValueError, struct.error) as error:
        message = f'The input receipt handle "{handle}" is not a valid receipt handle.'
        raise ServiceError("ReceiptHandleIsInvalid", message) from error
    if number != queue.number:
        raise ServiceError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
    raw = transaction.get(DATABASE, _state_key(queue, sequence))
    state = State.decode(raw) if raw is not None else None
    return sequence, state, state is not None and state.receive_count == count


def next_visible_ms(transaction: ReadTransaction, queue: Queue) -> int | None:
    """When the next message can be received, in the past if one can be now; None for an empty queue."""
    lead = b"v" + _lead(queue)
    for key, _ in transaction.scan(DATABASE, lead, _after(lead)):
        return int.from_bytes(key[9:17], "big")
    return None


def count_messages(transaction: ReadTransaction, queue: Queue, *, now_ms: int) -> tuple[int, int, int]:
    """Messages that can be received, in flight, and delayed."""
    lead = b"v" + _lead(queue)
    visible = in_flight = delayed = 0
    for key, mark in transaction.scan(DATABASE, lead, _after(lead)):
        if int.from_bytes(key[9:17], "big") <= now_ms:
            visible += 1
        elif mark == b"\x01":
            delayed += 1
        else:
            in_flight += 1
    return visible, in_flight, delayed


def purge(transaction: WriteTransaction, queue: Queue, *, at_most: int) -> bool:
    """Delete up to `at_most` keys of a queue's messages; true when nothing is left."""
    for kind in (b"v", b"s", b"m", b"d", b"e"):
        lead = kind + _lead(queue)
        keys: list[bytes] = []
        for key, _ in transaction.scan(DATABASE, lead, _after(lead)):
            if len(keys) == at_most:
                break
            keys.append(key)
        for key in keys:
            transaction.delete(DATABASE, key)
        at_most -= len(keys)
        if at_most <= 0:
            return False
    return True


def drop_expired(transaction: WriteTransaction, queue: Queue, *, now_ms: int, at_most: int) -> bool:
    """Delete messages past the retention period, oldest first; true if there may be more."""
    oldest_ms = now_ms - queue.number_of("MessageRetentionPeriod") * 1000
    lead = b"m" + _lead(queue)
    expired: list[int] = []
    for key, raw in transaction.scan(DATABASE, lead, _after(lead)):
        if len(expired) == at_most or _decode_message(raw).sent_ms >= oldest_ms:
            break
        expired.append(int.from_bytes(key[9:], "big"))
    for sequence in expired:
        remove(transaction, queue, sequence)
    return len(expired) == at_most


def move_all(
    transaction: WriteTransaction,
    catalog: QueueCatalog,
    queue: Queue,
    target: Queue | None,
    *,
    now_ms: int,
    at_most: int,
) -> tuple[int, set[str]]:
    """Send dead letters back to the queues they came from, or to one queue; returns their number and the queues."""
    lead = b"s" + _lead(queue)
    ready: list[int] = []
    for key, raw in transaction.scan(DATABASE, lead, _after(lead)):
        if len(ready) == at_most:
            break
        if State.decode(raw).visible_ms <= now_ms:
            ready.append(int.from_bytes(key[9:], "big"))
    moved = 0
    woken: set[str] = set()
    for sequence in ready:
        message = _message(transaction, queue, sequence)
        source = message.dead_letter_source
        to = target or (catalog.find(transaction, queue_name(source)) if source is not None else None)
        if to is None:
            continue
        remove(transaction, queue, sequence)
        enqueue(transaction, to, replace(message, dead_letter_source=None, sent_ms=now_ms), visible_ms=now_ms)
        woken.add(to.name)
        moved += 1
    return moved, woken


def sequence_number(sequence: int) -> str:
    """The 20 digits that a FIFO queue shows."""
    return str(FIRST_FIFO_NUMBER + sequence * 256)


def _bury(
    transaction: WriteTransaction,
    catalog: QueueCatalog,
    queue: Queue,
    dead: Queue,
    sequence: int,
    receive_count: int,
    *,
    now_ms: int,
) -> None:
    message = _message(transaction, queue, sequence)
    remove(transaction, queue, sequence)
    # A standard message keeps its first enqueue time, which its retention counts from; a FIFO one starts anew.
    sent_ms = now_ms if dead.is_fifo else message.sent_ms
    moved = replace(message, dead_letter_source=catalog.arn(queue.name), sent_ms=sent_ms)
    enqueue(transaction, dead, moved, visible_ms=now_ms, receive_count=receive_count)


def _put_state(transaction: WriteTransaction, queue: Queue, sequence: int, state: State) -> None:
    raw = transaction.get(DATABASE, _state_key(queue, sequence))
    if raw is not None:
        transaction.delete(DATABASE, _visible_key(queue, sequence, State.decode(raw)))
    transaction.put(DATABASE, _state_key(queue, sequence), state.encode())
    mark = b"\x01" if state.is_delayed else b"\x00"
    transaction.put(DATABASE, _visible_key(queue, sequence, state), mark)


def _message(transaction: ReadTransaction, queue: Queue, sequence: int) -> Message:
    raw = transaction.get(DATABASE, _message_key(queue, sequence))
    if raw is None:
        raise ServiceError("InternalError", f"message {sequence} of queue {queue.name} has no body", status=500)
    return _decode_message(raw)


def _state(transaction: ReadTransaction, queue: Queue, sequence: int) -> State:
    raw = transaction.get(DATABASE, _state_key(queue, sequence))
    if raw is None:
        raise ServiceError("InternalError", f"message {sequence} of queue {queue.name} has no state", status=500)
    return State.decode(raw)


def _lead(queue: Queue) -> bytes:
    return queue.number.to_bytes(8, "big")


def _after(lead: bytes) -> bytes:
    return (int.from_bytes(lead, "big") + 1).to_bytes(len(lead), "big")


def _message_key(queue: Queue, sequence: int) -> bytes:
    return b"m" + _lead(queue) + sequence.to_bytes(8, "big")


def _state_key(queue: Queue, sequence: int) -> bytes:
    return b"s" + _lead(queue) + sequence.to_bytes(8, "big")


def _visible_key(queue: Queue, sequence: int, state: State) -> bytes:
    return b"v" + _lead(queue) + state.visible_ms.to_bytes(8, "big") + sequence.to_bytes(8, "big")


def _deduplication_key(queue: Queue, deduplication_id: str) -> bytes:
    return b"d" + _lead(queue) + hashlib.sha256(deduplication_id.encode()).digest()
