"""The PVs of the system as a whole, ``$(P)…``."""

from __future__ import annotations

from functools import partial
from typing import Any

from ioc.ca import CommandPv, EnumPv, Pv, TextPv
from ioc.engine import Engine
from ioc.model import EXPERIMENT_LENGTH, Severity, SystemState
from ioc.pvs.boundary import command
from ioc.runlogic.events import SetExperiment, SystemCommand, SystemStep
from ioc.runlogic.state import State
from ioc.states import aggregate, system_severity

_DESCRIPTIONS = {
    SystemStep.Describe: "All servers Idle to Described",
    SystemStep.Prepare: "All servers Described to Prepared",
    SystemStep.Configure: "All servers Prepared to Ready",
    SystemStep.Reset: "All servers one step back",
}


class SystemPvs:
    """Common state, steps of all servers together, experiment."""

    def __init__(self, prefix: str, engine: Engine) -> None:
        self._state = EnumPv(f"{prefix}State", "State all ECC servers share", [state.name for state in SystemState])
        self._state.post(SystemState.Unknown, severity=Severity.INVALID, status="UDF")
        self._busy = EnumPv(f"{prefix}Busy", "A transition runs somewhere", ["Done", "Busy"])
        self._experiment = TextPv(
            f"{prefix}Experiment", "Runs are filed under it", EXPERIMENT_LENGTH, on_put=command(engine, SetExperiment)
        )
        self._message = TextPv(f"{prefix}Message", "Outcome of the last command", 256)
        self.pvs: tuple[Pv[Any], ...] = (
            self._state,
            self._busy,
            *(
                CommandPv(f"{prefix}{step}", _DESCRIPTIONS[step], command(engine, partial(SystemCommand, step=step)))
                for step in SystemStep
            ),
            self._experiment,
            self._message,
        )

    def update(self, state: State) -> None:
        """Show a new state of the system."""
        servers = state.servers.values()
        states = [server.state for server in servers]
        whole = aggregate(states)
        severity = system_severity(states)
        self._state.post(
            whole,
            severity=severity,
            status="COMM" if severity is Severity.INVALID else "",
            timestamp=max(server.changed_at for server in servers) or None,
        )
        self._busy.post(int(state.job is not None or any(server.busy for server in servers)))
        self._experiment.post(state.experiment)
        self._message.post(state.message.text, severity=state.message.severity, timestamp=state.message.at or None)
