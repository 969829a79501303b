"""The screens in Phoebus' own display runtime, in front of a simulated detector, through all that a shift meets."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.phoebus.conftest import PREFIX, Detector
from tests.phoebus.display_runtime import OPI, ROOT, SCREENS, AmissError, DisplayRuntime, pages, until

pytestmark = pytest.mark.timeout(900)

PAGES = {f"{page.file.removesuffix('.bob')} {dict(page.macros).get('NAME', '')}".strip(): page for page in pages()}
EDITED = ROOT / "ioc/screens/pages"
PICTURED = ("main", "run", "observables", "history", "expert", "interlocks", "ecc CoBo3", "router data3")
TEXTS = ("14 MeV, target 2", "Größe ä", "α-Quelle, 5 µm", "good 😀", "漢字", " 'quotes' \\ \"too\"", "")  # noqa: RUF001
FIRST_RULES_SECONDS = 60.0
"""Jython, which carries out the rules, starts once in a process, in about 14 s on a fast machine."""

ECC, ROUTER = "ECC:CoBo3:", "Router:data3:"
MANUAL = ("target_gas", "beam", "energy", "e_drift", "e_trans", "get_frequency")
AUTO = ("Enable", "RunMinutes", "RunGB", "Runs", "PauseSeconds", "Plan")
ALWAYS = {
    "main": ("Run:Title", "Run:Class", "Log:Clear", *(f"Auto:{name}" for name in AUTO)),
    "run": ("Run:Title", "Run:Class", *(f"Obs:{name}:Entry" for name in MANUAL)),
    "history": ("Log:Clear",),
    "expert": ("IOC:Reload",),
    "ecc CoBo3": (f"{ECC}RefreshConfigs", f"{ECC}RefreshLog"),
    "router data3": (f"{ROUTER}RefreshLog",),
}
"""What can be operated on a page while the IOC answers, without the prefix."""
ENABLED: dict[str, dict[str, tuple[str, ...]]] = {
    "idle": {
        "main": ("Describe",),
        "expert": ("Experiment",),
        "ecc CoBo3": tuple(ECC + name for name in ("Config", "ConfigIndex", "Describe")),
    },
    "ready": {
        "main": ("Reset", "Run:Start"),
        "ecc CoBo3": tuple(ECC + name for name in ("Config", "ConfigIndex", "Start", "Breakup", "Reset")),
    },
    "running": {
        "main": ("Run:Stop", "Run:Pause"),
        "run": ("Run:Quality", "Run:Comment"),
        "ecc CoBo3": tuple(ECC + name for name in ("Stop", "Pause", "Breakup", "Reset")),
    },
}
"""What can be operated besides in each situation: nothing of this where it makes no sense."""


def picture(phoebus: DisplayRuntime, pictures: Path, situation: str, *, connected: bool = True) -> None:
    """Show the pages that differ and keep a picture of each."""
    for name in PICTURED:
        (phoebus.show if connected else phoebus.open)(PAGES[name])
        time.sleep(2)
        phoebus.do("shot", str(pictures / f"{name.replace(' ', '-')}-{situation}.png"))


def enabled_on(page: str, situation: str) -> set[str]:
    """Return the PVs of all controls that can be operated on a page; `situation` as in `ENABLED`."""
    return {PREFIX + pv for pv in (*ALWAYS.get(page, ()), *ENABLED[situation].get(page, ()))}


def test_model(phoebus: DisplayRuntime) -> None:
    """Phoebus reads every display and class file, with the macros it is shown with, as it was meant."""
    for page in SCREENS.pages:
        phoebus.do("check", str(OPI / page.file), *(f"{name}={value}" for name, value in page.macros))
    for file in OPI.glob("*.bcf"):
        phoebus.do("check", str(file))


@pytest.mark.parametrize("page", sorted(EDITED.glob("*.b[oc][bf]")), ids=lambda page: page.name)
def test_saved_by_the_editor(phoebus: DisplayRuntime, tmp_path: Path, page: Path) -> None:
    """Phoebus' editor opens a page and saves it as it is, so that a change shows as what was changed and no more."""
    phoebus.do("save", str(page), str(tmp_path / page.name))
    assert (tmp_path / page.name).read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_nothing_can_be_operated_before_its_rule(phoebus: DisplayRuntime, detector: Detector) -> None:
    """From the moment a page opens, while Jython starts, too, only what makes sense is ever enabled."""
    detector.idle()
    phoebus.open(PAGES["main"])
    assert phoebus.enabled() == set(), "Jython was started by an earlier test"
    expected = enabled_on("main", "idle")

    def all_enabled() -> bool:
        enabled = phoebus.enabled()
        assert enabled <= expected
        return enabled == expected

    until(all_enabled, FIRST_RULES_SECONDS, "the rules of the main screen")


