"""IOC:Reload in the demo: the file is read again, as `run` does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_cli_run import Ioc
from tests.epics import Epics

TOPOLOGY = """\
prefix: "D:"
experiment: e1
ecc_servers: [{name: CoBo0, role: cobo, host: 10.0.0.1}]
data_routers: [{name: data0, host: 10.0.0.1}]
data_sources: [{id: "CoBo[0]", ecc_server: CoBo0, data_routers: [data0]}]
polling: {ecc: 0.2, routers: 0.5}
observables:
  - {name: gas, type: string}
  - {name: pressure, pv: "GAS:P", units: Torr}
"""


class Demo:
    """A running demo, and its topology file."""

    def __init__(self, ioc: Ioc, epics: Epics, file: Path) -> None:
        self.ioc = ioc
        self.epics = epics
        self.file = file

    def get(self, pv: str) -> str:
        done = self.epics.caget("-t", "-S", pv)
        return done.stdout.strip() if done.returncode == 0 else ""

    def reload(self, text: str, prefix: str = "D:") -> bool:
        """Write the file and put to IOC:Reload; whether that succeeded."""
        self.file.write_text(text)
        return self.epics.caput("-c", f"{prefix}IOC:Reload", "1").returncode == 0

    def said(self, part: str) -> None:
        """Wait until the log has something."""
        self.ioc.until(lambda: any(part in line for line in self.ioc.lines()))


@pytest.fixture
def demo(epics: Epics, tmp_path: Path) -> Iterator[Demo]:
    """The command, its PVs served, its server Idle."""
    file = tmp_path / "topology.yaml"
    file.write_text(TOPOLOGY)
    ioc = Ioc(epics, tmp_path / "stderr")
    with contextlib.closing(ioc):
        ioc.start("demo", "--topology", file, "--directory", tmp_path / "demo", "--speed", "20")
        ioc.until_it_serves()
        running = Demo(ioc, epics, file)
        ioc.until(lambda: running.get("D:State") == "Idle")
        yield running
        ioc.signal(2)
        assert ioc.ends() == 0


def test_a_broken_file_is_refused_with_its_errors(demo: Demo) -> None:
    """The put fails, the log has every fault, everything stays as it is; a file that is gone is refused as well."""
    assert not demo.reload(TOPOLOGY.replace("port", "prt").replace("e1", "a/b").replace("gas, type", "gas, typ"))
    demo.said("topology not reloaded, nothing changed: ")
    for fault in (
        f"{demo.file}:2: experiment is 'a/b', but must be",
        f"{demo.file}:8: observables[0].typ is not",
    ):
        demo.said(fault)
    demo.file.unlink()
    assert demo.epics.caput("-c", "D:IOC:Reload", "1").returncode != 0
    demo.said("does not exist")
    assert demo.get("D:Experiment") == "e1"
    assert demo.reload(TOPOLOGY)
    demo.said("topology reloaded: nothing has changed")


def test_a_good_file_is_taken_over(demo: Demo) -> None:
    """Observables change at once, everything else by building the IOC anew in front of the same simulators."""
    assert demo.reload(f"{TOPOLOGY}  - {{name: energy, units: MeV}}\n  - {{name: flow, pv: 'GAS:F'}}\n")
    assert demo.get("D:Obs:energy:Value.EGU") == "MeV"
    assert demo.get("D:Obs:flow:Connected") != ""
    demo.said("GAS:F (float) is not simulated until the demo is restarted")
    assert demo.reload(TOPOLOGY.replace("10.0.0.1", "10.0.0.9")), "addresses do not matter: they are simulated"
    assert demo.epics.absent("D:Obs:energy:Value")
    assert demo.reload(TOPOLOGY.replace('"D:"', '"E:"').replace("e1", "e2"))
    demo.ioc.until(lambda: demo.get("E:State") == "Idle")
    assert demo.get("E:Experiment") == "e2"
    assert demo.epics.absent("D:State")
    demo.ioc.until(lambda: demo.get("E:Obs:pressure:Connected") == "Yes")
    assert demo.reload(TOPOLOGY, prefix="E:")
    demo.ioc.until(lambda: demo.get("D:State") == "Idle")


def test_other_parts_than_those_that_are_simulated_are_refused(demo: Demo) -> None:
    """A server or router that nobody simulates would stay Offline: it is refused, with what to do."""
    more = TOPOLOGY.replace("data_routers: [{", "data_routers: [{name: data1, host: 10.0.0.2}, {")
    assert not demo.reload(more.replace("[data0]", "[data0, data1]"))
    demo.said("the demo simulates the data_routers that it started with: restart it")
    assert demo.epics.absent("D:Router:data1:Online")
    assert demo.get("D:State") == "Idle"
