"""The PVs of the system as a whole, ``$(P)…``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ioc.ca import CommandPv, EnumPv, TextPv
from ioc.engine import Engine
from ioc.model import EXPERIMENT_LENGTH, NextStep, Operation, Severity, SystemOperation, SystemState
from ioc.pvs.boundary import command
from ioc.pvs.group import Group, not_known
from ioc.runlogic.events import SetExperiment, SystemCommand
from ioc.runlogic.next_step import next_step
from ioc.runlogic.state import State
from ioc.states import aggregate, system_severity

_DESCRIPTIONS: Mapping[SystemOperation, str] = {
    Operation.Describe: "All servers Idle to Described",
    Operation.Prepare: "All servers Described to Prepared",
    Operation.Configure: "All servers Prepared to Ready",
    Operation.Reset: "All servers one step back",
}


class SystemPvs(Group):
    """Common state of all servers, commands to all servers, experiment."""

    def __init__(self, prefix: str, engine: Engine) -> None:
        super().__init__(prefix)
        self._engine = engine
        states = [state.name for state in SystemState]
        self._state = self.add(EnumPv, "State", "Common state of all ECC servers", states, value=SystemState.Unknown)
        not_known("UDF", self._state)
        self._busy = self.add(EnumPv, "Busy", "A transition is in progress", ["Done", "Busy"])
        for operation, description in _DESCRIPTIONS.items():
            self.add(CommandPv, operation, description, command(engine, partial(SystemCommand, operation=operation)))
        put = command(engine, SetExperiment)
        experiment = self.add(
            TextPv, "Experiment", "Experiment under which runs are filed", EXPERIMENT_LENGTH, on_put=put
        )
        self.add_message("Result of the last command", 256, lambda state: state.message)
        steps = [step.name for step in NextStep]
        self._next_step = self.add(EnumPv, "NextStep", "Command to give next", steps)
        self._next_action = self.add(TextPv, "NextAction", "Effect of the next step", 400)
        self.follow(lambda state: (state,), self._show_next)  # any change may be what was waited for
        self.follow(lambda state: (state.servers,), self._show_state)
        self.follow(lambda state: (state.servers, state.job), self._show_busy)
        self.follow(lambda state: (state.experiment,), lambda state: experiment.post(state.experiment))

    def _show_state(self, state: State) -> None:
        servers = state.servers.values()
        states = [server.state for server in servers]
        severity = system_severity(states)
        self._state.post(
            aggregate(states),
            severity=severity,
            status="COMM" if severity is Severity.INVALID else "",
            timestamp=max(server.changed_at for server in servers) or None,
        )

    def _show_next(self, state: State) -> None:
        step, action = next_step(self._engine.plan, state)
        self._next_step.post(step)
        self._next_action.post(action)

    def _show_busy(self, state: State) -> None:
        self._busy.post(int(state.job is not None or any(server.busy for server in state.servers.values())))
