"""The PVs of automatic runs, ``$(P)Auto:…``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from ioc.ca import EnumPv, FloatPv, IntPv, TextPv
from ioc.engine import Engine
from ioc.errors import ConfigurationError, Refused
from ioc.model import AutoState, Client
from ioc.pvs.boundary import handler, number_command
from ioc.pvs.group import MESSAGE_LENGTH, Group, not_known
from ioc.runlogic.automatic_shown import phase, seconds_to_next, step_text
from ioc.runlogic.events import EnableAutomatic, SetAutomatic, SetPlan
from ioc.runlogic.state import State
from ioc.topology.run_plan import load_plan
from ioc.topology.schema import Observable

_SWITCH = ["Off", "On"]


class AutomaticPvs(Group):
    """Runs one after the other: settings, plan and progress."""

    def __init__(self, prefix: str, engine: Engine, observables: Callable[[], Sequence[Observable]]) -> None:
        """`observables` returns those of the present topology, which a plan may name."""
        super().__init__(f"{prefix}Auto:")
        self._engine = engine
        self._observables = observables

        enable = number_command(engine, lambda client, value: EnableAutomatic(client, bool(value)))
        minutes = number_command(engine, lambda client, value: SetAutomatic(client, minutes=value))
        gb = number_command(engine, lambda client, value: SetAutomatic(client, gb=value))
        runs = number_command(engine, lambda client, value: SetAutomatic(client, runs=int(value)))
        pause = number_command(engine, lambda client, value: SetAutomatic(client, pause=value))
        self._enable = self.add(EnumPv, "Enable", "Take runs one after the other", _SWITCH, on_put=enable)
        self._minutes = self.add(FloatPv, "RunMinutes", "Length of a run, 0: no limit", units="min", on_put=minutes)
        self._gb = self.add(FloatPv, "RunGB", "Size of a run, 0: no limit", units="GB", on_put=gb)
        self._runs = self.add(IntPv, "Runs", "Number of runs, 0: until Off", on_put=runs)
        self._pause = self.add(FloatPv, "PauseSeconds", "Time between two runs", units="s", on_put=pause)
        self._plan = self.add(TextPv, "Plan", "File with a plan of runs", 400, on_put=handler(self._put_plan))
        self._step = self.add(TextPv, "Step", "Open or next run of the plan", 256)
        self._done = self.add(IntPv, "Done", "Runs that reached their length or size")
        self._state = self.add(EnumPv, "State", "State of automatic runs", [each.name for each in AutoState])
        self._next = self.add(FloatPv, "NextIn", "Time to the next step", units="s", precision=0)
        self._dead = self.add(FloatPv, "DeadSeconds", "Time between the last two runs", units="s", precision=3)
        self.add_message("Status of automatic runs", MESSAGE_LENGTH, lambda state: state.auto_message)
        not_known("UDF", self._enable, self._state, self._done)
        self.follow(lambda state: (state.auto, state.restored), self._show)
        self.follow(lambda state: (state.auto, state.run, state.job, state.restored), self._show_state)

    def _show(self, state: State) -> None:
        if not state.restored:
            return  # a sequence may be under way
        auto, progress = state.auto, state.auto.progress
        self._enable.post(int(auto.enabled))
        self._minutes.post(auto.limits.minutes)
        self._gb.post(auto.limits.gb)
        self._runs.post(auto.limits.runs)
        self._pause.post(auto.limits.pause)
        self._plan.post(auto.plan.path)
        self._step.post(step_text(state))
        self._done.post(progress.done)
        self._dead.post(progress.dead)

    def _show_state(self, state: State) -> None:
        if not state.restored:
            return
        self._state.post(phase(state))
        self.tick()

    def tick(self) -> None:
        self._next.post(seconds_to_next(self._engine.state, self._engine.steady()))

    async def _put_plan(self, client: Client, path: str) -> None:
        """The path is on the machine of the IOC, whose working directory nobody knows."""
        if path and not Path(path).is_absolute():
            raise Refused(f"the plan {path!r} must be an absolute path, on the machine of the IOC")
        try:
            runs = await asyncio.to_thread(load_plan, path, self._observables()) if path else ()
        except ConfigurationError as error:
            raise Refused(f"plan not read, nothing changed: {'; '.join(map(str, error.problems))}") from None
        await self._engine.command(SetPlan(client, path, runs))
