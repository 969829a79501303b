"""The shift's screen: complete without scrolling, and its buttons lead through the states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from screens_reader import Page, Screens, Shown

from ioc.model import EccState, NextStep, RunState, SystemState, Transition
from ioc.screens import screen_files
from ioc.topology.load import load
from ioc.topology.schema import Topology

ROOT = Path(__file__).resolve().parents[2]
NO, YES = 0, 1


@pytest.fixture(scope="module")
def main_buttons() -> dict[str, Shown]:
    return _buttons(_resuming(load(ROOT / "topology.yaml")))


def _resuming(topology: Topology) -> Topology:
    """Return an installation whose ECC servers all survive Resume."""
    servers = tuple(server.model_copy(update={"supports_resume": True}) for server in topology.ecc_servers)
    return topology.model_copy(update={"ecc_servers": servers})


def _buttons(topology: Topology) -> dict[str, Shown]:
    """Return the buttons of the main screen that command something, by their text."""
    screens = Screens(screen_files(topology))
    return {
        widget.text("text") or "": widget
        for widget in screens.shown_on(screens.pages[0])
        if widget.kind == "action_button" and widget.is_control
    }


LARGE = {
    NextStep.Describe: ("Describe all", "Describe"),
    NextStep.Prepare: ("Prepare all", "Prepare"),
    NextStep.Configure: ("Configure all", "Configure"),
    NextStep.Start: ("Start run", "Run:Start"),
    NextStep.Stop: ("Stop run", "Run:Stop"),
    NextStep.Resume: ("Resume run", "Run:Resume"),
    NextStep.Reset: ("Reset all", "Reset"),
}
"""The large buttons, with their commands."""


@pytest.mark.parametrize("step", NextStep)
def test_the_next_step_is_one_large_button(main_buttons: dict[str, Shown], step: NextStep) -> None:
    """It alone is seen and can be pressed, and it does what the step says; with Wait there is none."""
    values = {"NextStep": (float(step), 0)}
    large = {name: main_buttons[name] for name, _ in LARGE.values()}
    assert {each.text("visible") for each in large.values()} == {"false"}
    seen = [name for name, each in large.items() if each.ruled("visible", values) == "true"]
    assert seen == [name for name, each in large.items() if each.ruled("enabled", values) == "true"]
    assert seen == ([LARGE[step][0]] if step in LARGE else [])
    for name, command in LARGE.values():
        assert [pv.removeprefix("ATTPC:") for pv, _ in large[name].written_pvs()] == [command]


@pytest.mark.parametrize(
    ("situation", "pressable"),
    [
        ((SystemState.Off, RunState.Stopped, NO, NO, 0), set()),
        ((SystemState.Idle, RunState.Stopped, NO, NO, 0), {"Describe"}),
        ((SystemState.Idle, RunState.Stopped, NO, NO, 1), set()),
        ((SystemState.Described, RunState.Stopped, NO, NO, 0), {"Prepare", "Reset"}),
        ((SystemState.Prepared, RunState.Stopped, NO, NO, 0), {"Configure", "Reset"}),
        ((SystemState.Ready, RunState.Stopped, NO, NO, 0), {"Reset"}),
        ((SystemState.Ready, RunState.Stopped, YES, NO, 0), {"Start", "Reset"}),
        ((SystemState.Ready, RunState.Stopped, NO, YES, 1), {"Stop"}),  # hooks run before it has a number
        ((SystemState.Ready, RunState.Starting, NO, YES, 1), {"Stop"}),
        ((SystemState.Running, RunState.Running, NO, YES, 0), {"Stop", "Pause"}),
        ((SystemState.Running, RunState.Running, NO, YES, 1), {"Stop"}),
        ((SystemState.Paused, RunState.Paused, NO, YES, 0), {"Stop", "Resume"}),
        ((SystemState.Mixed, RunState.Running, NO, YES, 0), {"Stop"}),
        ((SystemState.Ready, RunState.Stopping, NO, NO, 1), set()),
        ((SystemState.Ready, RunState.Filing, NO, NO, 1), set()),
        ((SystemState.Ready, RunState.Filing, NO, YES, 0), {"Stop"}),
        ((SystemState.Idle, RunState.Filing, NO, YES, 0), {"Stop"}),
        ((SystemState.Idle, RunState.Failed, NO, NO, 0), {"Describe", "Reset"}),
        ((SystemState.Mixed, RunState.Stopped, NO, NO, 0), set()),
        ((SystemState.Unknown, RunState.Stopped, NO, NO, 0), set()),
    ],
)
def test_the_impossible_cannot_be_pressed(
    main_buttons: dict[str, Shown], situation: tuple[SystemState, RunState, int, int, int], pressable: set[str]
) -> None:
    """In each state the rules of the small buttons bar what the IOC would refuse."""
    state, run, can_start, can_stop, busy = situation
    permits = {"Run:CanStart": can_start, "Run:CanStop": can_stop}
    numbers = {"State": state.value, "Run:State": run.value, "Busy": busy, **permits}
    values = {name: (float(number), 0) for name, number in numbers.items()}
    small = {name: each for name, each in main_buttons.items() if name not in {name for name, _ in LARGE.values()}}
    assert {name for name, each in small.items() if each.ruled("enabled", values) == "true"} - {"Clear"} == pressable


def test_pause_warns_where_resume_would_kill_the_ecc_server() -> None:
    """One ECC server that does not survive Resume: no such button, and Pause warns that only Stop remains."""
    buttons = _buttons(load(ROOT / "topology.yaml"))
    assert "Resume" not in buttons
    assert "you can only stop the run" in (buttons["Pause"].text("confirm_message") or "")


def test_a_full_detector_needs_no_scrolling() -> None:
    """With 12 ECC servers, 12 routers and 11 observables, everything on main is seen at once at 1920 by 1080."""
    screens = Screens(screen_files(load(ROOT / "topology.yaml")))
    width, height = screens.size("main.bob")
    assert width <= 1920
    assert height <= 1080 - 150, "Phoebus' own menus, tabs and status bar need 150 pixels"
    lists = [each for each in screens.widgets_of(screens.pages[0]) if (each.text("file") or "").endswith("_list.bob")]
    assert len(lists) == 4
    for widget in lists:
        assert screens.size(widget.text("file") or "")[1] <= widget.box()[3], f"{widget} would scroll"


def _pressable(file: str, macros: dict[str, str], values: Mapping[str, float]) -> set[str]:
    """Return the buttons of a page that can be pressed when its PVs have these values."""
    screens = Screens(screen_files(load(ROOT / "topology.yaml")))
    page = Page(file, tuple(macros.items()), 1, embedded=False)
    known = {name: (float(number), 0) for name, number in values.items()}
    buttons = [each for each in screens.widgets_of(page) if each.kind == "action_button" and each.is_control]
    return {each.text("text") or "" for each in buttons if each.ruled("enabled", known) == "true"} - {
        "Get log",
        "Use the selected one",
    }


@pytest.mark.parametrize(
    ("state", "pressable"),
    [
        (EccState.Off, set()),
        (EccState.Idle, {"Describe"}),
        (EccState.Described, {"Prepare", "Undo", "Reset"}),
        (EccState.Prepared, {"Configure", "Undo", "Reset"}),
        (EccState.Ready, {"Start", "Breakup", "Reset"}),
        (EccState.Running, {"Stop", "Pause", "Breakup", "Reset"}),
        (EccState.Paused, {"Stop", "Resume", "Breakup", "Reset"}),
        (EccState.Unknown, set()),
    ],
)
def test_the_page_of_an_ecc_server_offers_what_its_state_allows(state: EccState, pressable: set[str]) -> None:
    """No transition during another; Start and Resume not while a run ends; Resume only if the server survives it.

    Nothing while a command for all servers is under way; a run that cannot be filed needs them all the same.
    """

    def offered(transition: Transition, run: RunState, resume: str = "1", busy: int = NO) -> set[str]:
        server = {"State": state.value, "Transition": transition.value, "Online": 0}
        system = {"Run:State": run.value, "Busy": busy}
        values = {**{f"ECC:CoBo0:{name}": number for name, number in server.items()}, **system}
        return _pressable("ecc.bob", {"NAME": "CoBo0", "RESUME": resume}, values)

    assert offered(Transition.NoTransition, RunState.Stopped) == pressable
    assert offered(Transition.NoTransition, RunState.Stopped, "0") == pressable - {"Resume"}
    assert offered(Transition.NoTransition, RunState.Filing) == pressable - {"Start", "Resume"}
    assert offered(Transition.Describing, RunState.Stopped) == set()
    assert offered(Transition.NoTransition, RunState.Stopped, busy=YES) == set()
    assert offered(Transition.NoTransition, RunState.Filing, busy=YES) == pressable - {"Start", "Resume"}


@pytest.mark.parametrize(
    ("run", "busy", "staging", "possible"),
    [
        (RunState.Stopped, 0, 2, True),
        (RunState.Failed, 0, 2, True),
        (RunState.Filing, 0, 0, True),
        (RunState.Stopped, 0, 0, False),
        (RunState.Stopped, 1, 2, False),
        (RunState.Filing, 1, 2, False),
        (RunState.Running, 0, 1, False),
        (RunState.Starting, 0, 2, False),
    ],
)
def test_organize_only_where_something_can_be_filed(run: RunState, busy: int, staging: int, *, possible: bool) -> None:
    """It is offered for files that were left behind and for a run that is not filed yet, never while data are taken."""
    values = {"Router:data0:Staging": staging, "Router:data0:Online": 1, "Run:State": run.value, "Busy": busy}
    assert _pressable("router.bob", {"NAME": "data0"}, {**values, "Run:Number": 3}) == (
        {"Organize"} if possible else set()
    )
    assert _pressable("router.bob", {"NAME": "data0"}, {**values, "Run:Number": -1}) == set()
