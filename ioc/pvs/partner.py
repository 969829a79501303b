"""The PVs of one partner, ``$(P)Partner:<name>:…``."""

from __future__ import annotations

from ioc.ca import EnumPv
from ioc.model import PartnerState, Severity
from ioc.pvs.group import MESSAGE_LENGTH, Group, not_known
from ioc.runlogic.state import State


class PartnerPvs(Group):
    """State of another data acquisition that runs with ours."""

    def __init__(self, prefix: str, name: str) -> None:
        super().__init__(f"{prefix}Partner:{name}:")
        self._name = name
        self._state = self.add(EnumPv, "State", "State of the partner", [state.name for state in PartnerState])
        not_known("UDF", self._state)
        self.add_message("Last error or result", MESSAGE_LENGTH, lambda state: state.partners[name].message)
        self.follow(lambda state: (state.partners[name], state.run), self._show)

    def _show(self, state: State) -> None:
        partner = state.partners[self._name]
        if partner.state is PartnerState.Unknown:
            return
        self._state.post(partner.state, severity=self._severity(state))

    def _severity(self, state: State) -> Severity:
        """Return the alarm of its state: it must run with our runs, and only with them."""
        partner, run = state.partners[self._name], state.run
        ours = run.open and partner.run == run.number
        match partner.state:
            case PartnerState.Offline:
                return Severity.MAJOR
            case PartnerState.Halted if ours and run.takes_data:
                return Severity.MAJOR
            case PartnerState.Active if not (ours and partner.controlled):
                return Severity.MINOR
            case _:
                return Severity.NO_ALARM
