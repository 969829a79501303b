"""The buttons that take the detector and the run from one state to the next.

The numbers in the rules are those of the enum PVs: `SystemState`, `RunState`, CanStart (Yes = 1), Busy (Busy = 1).
A rule is only a help: the IOC itself refuses what is wrong.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.model import RunState, SystemState
from ioc.screens.bob import Box
from ioc.screens.palette import LARGE
from ioc.screens.widgets import Rule, command, step

_X = (10, 208, 406)
_WIDTH = 192
_HEIGHT = 68


def detector_steps(p: str, y: int) -> list[ET.Element]:
    """Return Describe, Prepare and Configure; `p` is the prefix as a macro."""
    questions = (
        ("Describe", SystemState.Idle),
        ("Prepare", SystemState.Described),
        ("Configure", SystemState.Prepared),
    )
    return [
        step(
            name,
            f"{p}{name}",
            Box(x, y, _WIDTH, _HEIGHT),
            confirm=f"{name} all ECC servers?",
            possible=f"pv0 == {state.value} && pv1 == 0",
            pvs=(f"{p}State", f"{p}Busy"),
        )
        for x, (name, state) in zip(_X, questions, strict=True)
    ]


def run_steps(p: str, y: int, *, can_resume: bool) -> list[ET.Element]:
    """Return Start, Stop, Reset and below them Pause and, if the ECC servers survive it, Resume."""
    run = f"{p}Run:State"
    return [
        step(
            "Start",
            f"{p}Run:Start",
            Box(_X[0], y, _WIDTH, _HEIGHT),
            confirm="Start a run?",
            possible="pv0 == 1",
            pvs=(f"{p}Run:CanStart",),
        ),
        step(
            "Stop",
            f"{p}Run:Stop",
            Box(_X[1], y, _WIDTH, _HEIGHT),
            confirm="Stop the run and file its data?",
            possible=_any_of(RunState.Starting, RunState.Running, RunState.Paused),
            pvs=(run,),
        ),
        command(
            "Reset",
            f"{p}Reset",
            Box(_X[2], y, _WIDTH, _HEIGHT),
            confirm="Take all ECC servers one step back?",
            font=LARGE,
            rules=(_disabled_unless(_CAN_RESET, f"{p}State", run),),
        ),
        *_interruption(p, y + _HEIGHT + 8, can_resume=can_resume),
    ]


def _interruption(p: str, y: int, *, can_resume: bool) -> list[ET.Element]:
    run = f"{p}Run:State"
    pause = command(
        "Pause",
        f"{p}Run:Pause",
        Box(_X[0], y, _WIDTH, 44),
        confirm="Pause the run?"
        if can_resume
        else "These ECC servers cannot resume: after Pause, only Stop is left. Pause?",
        rules=(_disabled_unless(_any_of(RunState.Running), run),),
    )
    resume = command(
        "Resume",
        f"{p}Run:Resume",
        Box(_X[1], y, _WIDTH, 44),
        confirm="Resume the run?",
        rules=(_disabled_unless(_any_of(RunState.Paused), run),),
    )
    return [pause, resume] if can_resume else [pause]


def _any_of(*states: RunState) -> str:
    return " || ".join(f"pv0 == {state.value}" for state in states)


_CAN_RESET = (
    f"(pv0 >= {SystemState.Described.value} && pv0 <= {SystemState.Paused.value} && pv1 == {RunState.Stopped.value}) "
    f"|| pv1 == {RunState.Failed.value}"
)


def _disabled_unless(possible: str, *pvs: str) -> Rule:
    return Rule("enabled", f"!({possible})", False, pvs)
