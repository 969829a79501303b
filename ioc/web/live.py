"""The current display, and the changes since the last update of each viewer.

Nothing is queued for a viewer: each change has the number of the version in which it was published, and a viewer that
comes back is sent everything with a later number than it has. A slow viewer so skips versions, and costs no memory.
The bytes are built once for all viewers with the same version.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

from ioc.waiting import wait_for_news
from ioc.web.channels import HEARTBEAT, Layout
from ioc.web.shown import Shown, lost

SILENT_SECONDS = 2.2
"""The IOC counts its heartbeat once a second; without it for so long, it does not answer."""
_BETWEEN = 0.25
"""Least time between two versions."""
_SETTLE = 0.02
"""Values that change together are published together."""
_IDLE = 0.8
"""There is a new version after this time, even if nothing has changed: so the browser knows that we are there."""


class Live:
    """The values of all PVs, and whether the IOC answers."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.version = 0
        self.generation = f"{time.time():.6f}"
        """Changes with the layout and each start of the server: the page in the browser is another one then."""
        self.shown = {key: Shown() for key in layout.channels}
        self._changed: dict[str, int] = {}
        """In which version."""
        self._dirty: set[str] = set()
        self._something = asyncio.Event()
        self._published = asyncio.Event()
        self._made: dict[int, bytes] = {}
        self._since = time.time()
        self._beat: float | None = None
        """Monotonic time of the last heartbeat, None if its PV is not connected."""
        self._last_beat: float | None = None
        """POSIX time of the last heartbeat."""

    def replace(self, layout: Layout) -> None:
        """Show another topology; what it has in common with the former one is kept, unless it is of another IOC."""
        if layout.prefix != self.layout.prefix:
            self.shown.clear()
            self._since, self._beat, self._last_beat = time.time(), None, None
        self.shown = {key: self.shown.get(key, Shown()) for key in layout.channels}
        self.layout, self.generation = layout, f"{time.time():.6f}"
        self._changed.clear()
        self._dirty.clear()
        self._something.set()

    def take(self, key: str, shown: Shown) -> None:
        if key == HEARTBEAT:
            self._beat, self._last_beat = time.monotonic(), time.time()
        self._set(key, shown)

    def lose(self, key: str) -> None:
        """Show that a PV is not connected any more."""
        if key == HEARTBEAT:
            self._beat = None
        if key in self.shown:
            self._set(key, lost(self.shown[key]))

    def _set(self, key: str, shown: Shown) -> None:
        if key in self.shown and self.shown[key] != shown:
            self.shown[key] = shown
            self._dirty.add(key)
            self._something.set()

    @property
    def health(self) -> tuple[str, str]:
        """``live``, ``gone`` or ``never``, and a sentence about it."""
        if self._beat is not None and time.monotonic() - self._beat <= SILENT_SECONDS:
            return "live", "Live: the IOC answers."
        if self._last_beat is None:
            return "never", (
                f"No IOC has answered for {self.layout.prefix}IOC:Heartbeat since {_clock(self._since)}: it must run, "
                "and EPICS_CA_ADDR_LIST of this page's server must name its machine."
            )
        return "gone", (
            f"The IOC has not answered since {_clock(self._last_beat)}. The values below are old and may be wrong."
        )

    async def run(self) -> None:
        """Publish what changes until cancelled."""
        last = 0.0
        while True:
            await wait_for_news(self._something, _IDLE)
            await asyncio.sleep(max(_SETTLE, last + _BETWEEN - time.monotonic()))
            last = time.monotonic()
            self.publish()

    def publish(self) -> None:
        """Make a new version, with all changes since the last."""
        self.version += 1
        self._changed.update(dict.fromkeys(self._dirty, self.version))
        self._dirty.clear()
        self._something.clear()
        self._made.clear()
        published, self._published = self._published, asyncio.Event()
        published.set()

    async def wait(self, version: int) -> None:
        """Wait for a later version than this."""
        while self.version <= version:
            await self._published.wait()

    def message(self, since: int) -> bytes:
        """An event of the stream: what has changed after version `since`; all for 0."""
        if since not in self._made:
            health, sentence = self.health
            changed = self.shown if since == 0 else [key for key, at in self._changed.items() if at > since]
            content = {
                "generation": self.generation,
                "now": round(time.time(), 3),
                "health": health,
                "sentence": sentence,
                "set": {key: self.shown[key].as_list() for key in changed},
            }
            self._made[since] = f"data: {json.dumps(content, separators=(',', ':'))}\n\n".encode()
        return self._made[since]


def _clock(moment: float) -> str:
    """The time of day, with its date unless that is today's."""
    local, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (moment, time.time()))
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M:%S}"
