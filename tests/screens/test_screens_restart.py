"""The buttons that restart a program: where they are, and when they can be pressed."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import pytest
from screens_reader import Page, Screens, Shown

from ioc.model import RunState
from ioc.screens import screen_files
from ioc.topology.load import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [("ecc.bob", "ECC:CoBo0:"), ("router.bob", "Router:data0:")]


@cache
def buttons(page: str, units: str | None) -> tuple[Shown, ...]:
    """The buttons of a page that write to a PV Restart."""
    topology = load(ROOT / "topology.yaml").model_copy(update={"units": units})
    macros = (("NAME", "CoBo0" if page == "ecc.bob" else "data0"), ("LOG", ""), ("RESUME", "0"))
    shown = Screens(screen_files(topology)).shown_on(Page(page, macros, 1, embedded=False))
    return tuple(each for each in shown if any(pv.endswith(":Restart") for pv, _ in each.written_pvs()))


@pytest.mark.parametrize(("page", "base"), PAGES)
def test_only_where_programs_have_units(page: str, base: str) -> None:
    """One button, which writes to the PV of this component; none without units. It is closed until a rule opens it."""
    (button,) = buttons(page, "systemd")
    assert [pv for pv, _ in button.written_pvs()] == [f"ATTPC:{base}Restart"]
    assert button.text("enabled") == button.text("visible") == "false"
    assert button.ruled("visible", {f"{base}Restart": (0.0, 0)}) == "true"
    assert buttons(page, None) == ()


@pytest.mark.parametrize(("page", "base"), PAGES)
@pytest.mark.parametrize("run", RunState)
def test_it_is_open_when_the_core_takes_it(page: str, base: str, run: RunState) -> None:
    """No run is open, or its files wait for this program, which is away; nothing else is under way."""
    (button,) = buttons(page, "systemd")
    for online, busy, restarting in product((0, 1), repeat=3):
        numbers = {f"{base}Restart": restarting, "Busy": busy, "Run:State": run.value, f"{base}Online": online}
        values = {name: (float(number), 0) for name, number in numbers.items()}
        closed = run in {RunState.Stopped, RunState.Failed} or (run is RunState.Filing and not online)
        assert (button.ruled("enabled", values) == "true") == (closed and not busy and not restarting)
