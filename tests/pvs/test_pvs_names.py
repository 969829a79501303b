"""Every PV follows the rules of names and descriptions, whatever the components are called."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from ioc.app.listing import PvDescription, describe_pvs
from ioc.model import LinkType, Role
from ioc.topology.checks import LONGEST_PV, PV_NAME_LENGTH
from ioc.topology.load import load
from ioc.topology.schema import DataRouter, DataSource, Destination, EccServer, Observable, Partner, Topology

EXAMPLE = Path(__file__).parents[2] / "topology.yaml"
KINDS = {
    "ecc_servers": "ECC",
    "data_routers": "Router",
    "observables": "Obs",
    "partners": "Partner",
    "archive": "Archive",
}


def longest() -> Topology:
    """The longest legal prefix and, for each kind of component, the longest name that the checks allow with it."""
    prefix = "P" * 19 + ":"

    def name(section: str) -> str:
        return "n" * min(30, PV_NAME_LENGTH - len(prefix + LONGEST_PV[section].format("")))

    return Topology(
        prefix=prefix,
        experiment="e",
        ecc_servers=(EccServer(name=name("ecc_servers"), role=Role.CoBo, host="h"),),
        data_routers=(DataRouter(name=name("data_routers"), host="h", type=LinkType.TCP),),
        data_sources=(DataSource(id="CoBo[0]", ecc_server=name("ecc_servers"), data_routers=(name("data_routers"),)),),
        observables=(
            Observable.model_validate({"name": name("observables"), "label": "µ" * 40, "units": "MeV/u", "pv": "X"}),
        ),
        partners=(Partner(name=name("partners"), host="h"),),
        archive=(Destination(name=name("archive"), directory="/a"),),
    )


@pytest.mark.parametrize("topology", [load(EXAMPLE), longest()], ids=["example", "longest"])
def test_names_descriptions_and_states_are_legal(topology: Topology) -> None:
    """Names: allowed characters, under 60, unique whatever the case; descriptions of 1 to 40 bytes, units of 8."""
    pvs = describe_pvs(topology)
    assert [pv.name for pv in pvs if not re.fullmatch(r"[A-Za-z0-9_:-]{1,59}", pv.name)] == []
    assert [name for name, count in Counter(pv.name.lower() for pv in pvs).items() if count > 1] == []
    assert [pv.name for pv in pvs if not 1 <= len(pv.description.encode()) <= 40] == []
    assert [pv.name for pv in pvs if len(pv.units.encode()) > 8] == []
    assert [pv.name for pv in pvs if any(not 1 <= len(state.encode()) < 26 for state in pv.states)] == []
    assert all(pv.name.startswith(topology.prefix) for pv in pvs)


@pytest.mark.parametrize("section", KINDS)
def test_the_checks_know_the_longest_pv_of_each_component(section: str) -> None:
    """LONGEST_PV, by which the topology refuses names, is the longest PV that the IOC really serves."""
    pvs = describe_pvs(longest())
    served = [
        re.sub(r":n+:", ":{}:", pv.name.removeprefix(longest().prefix))
        for pv in pvs
        if pv.name.startswith(f"{longest().prefix}{KINDS[section]}:")
    ]
    assert LONGEST_PV[section] in served
    assert max(map(len, served)) == len(LONGEST_PV[section])


def _units(pvs: tuple[PvDescription, ...]) -> dict[str, str]:
    return {pv.name: pv.units for pv in pvs if pv.units}


def test_numbers_with_a_unit_say_it() -> None:
    """Seconds, sizes, rates and percents have units; so have the value and the statistics of an observable."""
    units = _units(describe_pvs(load(EXAMPLE)))
    expected = {
        "ATTPC:Run:Duration": "s",
        "ATTPC:IOC:UptimeSeconds": "s",
        "ATTPC:IOC:CPUPercent": "%",
        "ATTPC:IOC:MemoryMB": "MB",
        "ATTPC:Router:data0:StagedMB": "MB",
        "ATTPC:Router:data0:RateMBps": "MB/s",
        "ATTPC:Router:data0:DiskFreeGB": "GB",
        "ATTPC:Router:data0:DiskUsedPercent": "%",
        **{f"ATTPC:Obs:pressure:{pv}": "Torr" for pv in ("Value", "RunMin", "RunMax", "RunMean")},
    }
    assert {name: units.get(name) for name in expected} == expected
