"""The PV of the latest runs, ``$(P)Run:History``: a table as text, one run per line, columns separated by tabs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ioc.ca import IntPv, TextPv
from ioc.engine import Engine
from ioc.model import DocumentState, RunQuality, RunRecord
from ioc.pvs.group import LOG_LENGTH, Group, bytes_text, clock, shortened
from ioc.runlogic.state import State

RUNS = 50
_TITLE, _MESSAGE = 100, 200
"""Longest texts of a row, in characters."""

LastRuns = Callable[[str, int], Awaitable[Sequence[RunRecord]]]
"""Reads so many runs of an experiment from the database."""


class HistoryPvs(Group):
    """The latest runs of the experiment: those that the database had at first, and each that changed since."""

    def __init__(self, prefix: str, engine: Engine, last_runs: LastRuns, changes: Callable[[], int]) -> None:
        """`changes` returns another number after another program has changed the database."""
        super().__init__(f"{prefix}Run:")
        self._engine = engine
        self._last_runs = last_runs
        self._changes = changes
        self._loaded_at = -1
        """What `changes` returned before the runs were read."""
        self._experiment = ""
        self._runs: dict[int, RunRecord] = {}
        self._text = self.add(TextPv, "History", "The last 50 runs, newest first", LOG_LENGTH)
        self._previous = self.add(IntPv, "PreviousNumber", "Run before the open or next one", value=-1)
        self.follow(lambda state: (state.run.record, state.run.state), self._show)

    async def load(self) -> None:
        """Read the runs of the experiment if it is another one, or another program may have changed them.

        Raises:
            PeerError: the database cannot be read.
        """
        state, changes = self._engine.state, self._changes()
        if not state.restored or (state.experiment, changes) == (self._experiment, self._loaded_at):
            return
        runs = await self._last_runs(state.experiment, RUNS)
        self._experiment, self._loaded_at = state.experiment, changes
        self._runs = {record.run.number: record for record in runs}
        self._show(self._engine.state)

    def _show(self, state: State) -> None:
        record = state.run.record
        if record is not None and record.run.experiment == self._experiment:
            self._runs[record.run.number] = record
            for number in sorted(self._runs)[:-RUNS]:
                del self._runs[number]
        self._text.post(history_text(self._runs.values()))
        previous = state.run.number - 1 if state.run.open else state.run.number
        self._previous.post(previous if previous in self._runs else -1)


def history_text(runs: Iterable[RunRecord]) -> str:
    """Return the newest runs first, as many as fit."""
    rows = ["\t".join(_row(record)) for record in sorted(runs, key=lambda each: -each.run.number)]
    while len("\n".join(rows).encode()) > LOG_LENGTH:
        rows.pop()
    return "\n".join(rows)


def _row(record: RunRecord) -> tuple[str, ...]:
    """Return number, title, class, start, duration, size, quality and what went wrong."""
    at = record.started_at or record.reserved_at
    done = record.duration is not None
    return (
        str(record.run.number),
        shortened(" ".join(record.title.split()), _TITLE),
        record.run_class.name,
        time.strftime("%d %b %H:%M", time.localtime(at)),
        clock(record.duration) if record.duration is not None else record.state.value,
        bytes_text(record.size) if done else "",
        _quality(record),
        shortened(" ".join(record.message.split()), _MESSAGE),
    )


def _quality(record: RunRecord) -> str:
    if record.state is DocumentState.Failed:
        return "failed"
    return "" if record.quality is RunQuality.Unknown else record.quality.name
