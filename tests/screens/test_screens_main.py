"""The shift's screen: complete without scrolling, and its buttons lead through the states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from screens_reader import Screens, Shown, expand

from ioc.model import RunState, SystemState
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
    screens = Screens(screen_files(topology))
    main = screens.pages[0]
    return {
        widget.text("text") or "": widget
        for widget in screens.widgets_of(main)
        if widget.kind == "action_button" and list(widget.written_pvs())
    }


def _holds(button: Shown, prop: str, values: dict[str, int]) -> bool:
    """Say whether the rule of `prop` sets its value, as Phoebus evaluates it."""
    rule = button.element.find(f"rules/rule[@prop_id='{prop}']")
    if rule is None:
        return False
    pvs = [expand(pv.text or "", {}).removeprefix("ATTPC:") for pv in rule.findall("pv_name")]
    expression = rule.find("exp")
    assert expression is not None
    text = expression.get("bool_exp", "")
    text = re.sub(r"!(?!=)", " not ", text).replace("&&", " and ").replace("||", " or ")
    return bool(eval(text, {f"pv{i}": values[pv] for i, pv in enumerate(pvs)}))


def _looks(
    buttons: dict[str, Shown], state: SystemState, run: RunState, can_start: int, busy: int
) -> tuple[set[str], set[str]]:
    values = {"State": state.value, "Run:State": run.value, "Run:CanStart": can_start, "Busy": busy}
    bright = {name for name, each in buttons.items() if _holds(each, "background_color", values)}
    pressable = {name for name, each in buttons.items() if not _holds(each, "enabled", values)} - {"Clear"}
    return bright, pressable


@pytest.mark.parametrize(
    ("situation", "bright", "pressable"),
    [
        ((SystemState.Off, RunState.Stopped, NO, 0), set(), set()),
        ((SystemState.Idle, RunState.Stopped, NO, 0), {"Describe"}, {"Describe"}),
        ((SystemState.Idle, RunState.Stopped, NO, 1), set(), set()),
        ((SystemState.Described, RunState.Stopped, NO, 0), {"Prepare"}, {"Prepare", "Reset"}),
        ((SystemState.Prepared, RunState.Stopped, NO, 0), {"Configure"}, {"Configure", "Reset"}),
        ((SystemState.Ready, RunState.Stopped, NO, 0), set(), {"Reset"}),
        ((SystemState.Ready, RunState.Stopped, YES, 0), {"Start"}, {"Start", "Reset"}),
        ((SystemState.Ready, RunState.Starting, NO, 1), {"Stop"}, {"Stop"}),
        ((SystemState.Running, RunState.Running, NO, 0), {"Stop"}, {"Stop", "Pause"}),
        ((SystemState.Paused, RunState.Paused, NO, 0), {"Stop"}, {"Stop", "Resume"}),
        ((SystemState.Mixed, RunState.Running, NO, 0), {"Stop"}, {"Stop", "Pause"}),
        ((SystemState.Ready, RunState.Stopping, NO, 1), set(), set()),
        ((SystemState.Ready, RunState.Filing, NO, 0), set(), set()),
        ((SystemState.Idle, RunState.Failed, NO, 0), {"Describe"}, {"Describe", "Reset"}),
        ((SystemState.Mixed, RunState.Stopped, NO, 0), set(), set()),
        ((SystemState.Unknown, RunState.Stopped, NO, 0), set(), set()),
    ],
)
def test_the_next_step_stands_out_and_the_impossible_cannot_be_pressed(
    main_buttons: dict[str, Shown],
    situation: tuple[SystemState, RunState, int, int],
    bright: set[str],
    pressable: set[str],
) -> None:
    """In each state the rules light one button at most and bar what the IOC would refuse."""
    assert _looks(main_buttons, *situation) == (bright, pressable)


def test_pause_warns_where_resume_would_kill_the_ecc_server() -> None:
    """One ECC server that does not survive Resume: no such button, and Pause says that only Stop is left."""
    buttons = _buttons(load(ROOT / "topology.yaml"))
    assert "Resume" not in buttons
    assert "only Stop is left" in (buttons["Pause"].text("confirm_message") or "")


def test_a_full_detector_needs_no_scrolling() -> None:
    """With 12 ECC servers, 12 routers and 11 observables, everything on main is seen at once at 1920 by 1080."""
    screens = Screens(screen_files(load(ROOT / "topology.yaml")))
    width, height = screens.size("main.bob")
    assert width <= 1920
    assert height <= 1080 - 150, "Phoebus' own menus, tabs and status bar need 150 pixels"
    lists = [widget for widget in screens.widgets_of(screens.pages[0]) if widget.kind == "embedded"]
    assert len(lists) == 3
    for widget in lists:
        assert screens.size(widget.text("file") or "")[1] <= widget.box()[3], f"{widget} would scroll"