def test_before_the_first_run(phoebus: DisplayRuntime, detector: Detector) -> None:
    """There is no run yet, and manual values are not set: words say so, in place of numbers."""
    for page in ("main", "history"):
        phoebus.show(PAGES[page])
        until(lambda: "no run yet" in phoebus.visible(), 10, f"{page} says that there is no run yet")
        assert PREFIX + "Run:Number" not in phoebus.visible()
    for page in ("main", "observables", "run"):
        phoebus.show(PAGES[page])
        until(lambda: "not set" in phoebus.visible(), 10, f"{page} says which values are not set")
    phoebus.show(PAGES["main"])
    until(lambda: PREFIX + "Obs:energy:Value" not in phoebus.visible(), 10, "no NaN on the main screen")
    assert PREFIX + "Obs:pressure:Value" in phoebus.visible()


@pytest.mark.parametrize("name", PAGES)
def test_page(phoebus: DisplayRuntime, detector: Detector, name: str) -> None:
    """The page is shown, and all its PVs connect, without a warning."""
    phoebus.show(PAGES[name])


def test_button(phoebus: DisplayRuntime, detector: Detector) -> None:
    """A button asks, and its command is carried out; then the next step can be pressed."""
    detector.idle()
    phoebus.show(PAGES["main"])
    until(lambda: PREFIX + "Describe" in phoebus.enabled(), 10, "Describe can be pressed")
    phoebus.do("press", "Describe")
    until(lambda: detector.text("State") == "Described", 60, "Described")
    until(lambda: PREFIX + "Prepare" in phoebus.enabled(), 10, "Prepare can be pressed")
    assert PREFIX + "Describe" not in phoebus.enabled()


@pytest.mark.parametrize("pv", ["Run:Title", "Obs:target_gas:Entry"])
def test_typed_on_the_run_sheet(phoebus: DisplayRuntime, detector: Detector, pv: str) -> None:
    """Whatever is typed arrives, and is shown as it is read back."""
    phoebus.show(PAGES["run"])
    for text in TEXTS:
        typed(phoebus, detector, pv, text)


def test_typed_on_the_main_screen(phoebus: DisplayRuntime, detector: Detector) -> None:
    phoebus.show(PAGES["main"])
    for text in ("test, 5 µm 😀", ""):
        typed(phoebus, detector, "Run:Title", text)


def test_typed_experiment(phoebus: DisplayRuntime, detector: Detector) -> None:
    detector.idle()
    phoebus.show(PAGES["expert"])
    for text in ("e20009", "Ωä😀", "before"):
        typed(phoebus, detector, "Experiment", text)
    refused(phoebus, detector, "Experiment", "a/b", "Message")
    refused(phoebus, detector, "Experiment", "", "Message")
    typed(phoebus, detector, "Experiment", "e20009")


def test_typed_configuration(phoebus: DisplayRuntime, detector: Detector) -> None:
    detector.idle()
    phoebus.show(PAGES["ecc CoBo3"])
    for text in ("sim/pulser/sim", "sim/sim/sim"):
        typed(phoebus, detector, "ECC:CoBo3:Config", text)
    refused(phoebus, detector, "ECC:CoBo3:Config", "sim/ä/sim", "ECC:CoBo3:Message")
    refused(phoebus, detector, "ECC:CoBo3:Config", "", "ECC:CoBo3:Message")


