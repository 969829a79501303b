"""The send queue of one client: answers and updates of its subscriptions, in order and bounded.

While a client keeps up, every update is sent. While its socket is full, or while it wants no updates, only the newest
of each subscription waits, apart from the queue, and is sent after it. So a client that stops reading costs at most one
update per subscription beyond a batch, and never delays other clients; `ioc.ca.server` drops it after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ioc.ca.encoding import NoConversion, encode
from ioc.ca.pv import Pv, Snapshot
from ioc.ca.wire import ECA_NOCONVERT, ECA_NORMAL, EVENT_ADD, NOTHING, header

BATCH_BYTES = 65_536
"""Bytes written at a time; then other clients get their turn."""
BATCH_ENTRIES = 256
"""With so many entries waiting for one client, all outboxes are written at once, not in the next turn."""
ABREAST = 64
"""After so many updates of another protocol all outboxes are written, too."""


@dataclass(eq=False, slots=True)
class Subscription:
    """A client's subscription to one PV. It is offered the snapshots whose events are in its mask."""

    outbox: Outbox
    pv: Pv[Any]
    identifier: int
    data_type: int
    count: int
    mask: int
    _form: tuple[int, int] = field(init=False)
    _elements: int = -1
    """Of the last update; the next one usually has as many, and the same header."""
    _header: bytes = b""

    def __post_init__(self) -> None:
        self._form = self.data_type, self.count

    def offer(self, snapshot: Snapshot[Any]) -> None:
        outbox = self.outbox
        if outbox.missed is not None:
            outbox.missed[self] = snapshot
            return
        outbox.queue.append(self.message(snapshot))
        if not outbox.due or len(outbox.queue) >= BATCH_ENTRIES:
            outbox.schedule()

    def message(self, snapshot: Snapshot[Any]) -> bytes:
        try:
            payload, elements = snapshot.encoded.get(self._form) or encode(self.pv, snapshot, *self._form)
        except NoConversion:  # a client follows a text as a number: it fails until the text is one again
            self._elements = -1
            return header(EVENT_ADD, len(NOTHING), self.data_type, 0, ECA_NOCONVERT, self.identifier) + NOTHING
        if elements != self._elements:
            self._elements = elements
            self._header = header(EVENT_ADD, len(payload), self.data_type, elements, ECA_NORMAL, self.identifier)
        return self._header + payload

    def start(self) -> None:
        """Send the current value and follow the changes."""
        self.pv.subscribe(self)
        self.offer(self.pv.snapshot)

    def cancel(self) -> None:
        """Stop it: nothing more is queued for it."""
        self.pv.unsubscribe(self)
        if self.outbox.missed is not None:
            self.outbox.missed.pop(self, None)


class Turns:
    """Lets the outboxes of a server write one batch each, the shortest first.

    So a client of a few PVs does not wait while thousands of updates are encoded for another.
    """

    def __init__(self) -> None:
        self._waiting: dict[Outbox, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        """Kept, because asking for it is a system call."""
        self._next: asyncio.Handle | None = None
        self._elsewhere = 0
        """Updates that another protocol has sent since the last write."""

    def add(self, outbox: Outbox) -> None:
        """Let an outbox write in the event loop's next turn."""
        self._waiting[outbox] = None
        self._go_on()

    def remove(self, outbox: Outbox) -> None:
        self._waiting.pop(outbox, None)

    def sent_elsewhere(self) -> None:
        """Note that another protocol has sent an update; in a burst, all outboxes keep up with it.

        It sends at once, and that takes ten times as long as to queue an update here. So a burst would arrive there
        before it is written here.
        """
        self._elsewhere += 1
        if self._elsewhere >= ABREAST:
            self.take()

    def take(self) -> None:
        """Let all waiting outboxes write now."""
        self._elsewhere = 0
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
            self._loop = self._loop or asyncio.get_running_loop()
            self._next = self._loop.call_soon(self.take)


class Outbox:
    """The queue of one circuit, written out in batches.

    `write` passes bytes to the transport, which calls `pause` when its buffer is full and `resume` when it is empty.
    """

    def __init__(self, turns: Turns, write: Callable[[bytes], None]) -> None:
        self._turns = turns
        self._write = write
        self._off = False
        self.queue: list[bytes] = []
        """Messages, or the rest of one, in the order in which they are sent."""
        self.due = False
        """It will be written: by `Turns`, or when the requests under way have been answered."""
        self.missed: dict[Subscription, Snapshot[Any]] | None = None
        """The newest update of each subscription that waits apart from the queue; None = updates are queued."""
        self.blocked = False
        """The transport accepts no data at present."""
        self.bytes = 0
        """Bytes of answers since the last write."""
        self.written = 0
        """Bytes passed to the transport so far."""
        self.high_water = 0
        """Greatest number of entries that ever waited."""

    def __len__(self) -> int:
        return len(self.queue) + len(self.missed or ())

    def put(self, message: bytes) -> None:
        """Queue an answer."""
        self.queue.append(message)
        self.bytes += len(message)
        if not self.due:
            self.schedule()

    def hold(self) -> None:
        """Queue until `flush`: requests that came together are answered together."""
        self.due = True

    def schedule(self) -> None:
        """Write in the next turn, or, if much waits, all outboxes now."""
        if not self.due and not self.blocked:
            self.due = True
            self._turns.add(self)
        if len(self.queue) >= BATCH_ENTRIES:
            self._turns.take()

    def events_off(self) -> None:
        """Hold updates back because the client is behind."""
        self._off = True
        self.missed = self.missed or {}

    def events_on(self) -> None:
        """Send the current value of every subscription that missed an update, and continue."""
        self._off = False
        self.missed = {subscription: subscription.pv.snapshot for subscription in self.missed or ()}
        self._go_on()

    def pause(self) -> None:
        self.blocked = True
        self.missed = self.missed or {}

    def resume(self) -> None:
        self.blocked = False
        self._go_on()

    def _go_on(self) -> None:
        if not self.missed and not self.blocked and not self._off:
            self.missed = None
        self.schedule()

    def close(self) -> None:
        self._turns.remove(self)
        self.blocked = True
        self.high_water = max(self.high_water, len(self))
        self.queue.clear()
        self.missed = {}

    def flush(self) -> None:
        """Write one batch now; the rest follows after the turn of the other clients."""
        self._turns.remove(self)
        self.due = False
        self.high_water = max(self.high_water, len(self))
        if self.blocked:
            return
        if self.missed is not None and not self._off:
            self._catch_up(self.missed)
        if not self.queue:
            return
        batch = b"".join(self.queue)
        self.queue = []
        if len(batch) > BATCH_BYTES:
            self.queue.append(batch[BATCH_BYTES:])
            batch = batch[:BATCH_BYTES]
        self.bytes = 0
        self.written += len(batch)
        self._write(batch)
        if self.queue or (self.missed and not self._off):
            self.schedule()

    def _catch_up(self, missed: dict[Subscription, Snapshot[Any]]) -> None:
        size = 0
        while missed and size < BATCH_BYTES:
            subscription = next(iter(missed))
            self.queue.append(message := subscription.message(missed.pop(subscription)))
            size += len(message)
        if not missed:
            self.missed = None
