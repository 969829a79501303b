"""Installations whose screens are checked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from screens_reader import Screens

from ioc.app.listing import PvDescription, describe_pvs
from ioc.screens import screen_files
from ioc.topology.load import parse
from ioc.topology.schema import Topology

ROOT = Path(__file__).resolve().parents[2]


@cache
def installation(name: str) -> Topology:
    """Return the topology at the root, or one made up: so many servers, another prefix, no observables."""
    if name == "example":
        return parse((ROOT / "topology.yaml").read_text(encoding="utf-8"), "topology.yaml")
    return parse(yaml.safe_dump(_made_up(int(name))), name)


def _made_up(servers: int) -> dict[str, Any]:
    names = [f"CoBo{i:03d}" if i else "A-name-of-thirty-characters-30" for i in range(servers)]
    observables: list[dict[str, Any]] = [
        {"name": f"o{i}", "label": f"Quantity {i} of $(weird) <&>", "pv": f"X:{i}", "units": f"u{i % 7}"}
        for i in range(servers // 2)
    ]
    observables += [{"name": f"m{i}", "type": "string"} for i in range(servers // 2)]
    return {
        "prefix": "A:",
        "experiment": "e",
        "units": "systemd",
        "ecc_servers": [
            {"name": name, "role": "cobo", "host": "127.0.0.1", "port": 8000 + i} for i, name in enumerate(names)
        ],
        "data_routers": [{"name": name, "host": "127.0.0.1", "port": 9000 + i} for i, name in enumerate(names)],
        "data_sources": [
            {"id": f"CoBo[{i}]", "ecc_server": name, "data_routers": [name]} for i, name in enumerate(names)
        ],
        "observables": observables,
        "partners": [{"name": name, "host": "127.0.0.1", "port": 7000 + i} for i, name in enumerate(names[:2])],
        "logbook": [{"name": "shift", "kind": "markdown", "file": "shift.md"}],
    }


@pytest.fixture(params=["example", "1", "100"], scope="session")
def topology(request: pytest.FixtureRequest) -> Topology:
    return installation(request.param)


@pytest.fixture(scope="session")
def files(topology: Topology) -> dict[str, str]:
    return screen_files(topology)


@pytest.fixture(scope="session")
def screens(files: dict[str, str]) -> Screens:
    return Screens(files)


@pytest.fixture(scope="session")
def served(topology: Topology) -> dict[str, PvDescription]:
    """Return every PV of the IOC of the same topology, by name; a string is a text, too, as the field ``.VAL$``."""
    pvs = {pv.name: pv for pv in describe_pvs(topology)}
    texts = {f"{pv.name}.VAL$": replace(pv, type="text") for pv in pvs.values() if pv.type == "string"}
    return pvs | texts
