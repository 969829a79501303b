"""The PVs of one interlock, ``$(P)Interlock:<name>:…``, and of all together, ``$(P)Interlock:Summary``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ioc.ca import EnumPv, FloatPv, StringPv, TextPv
from ioc.engine import Engine
from ioc.model import InterlockState, Reading, Severity
from ioc.pvs.boundary import number_command
from ioc.pvs.group import MESSAGE_LENGTH, Group, not_known, post_note
from ioc.runlogic.events import SetBypass, SetLimits
from ioc.runlogic.plan import InterlockPlan
from ioc.runlogic.state import Interlock, State

_SEVERITY: Mapping[InterlockState, Severity] = {
    InterlockState.Ok: Severity.NO_ALARM,
    InterlockState.Waiting: Severity.MINOR,
    InterlockState.Tripped: Severity.MAJOR,
    InterlockState.Bypassed: Severity.MINOR,
}


class InterlockPvs(Group):
    """State, value and limits of one interlock. A group is created again if the type or units of the interlock
    change."""

    def __init__(self, prefix: str, plan: InterlockPlan, engine: Engine) -> None:
        super().__init__(f"{prefix}Interlock:{plan.name}:")
        self.looks_like = shown_as(plan)
        self._engine = engine
        self._name = name = plan.name
        states, units = [state.name for state in InterlockState], plan.units
        put_low = number_command(engine, lambda client, value: SetLimits(client, name, low=value))
        put_high = number_command(engine, lambda client, value: SetLimits(client, name, high=value))
        put_bypass = number_command(engine, lambda client, value: SetBypass(client, name, bool(value)))
        self.state = self.add(EnumPv, "State", "State of the interlock", states)
        self._value = (
            self.add(FloatPv, "Value", "Value that the interlock watches", units=units, value=math.nan)
            if plan.numeric
            else self.add(StringPv, "Value", "Value that the interlock watches")
        )
        not_known("UDF", self.state, self._value)
        self._low = self.add(FloatPv, "Low", "Lowest value allowed", units=units, value=math.nan, on_put=put_low)
        self._high = self.add(FloatPv, "High", "Highest value allowed", units=units, value=math.nan, on_put=put_high)
        self._bypass = self.add(EnumPv, "Bypass", "Bypass the interlock for a while", ["Off", "On"], on_put=put_bypass)
        self._message = self.add(TextPv, "Message", "Last event, or the limits", MESSAGE_LENGTH)
        self.follow(lambda state: (state.interlocks.get(name), state.restored), self._show)
        self.follow(lambda state: (state.readings.get(plan.watches),), lambda state: self._show_value(state, plan))

    def _show(self, state: State) -> None:
        now = state.interlocks.get(self._name)
        if now is None or not state.restored:
            return
        plan = self._engine.plan.interlocks[self._name]
        self.state.post(now.state, severity=_SEVERITY[now.state])
        self._low.post(math.nan if now.window.low is None else now.window.low)
        self._high.post(math.nan if now.window.high is None else now.window.high)
        self._bypass.post(int(now.state is InterlockState.Bypassed))
        if now.message.text:
            post_note(self._message, now.message)
        else:
            self._message.post(f"{plan.what} must be {now.window.text(plan.units)}")

    def _show_value(self, state: State, plan: InterlockPlan) -> None:
        reading = state.readings.get(plan.watches)
        if reading is None or reading.value is None:
            not_known("COMM" if reading is not None else "UDF", self._value)
            return
        at, severity = reading.sampled_at, reading.severity
        if isinstance(self._value, StringPv):
            self._value.post(reading.label or str(reading.value), severity=severity, timestamp=at)
        else:
            self._value.post(_number(reading), severity=severity, timestamp=at)


def shown_as(plan: InterlockPlan) -> tuple[object, ...]:
    """What the PVs of an interlock depend on besides its name."""
    return plan.watches, plan.units, plan.numeric


def _number(reading: Reading) -> float:
    return float(reading.value) if isinstance(reading.value, int | float) else math.nan


class SummaryPvs(Group):
    """All interlocks in one line."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"{prefix}Interlock:")
        self._summary = self.add(TextPv, "Summary", "All interlocks in one line", MESSAGE_LENGTH)
        self.follow(lambda state: (state.interlocks, state.restored), self._show)

    def _show(self, state: State) -> None:
        if not state.restored:
            self._summary.post("not checked yet", severity=Severity.INVALID, status="UDF")
            return
        text, severity = summary(state.interlocks)
        self._summary.post(text, severity=severity)


def summary(interlocks: Mapping[str, Interlock]) -> tuple[str, Severity]:
    """Return one line about all interlocks, the worst first, and the worst severity."""
    if not interlocks:
        return "no interlocks", Severity.NO_ALARM
    order = (InterlockState.Tripped, InterlockState.Waiting, InterlockState.Bypassed)
    parts = [
        f"{name} is {state.name}" + (f": {each.message.text}" if state is InterlockState.Tripped else "")
        for state in order
        for name, each in interlocks.items()
        if each.state is state
    ]
    if not parts:
        count = len(interlocks)
        return ("the interlock is Ok" if count == 1 else f"all {count} interlocks are Ok"), Severity.NO_ALARM
    return "; ".join(parts), max(_SEVERITY[each.state] for each in interlocks.values())