def test_chosen_configuration(phoebus: DisplayRuntime, detector: Detector) -> None:
    """A configuration is marked in the list of the server and used: no name is typed."""
    detector.idle()
    detector.put("ECC:CoBo3:Config", "sim/sim/sim")
    phoebus.show(PAGES["ecc CoBo3"])
    until(lambda: PREFIX + "ECC:CoBo3:ConfigIndex" in phoebus.enabled(), 10, "a configuration can be chosen")
    for row, name in enumerate(detector.text("ECC:CoBo3:ConfigList").splitlines()):
        phoebus.do("mark", "Available configurations", str(row))
        phoebus.do("press", "Use the marked one")
        until(lambda: detector.text("ECC:CoBo3:Config") == name, 10, f"{name} is selected")  # noqa: B023


def test_refused_text(phoebus: DisplayRuntime, detector: Detector) -> None:
    """A refusal leaves what was, which Phoebus shows again; the next text is taken."""
    phoebus.show(PAGES["run"])
    for pv, message in (("Run:Title", "Run:Message"), ("Obs:target_gas:Entry", "Obs:target_gas:Message")):
        typed(phoebus, detector, pv, "before")
        refused(phoebus, detector, pv, "x" * 300, message)
        typed(phoebus, detector, pv, "after")


def typed(phoebus: DisplayRuntime, detector: Detector, pv: str, text: str) -> None:
    """Type a text: the IOC has it, and Phoebus shows it."""
    phoebus.type(PREFIX + pv, text)
    until(lambda: detector.text(pv) == text, 10, f"{pv} is {text!r}")
    until(lambda: phoebus.shown(PREFIX + pv) == text, 10, f"Phoebus shows {text!r}")


def refused(phoebus: DisplayRuntime, detector: Detector, pv: str, text: str, message: str) -> None:
    """Type a text: `message` says why not, and IOC and Phoebus keep what was."""
    before, said = detector.text(pv), detector.text(message)
    phoebus.type(PREFIX + pv, text)
    until(lambda: detector.text(message) != said, 10, f"{message} says why")
    assert PREFIX + message in phoebus.visible(), f"{message} is not on the page on which {pv} is typed"
    until(lambda: phoebus.shown(PREFIX + pv) == before, 10, f"Phoebus shows {before!r}")
    assert detector.text(pv) == before


@pytest.mark.parametrize("situation", ["idle", "ready", "running"])
def test_situation(phoebus: DisplayRuntime, detector: Detector, pictures: Path, situation: str) -> None:
    """Only what makes sense can be operated; nothing is logged, and there are pictures."""
    getattr(detector, situation)()
    detector.put("Run:Title", "alpha source, 370 Torr")
    detector.put("Obs:target_gas:Value.VAL$", "He + 10 % CO2")
    for page in ALWAYS:
        phoebus.show(PAGES[page])
        expected = enabled_on(page, situation)
        with contextlib.suppress(AmissError):
            until(lambda: phoebus.enabled() == expected, 10, "")  # noqa: B023
        assert phoebus.enabled() == expected, page
    picture(phoebus, pictures, situation)


def test_router_in_a_run(phoebus: DisplayRuntime, detector: Detector) -> None:
    """What is normal has a normal word."""
    detector.running()
    until(lambda: detector.text("Router:data3:Staging") == "Writing", 30, "Writing")
    phoebus.show(PAGES["main"])
    assert PREFIX + "Router:data3:Clean" not in phoebus.visible()


def test_one_server_gone(phoebus: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    """Its own page offers nothing but its log."""
    detector.fail("CoBo3")
    phoebus.show(PAGES["ecc CoBo3"])
    until(lambda: phoebus.enabled() == {PREFIX + ECC + "RefreshLog"}, 30, "nothing else can be operated")
    picture(phoebus, pictures, "failed")


def test_ioc_gone(runtime: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    """The last test: nothing looks connected that is not, and nothing can be operated, also where it could before."""
    runtime.show(PAGES["main"])
    until(runtime.enabled, 10, "something can be operated")
    detector.end()
    until(lambda: runtime.enabled() == set(), 10, "nothing can be operated")
    for page in ALWAYS:
        runtime.open(PAGES[page])
        time.sleep(2)
        assert runtime.enabled() == set(), page
    picture(runtime, pictures, "gone", connected=False)
    assert [pv for pv in runtime.do("connected") if not pv.startswith("sim://")] == []
    assert runtime.do("disconnected")
