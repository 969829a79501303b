"""The screens in Phoebus' own display runtime, in front of a simulated detector, through all that a shift meets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.phoebus.conftest import PREFIX, Detector
from tests.phoebus.display_runtime import OPI, SCREENS, DisplayRuntime, pages, until

pytestmark = pytest.mark.timeout(900)

PAGES = {" ".join((page.file.removesuffix(".bob"), *(value for _, value in page.macros))): page for page in pages()}
PICTURED = ("main", "run", "observables", "history", "expert", "ecc CoBo3", "router data3")
TEXTS = ("14 MeV, target 2", "Größe ä", "α-Quelle, 5 µm", "good 😀", "漢字", " 'quotes' \\ \"too\"", "")  # noqa: RUF001
FIRST_RULES_SECONDS = 60.0
"""Jython, which carries out the rules, starts once in a process, in about 14 s on a fast machine."""


def picture(phoebus: DisplayRuntime, pictures: Path, situation: str, *, connected: bool = True) -> None:
    """Show the pages that differ and keep a picture of each."""
    for name in PICTURED:
        (phoebus.show if connected else phoebus.open)(PAGES[name])
        time.sleep(2)
        phoebus.do("shot", str(pictures / f"{name.replace(' ', '-')}-{situation}.png"))


def test_model(phoebus: DisplayRuntime) -> None:
    """Phoebus reads every display and class file, with the macros it is shown with, as it was meant."""
    for page in SCREENS.pages:
        phoebus.do("check", str(OPI / page.file), *(f"{name}={value}" for name, value in page.macros))
    for file in OPI.glob("*.bcf"):
        phoebus.do("check", str(file))


@pytest.mark.parametrize("name", PAGES)
def test_page(phoebus: DisplayRuntime, detector: Detector, name: str) -> None:
    """The page is shown, and all its PVs connect, without a warning."""
    phoebus.show(PAGES[name])


def test_buttons(phoebus: DisplayRuntime, detector: Detector) -> None:
    """Buttons that make no sense are disabled; one that does asks, and is carried out."""
    detector.idle()
    phoebus.show(PAGES["main"])
    until(
        lambda: phoebus.enabled("Describe") and not phoebus.enabled("Prepare"),
        FIRST_RULES_SECONDS,
        "only Describe makes sense",
    )
    phoebus.do("press", "Describe")
    until(lambda: detector.text("State") == "Described", 60, "Described")
    until(lambda: phoebus.enabled("Prepare") and not phoebus.enabled("Describe"), 10, "only Prepare makes sense")


@pytest.mark.parametrize("pv", ["Run:Title", "Obs:target_gas:Value.VAL$"])
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


def test_typed_configuration(phoebus: DisplayRuntime, detector: Detector) -> None:
    detector.idle()
    phoebus.show(PAGES["ecc CoBo3"])
    for text in ("sim/pulser/sim", "sim/sim/sim"):
        typed(phoebus, detector, "ECC:CoBo3:Config", text)
    refused(phoebus, detector, "ECC:CoBo3:Config", "sim/ä/sim", "ECC:CoBo3:Message")
    refused(phoebus, detector, "ECC:CoBo3:Config", "", "ECC:CoBo3:Message")


def test_refused_text(phoebus: DisplayRuntime, detector: Detector) -> None:
    """A refusal leaves what was, which Phoebus shows again; the next text is taken."""
    phoebus.show(PAGES["run"])
    for pv, message in (("Run:Title", "Run:Message"), ("Obs:target_gas:Value.VAL$", "Message")):
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
    until(lambda: phoebus.shown(PREFIX + pv) == before, 10, f"Phoebus shows {before!r}")
    assert detector.text(pv) == before


@pytest.mark.parametrize("situation", ["idle", "ready", "running"])
def test_situation(phoebus: DisplayRuntime, detector: Detector, pictures: Path, situation: str) -> None:
    """All is well: nothing is logged, and there are pictures."""
    getattr(detector, situation)()
    picture(phoebus, pictures, situation)


def test_one_server_gone(phoebus: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    detector.fail("CoBo3")
    picture(phoebus, pictures, "failed")


def test_ioc_gone(runtime: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    """The last test: nothing looks connected that is not."""
    detector.end()
    picture(runtime, pictures, "gone", connected=False)
    assert runtime.do("connected") == []
    assert runtime.do("disconnected")
