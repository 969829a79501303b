"""The PVs of the run, ``$(P)Run:…``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from ioc.ca import CommandPv, EnumPv, FloatPv, IntPv, StringPv, TextPv
from ioc.engine import Engine
from ioc.errors import Refused
from ioc.model import COMMENT_LENGTH, Client, EccState, Operation, RunClass, RunOperation, RunQuality, RunState
from ioc.pvs.boundary import command, handler, number_command
from ioc.pvs.group import MEGABYTE, MESSAGE_LENGTH, Group, alarm, bytes_text, clock, local_time, not_known, post_note
from ioc.runlogic.events import RunCommand, SetClass, SetComment, SetNextNumber, SetQuality, SetTitle
from ioc.runlogic.permits import NOT_READ, group, reasons
from ioc.runlogic.runs import can_stop, config_name
from ioc.runlogic.state import State
from ioc.runlogic.turn import listing
from ioc.runlogic.watch import DISK_SECONDS, seconds_to_full, total_bytes

_DESCRIPTIONS: Mapping[RunOperation, str] = {
    Operation.Start: "Start a run of the whole system",
    Operation.Stop: "Stop the run and file its data",
    Operation.Pause: "Pause the run",
    Operation.Resume: "Resume the run",
}

MINUTES_WITHOUT_END = 999_999.0
"""Maximum of MinutesToFull, shown if no disk is filling up."""
_LONG_SECONDS = 7 * 86400.0
_HOURS = 2
"""A shorter time is shown in minutes."""


class RunPvs(Group):
    """Number, state, title and class of the open run, else of the last one."""

    def __init__(self, prefix: str, engine: Engine) -> None:
        super().__init__(f"{prefix}Run:")
        self._engine = engine
        states, classes = [state.name for state in RunState], [each.name for each in RunClass]
        self._number = self.add(IntPv, "Number", "Number of the open or last run", value=-1)
        self._next = self.add(IntPv, "NextNumber", "Number of the next run", on_put=command(engine, SetNextNumber))
        self._state = self.add(EnumPv, "State", "State of the run", states)
        not_known("UDF", self._number, self._next, self._state)
        for operation, description in _DESCRIPTIONS.items():
            self.add(CommandPv, operation, description, command(engine, partial(RunCommand, operation=operation)))
        self._can_start = self.add(EnumPv, "CanStart", "A run can start now", ["No", "Yes"])
        self._can_stop = self.add(EnumPv, "CanStop", "Stop would be accepted now", ["No", "Yes"])
        self._blocked_by = self.add(TextPv, "BlockedBy", "Why a run cannot start", MESSAGE_LENGTH)
        self._groups = self.add(TextPv, "BlockedGroups", "BlockedBy, one line for each group", MESSAGE_LENGTH)
        set_title = handler(self._put_title)
        set_class = number_command(engine, lambda client, value: SetClass(client, RunClass(int(value))))
        set_quality = number_command(engine, lambda client, value: SetQuality(client, RunQuality(int(value))))
        set_comment = command(engine, SetComment)
        self._title = self.add(TextPv, "Title", "Title of the open or next run", 200, on_put=set_title)
        self._class = self.add(EnumPv, "Class", "Class of the open or next run", classes, on_put=set_class)
        self._comment = self.add(TextPv, "Comment", "Comment on the run", COMMENT_LENGTH, on_put=set_comment)
        qualities = [each.name for each in RunQuality]
        self._quality = self.add(EnumPv, "Quality", "Quality of the run", qualities, on_put=set_quality)
        self.add(CommandPv, "SameAsPrevious", "Copy title, class and manual values", handler(engine.copy_previous))
        self._start_time = self.add(StringPv, "StartTime", "Start of the run, ISO 8601")
        self._stop_time = self.add(StringPv, "StopTime", "End of the run, ISO 8601")
        self._duration = self.add(FloatPv, "Duration", "Duration of the run", units="s", precision=0)
        self._duration_text = self.add(StringPv, "DurationText", "Duration of the run, HH:MM:SS")
        self._total = self.add(FloatPv, "TotalMB", "Size of the run's data", units="MB", precision=1)
        self._total_text = self.add(StringPv, "TotalText", "Size of the run's data, as a text")
        self._rate = self.add(FloatPv, "RateMBps", "Growth of the run's data", units="MB/s", precision=2)
        self._to_full = self.add(FloatPv, "MinutesToFull", "Time until a disk is full", units="min", precision=0)
        self._to_full_text = self.add(StringPv, "ToFullText", "Time until a disk is full, as a text")
        self._configs = self.add(TextPv, "Configs", "Configurations in use", 400)
        self._message = self.add(TextPv, "Message", "Status of the run", MESSAGE_LENGTH)
        self.follow(lambda state: (state.run, state.restored), self._show_run)
        self.follow(lambda state: (state,), self._show_permit)  # any change may block a start
        self.follow(lambda state: (state.run, state.routers), self._show_data)
        self.follow(lambda state: (state.run, state.servers), self._show_configs)
        self.follow(lambda state: (state.run, state.servers, state.restored), self._show_message)

    def _show_run(self, state: State) -> None:
        run, record = state.run, state.run.record
        if state.restored:
            self._number.post(run.number)
            self._next.post(run.next_number)
            self._state.post(run.state, severity=alarm(run.state is RunState.Failed))
        self._title.post(run.title)
        self._class.post(run.run_class)
        self._comment.post(record.comment if record else "")
        self._quality.post(record.quality if record else RunQuality.Unknown)
        self._start_time.post(local_time(record.started_at) if record else "")
        self._stop_time.post(local_time(record.stopped_at) if record else "")
        self.tick()

    def _show_permit(self, state: State) -> None:
        found = reasons(self._engine.plan, state)
        self._can_start.post(int(not found))
        self._can_stop.post(int(can_stop(state)))
        self._blocked_by.post(_lines([reason.text for reason in found], MESSAGE_LENGTH))
        self._groups.post(_lines(group(state, found), MESSAGE_LENGTH))

    def _show_data(self, state: State) -> None:
        seconds = seconds_to_full(self._engine.plan, state)
        soon = state.run.open and seconds < DISK_SECONDS
        size = total_bytes(state)
        self._total.post(size / MEGABYTE)
        self._total_text.post(bytes_text(size))
        self._rate.post(sum(router.rate for router in state.routers.values()) / MEGABYTE)
        self._to_full.post(min(seconds / 60, MINUTES_WITHOUT_END), severity=alarm(soon))
        self._to_full_text.post(_time_left(seconds) if state.run.open else "", severity=alarm(soon))

    def _show_configs(self, state: State) -> None:
        record = state.run.record
        self._configs.post(record.config_name if record and state.run.open else config_name(state))

    def _show_message(self, state: State) -> None:
        running = [name for name, server in state.servers.items() if server.state is EccState.Running]
        if state.run.open or not running:
            post_note(self._message, state.run.message)
            return
        text = f"{listing(running)} {'is' if len(running) == 1 else 'are'} Running"
        if not state.restored:
            text += f"; {NOT_READ}, so it is not known whether a run is open"
        elif len(running) == len(state.servers):
            text += " although no run is open: press Reset, or Stop of each ECC server"
        else:
            text += " although no run is open: press Stop of each of these ECC servers"
        self._message.post(text, severity=alarm(text))

    def tick(self) -> None:
        seconds = self._engine.state.run.duration(self._engine.steady())
        self._duration.post(float(int(seconds)))
        self._duration_text.post(clock(seconds))

    async def _put_title(self, client: Client, title: str) -> None:
        if not title.isprintable():
            raise Refused("title of a run must be one line of printable text")
        await self._engine.command(SetTitle(client, title))


def _time_left(seconds: float) -> str:
    """Return how long a disk lasts, in words."""
    if math.isinf(seconds) or seconds > _LONG_SECONDS:
        return "over a week"
    hours, minutes = divmod(int(seconds // 60), 60)
    if hours < _HOURS:
        return f"{60 * hours + minutes} min"
    days = hours // 24
    return f"{days} d {hours % 24} h" if days > 1 else f"{hours} h {minutes} min"


def _lines(reasons: Sequence[str], size: int) -> str:
    """Return one reason per line, as many as fit into `size` bytes; the last line gives the number of the others."""
    shown = list(reasons)
    text = "\n".join(shown)
    while len(text.encode()) > size:
        shown.pop()
        text = "\n".join([*shown, f"and {len(reasons) - len(shown)} more"])
    return text
