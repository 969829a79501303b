"""The send queue of one client: answers and updates of its subscriptions, in order and bounded.

While a client keeps up, every update is sent. While its socket is full, the newest value of a subscription replaces the
waiting one. So a client that stops reading costs at most one update per subscription beyond a batch, and never delays
other clients; `ioc.ca.server` drops it after a while.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ioc.ca.encoding import NoConversion, encode
from ioc.ca.pv import Pv, Snapshot

BATCH_BYTES = 65_536
"""Bytes written at a time; then other clients get their turn."""
BATCH_ENTRIES = 256
"""With so many entries waiting for one client, all outboxes are written at once, not in the next turn."""

_HEADER = struct.Struct(">HHHHII")
_EXTENDED = struct.Struct(">HHHHIIII")
EVENT_ADD = 1
ECA_NORMAL = 1
_ECA_NOCONVERT = 400
NOTHING = bytes(432)
"""The payload of a failed read: caproto's client expects metadata of the type, which is never longer than this."""


def header(  # noqa: PLR0917 - in the order of the wire
    command: int, size: int, data_type: int, count: int, parameter1: int, parameter2: int
) -> bytes:
    """A message header; the extended form if size or count requires it."""
    if size < 0xFFFF and count <= 0xFFFF:
        return _HEADER.pack(command, size, data_type, count, parameter1, parameter2)
    return _EXTENDED.pack(command, 0xFFFF, data_type, 0, parameter1, parameter2, size, count)


@dataclass(eq=False, slots=True)
class Subscription:
    """A client's subscription to one PV. It is offered the snapshots whose events are in its mask."""

    outbox: Outbox
    pv: Pv[Any]
    identifier: int
    data_type: int
    count: int
    mask: int
    live: bool = True
    waiting: Update | None = None
    """Its newest unsent update."""

    def offer(self, snapshot: Snapshot[Any]) -> None:
        self.outbox.put_update(self, snapshot)

    def start(self) -> None:
        """Send the current value and follow the changes."""
        self.pv.subscribe(self)
        self.offer(self.pv.snapshot)

    def cancel(self) -> None:
        """Stop it: nothing more is sent for it."""
        self.live = False
        self.pv.unsubscribe(self)


@dataclass(eq=False, slots=True)
class Update:
    """One waiting update."""

    subscription: Subscription
    snapshot: Snapshot[Any]

    def message(self) -> tuple[bytes, bytes]:
        of = self.subscription
        try:
            payload, count = encode(of.pv, self.snapshot, of.data_type, of.count)
        except NoConversion:  # a client follows a text as a number: it fails until the text is one again
            return header(EVENT_ADD, len(NOTHING), of.data_type, 0, _ECA_NOCONVERT, of.identifier), NOTHING
        return header(EVENT_ADD, len(payload), of.data_type, count, ECA_NORMAL, of.identifier), payload


class Turns:
    """Lets the outboxes of a server write one batch each, the shortest first.

    So a client of a few PVs does not wait while thousands of updates are encoded for another.
    """

    def __init__(self) -> None:
        self._waiting: dict[Outbox, None] = {}
        self._next: asyncio.Handle | None = None

    def add(self, outbox: Outbox) -> None:
        """Let an outbox write in the event loop's next turn."""
        self._waiting[outbox] = None
        self._go_on()

    def remove(self, outbox: Outbox) -> None:
        self._waiting.pop(outbox, None)

    def take(self) -> None:
        """Let all waiting outboxes write now."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        try:
            for outbox in sorted(self._waiting, key=len):
                outbox.flush()
        finally:
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self.take)


class Outbox:
    """The queue of one circuit, written out in batches.

    `write` passes bytes to the transport, which calls `pause` when its buffer is full and `resume` when it is empty.
    """

    def __init__(self, turns: Turns, write: Callable[[bytes], None]) -> None:
        self._turns = turns
        self._write = write
        self._queue: deque[bytes | Update] = deque()
        self._missed: dict[Subscription, None] | None = None
        self.blocked = False
        """The transport accepts no data at present."""
        self.bytes = 0
        """Bytes of waiting answers."""
        self.written = 0
        """Bytes passed to the transport so far."""
        self.high_water = 0
        """Greatest number of entries that ever waited."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: bytes) -> None:
        """Queue an answer."""
        self._queue.append(message)
        self.bytes += len(message)
        self._schedule()

    def put_update(self, subscription: Subscription, snapshot: Snapshot[Any]) -> None:
        """Queue an update, or replace the waiting one if the client does not keep up."""
        if self._missed is not None:
            self._missed[subscription] = None
            return
        waiting = subscription.waiting
        if waiting is not None and self.blocked:
            waiting.snapshot = snapshot
            return
        subscription.waiting = update = Update(subscription, snapshot)
        self._queue.append(update)
        self._schedule()
        if len(self._queue) >= BATCH_ENTRIES and not self.blocked:
            self._turns.take()

    def events_off(self) -> None:
        """Hold updates back because the client is behind. Waiting updates are dropped."""
        if self._missed is None:
            self._missed = {}
            for entry in self._queue:
                if isinstance(entry, Update) and entry.subscription.live:
                    self._missed[entry.subscription] = None
                    entry.subscription.waiting = None
            self._queue = deque(entry for entry in self._queue if isinstance(entry, bytes))

    def events_on(self) -> None:
        """Send the current value of every subscription that missed an update, and continue."""
        missed, self._missed = self._missed, None
        for subscription in missed or ():
            if subscription.live:
                self.put_update(subscription, subscription.pv.snapshot)

    def pause(self) -> None:
        self.blocked = True

    def resume(self) -> None:
        self.blocked = False
        self._schedule()

    def close(self) -> None:
        self._turns.remove(self)
        self.blocked = True
        self.high_water = max(self.high_water, len(self._queue))
        self._queue.clear()

    def _schedule(self) -> None:
        if not self.blocked:
            self._turns.add(self)

    def flush(self) -> None:
        """Write one batch now; the rest follows after the turn of the other clients."""
        self._turns.remove(self)
        queue = self._queue
        self.high_water = max(self.high_water, len(queue))
        if self.blocked or not queue:
            return
        parts: list[bytes] = []
        size = 0
        while queue and size < BATCH_BYTES:
            entry = queue.popleft()
            if isinstance(entry, bytes):
                parts.append(entry)
                size += len(entry)
                self.bytes -= len(entry)
                continue
            subscription = entry.subscription
            if subscription.waiting is entry:
                subscription.waiting = None
            if subscription.live:
                head, payload = entry.message()
                parts += (head, payload)
                size += len(head) + len(payload)
        self.written += size
        self._write(b"".join(parts))
        if queue:
            self._schedule()
