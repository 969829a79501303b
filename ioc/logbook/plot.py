"""The plot of a run for its entry, drawn by ``attpc-ioc runs plot`` in a process of low priority."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shutil
import tempfile
from pathlib import Path

from ioc.child import run_module
from ioc.errors import PeerError
from ioc.logbook.occasions import Occasion
from ioc.rundb.queries import RunPage

log = logging.getLogger(__name__)

_SECONDS = 120.0
_MOST_PANELS = 20
_LARGEST = 10_000_000
"""Bytes; an Olog accepts 15 MB as set up by its authors."""


class Plotter:
    """Draws one plot at a time, and keeps the last one for the other logbooks."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._last: tuple[str, bytes | None] = "", None
        self._drawing = asyncio.Lock()

    async def draw(self, occasion: Occasion, page: RunPage) -> bytes | None:
        """Return the PNG of a run; None if there is nothing to draw, or it cannot be drawn."""
        async with self._drawing:
            if self._last[0] != occasion.id:
                self._last = occasion.id, await self._draw(occasion, page)
            return self._last[1]

    async def _draw(self, occasion: Occasion, page: RunPage) -> bytes | None:
        if importlib.util.find_spec("matplotlib") is None:
            return None
        names = list(dict.fromkeys(row["name"] for row in page.measurements if row["samples"]))[:_MOST_PANELS]
        if not names:
            return None
        run = occasion.record.run
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="attpc-ioc-")
        try:
            picture = Path(folder) / "plot.png"
            command = ["runs", "plot", str(run.number), "--experiment", run.experiment]
            command += ["--database", str(self._database), "--output", str(picture)]
            for name in names:
                command += ["--observable", name]
            await run_module("ioc", command, b"", _SECONDS, aside=True)
            png = await asyncio.to_thread(picture.read_bytes)
        except (PeerError, OSError) as error:
            log.info("%s is not plotted: %s", run, error)
            return None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return png if len(png) <= _LARGEST else None
