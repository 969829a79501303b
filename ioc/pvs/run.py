"""The PVs of the run, ``$(P)Run:…``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ioc.ca import CommandPv, EnumPv, FloatPv, IntPv, Pv, StringPv, TextPv
from ioc.engine import Engine
from ioc.errors import Refused
from ioc.model import Client, EccState, RunClass, RunState, Severity
from ioc.pvs.boundary import command, handler
from ioc.pvs.naming import MESSAGE_LENGTH, clock, local_time
from ioc.runlogic.events import RunAction, RunCommand, SetClass, SetNextNumber, SetTitle
from ioc.runlogic.permits import NOT_READ, blocked_by
from ioc.runlogic.runs import config_name
from ioc.runlogic.state import State
from ioc.runlogic.turn import listing
from ioc.runlogic.watch import DISK_SECONDS, seconds_to_full, total_bytes

_DESCRIPTIONS = {
    RunAction.Start: "Start a run of the whole system",
    RunAction.Stop: "Stop the run and file its data",
    RunAction.Pause: "Pause the run",
    RunAction.Resume: "Resume the run",
}


_MEGABYTE = 1_000_000
MINUTES_WITHOUT_END = 999_999.0
"""What MinutesToFull shows at most: no disk is getting full."""


class RunPvs:
    """Number, life cycle, title and class of the open run, else of the last one."""

    def __init__(self, prefix: str, engine: Engine) -> None:
        self._engine = engine
        self._shown: State | None = None
        base = f"{prefix}Run:"
        self._number = IntPv(f"{base}Number", "The open run, else the last one", value=-1)
        self._next = IntPv(f"{base}NextNumber", "What Start will use", on_put=command(engine, SetNextNumber))
        self._state = EnumPv(f"{base}State", "Life cycle of the run", [state.name for state in RunState])
        for pv in (self._number, self._next, self._state):
            pv.post(pv.value, severity=Severity.INVALID, status="UDF")
        self._can_start = EnumPv(f"{base}CanStart", "Start would be accepted now", ["No", "Yes"])
        self._blocked_by = TextPv(f"{base}BlockedBy", "Why Start would be refused", MESSAGE_LENGTH)
        self._title = TextPv(f"{base}Title", "Title of the open or next run", 200, on_put=handler(self._put_title))
        self._class = EnumPv(
            f"{base}Class", "Class of the open or next run", [c.name for c in RunClass], on_put=handler(self._put_class)
        )
        self._start_time = StringPv(f"{base}StartTime", "Start of the run, ISO 8601")
        self._stop_time = StringPv(f"{base}StopTime", "End of the run, ISO 8601")
        self._duration = FloatPv(f"{base}Duration", "Duration of the run", units="s", precision=0)
        self._duration_text = StringPv(f"{base}DurationText", "Duration of the run, HH:MM:SS")
        self._total = FloatPv(f"{base}TotalMB", "Data of the run", units="MB", precision=1)
        self._rate = FloatPv(f"{base}RateMBps", "Growth of the data of the run", units="MB/s", precision=2)
        self._to_full = FloatPv(f"{base}MinutesToFull", "Until the first disk is full", units="min", precision=0)
        self._configs = TextPv(f"{base}Configs", "Configurations in use", 400)
        self._message = TextPv(f"{base}Message", "How the run is", MESSAGE_LENGTH)
        self.pvs: tuple[Pv[Any], ...] = (
            self._number,
            self._next,
            self._state,
            *(
                CommandPv(f"{base}{action}", _DESCRIPTIONS[action], command(engine, partial(RunCommand, action=action)))
                for action in RunAction
            ),
            self._can_start,
            self._blocked_by,
            self._title,
            self._class,
            CommandPv(f"{base}SameAsPrevious", "Copy what the shift wrote last run", handler(engine.copy_previous)),
            self._start_time,
            self._stop_time,
            self._duration,
            self._duration_text,
            self._total,
            self._rate,
            self._to_full,
            self._configs,
            self._message,
        )

    def update(self, state: State) -> None:
        """Show a new state of the run."""
        self._shown = state
        run = state.run
        if state.restored:
            self._number.post(run.number)
            self._next.post(run.next_number)
            severity = Severity.MAJOR if run.state is RunState.Failed else Severity.NO_ALARM
            self._state.post(run.state, severity=severity)
        reasons = blocked_by(self._engine.plan, state)
        self._can_start.post(int(not reasons))
        self._blocked_by.post(_lines(reasons, MESSAGE_LENGTH))
        self._title.post(run.title)
        self._class.post(run.run_class)
        record = run.record
        self._start_time.post(local_time(record.started_at) if record else "")
        self._stop_time.post(local_time(record.stopped_at) if record else "")
        self._configs.post(record.config_name if record and run.open else config_name(state))
        self._total.post(total_bytes(state) / _MEGABYTE)
        self._rate.post(sum(router.rate for router in state.routers.values()) / _MEGABYTE)
        seconds = seconds_to_full(self._engine.plan, state)
        low = seconds < DISK_SECONDS and run.open
        self._to_full.post(
            min(seconds / 60, MINUTES_WITHOUT_END), severity=Severity.MAJOR if low else Severity.NO_ALARM
        )
        self._show_message(state)
        self.tick()

    def _show_message(self, state: State) -> None:
        running = [name for name, server in state.servers.items() if server.state is EccState.Running]
        if running and not state.run.open:
            names = listing(running)
            are = "is" if len(running) == 1 else "are"
            if not state.restored:
                text = f"{names} {are} Running; {NOT_READ}, so it is not known whether a run is open"
            elif len(running) == len(state.servers):
                text = f"{names} {are} Running although no run is open: press Reset, or Stop of each ECC server"
            else:
                text = f"{names} {are} Running although no run is open: press Stop of each of these ECC servers"
            self._message.post(text, severity=Severity.MAJOR)
            return
        note = state.run.message
        self._message.post(note.text, severity=note.severity, timestamp=note.at or None)

    def tick(self) -> None:
        """Show how long the run has lasted; called once a second."""
        seconds = self._shown.run.duration(time.monotonic()) if self._shown else 0.0
        self._duration.post(float(int(seconds)))
        self._duration_text.post(clock(seconds))

    async def _put_title(self, client: Client, title: str) -> None:
        if not title.isprintable():
            raise Refused("title of a run must be one line of printable text")
        await self._engine.command(lambda token: SetTitle(token, client, title))

    async def _put_class(self, client: Client, value: int) -> None:
        await self._engine.command(lambda token: SetClass(token, client, RunClass(value)))


def _lines(reasons: Sequence[str], size: int) -> str:
    """Return a reason a line, as many as fit into `size` bytes; the last line counts those that do not."""
    shown = list(reasons)
    text = "\n".join(shown)
    while len(text.encode()) > size:
        shown.pop()
        text = "\n".join([*shown, f"and {len(reasons) - len(shown)} more"])
    return text
