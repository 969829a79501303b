"""The page's server as a process, in front of a run database and perhaps an IOC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.e2e.plant import Plant
from tests.epics import Epics
from tests.rundb.conftest import database, store
from tests.web.serving import Web

__all__ = ["database", "store"]


@pytest.fixture
def topology(tmp_path: Path, database: Path) -> Path:
    """A topology for an IOC that does not run."""
    file = tmp_path / "topology.yaml"
    server = {
        "name": "CoBo0",
        "role": "cobo",
        "host": "localhost",
        "config": {"describe": "a", "prepare": "b", "configure": "c"},
    }
    source = {"id": "CoBo[0]", "ecc_server": "CoBo0", "data_routers": ["data0"]}
    content = {
        "prefix": "WEB:",
        "experiment": "e1",
        "database": str(database),
        "ssh": "local",
        "ecc_servers": [server],
        "data_routers": [{"name": "data0", "host": "localhost", "port": 46005, "type": "TCP"}],
        "data_sources": [source],
        "observables": [{"name": "pressure", "pv": "GAS:P", "units": "Torr"}, {"name": "gas", "type": "string"}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def start(topology: Path, epics: Epics) -> Iterator[Callable[..., Web]]:
    """Start servers of the page with these options; all end with the test."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Web(topology, epics, *options))


@pytest.fixture
async def plant(tmp_path: Path, epics: Epics) -> AsyncIterator[Plant]:
    """A real IOC in front of a simulated site."""
    limits = {"name": "gas", "observable": "pressure", "low": 0, "high": 1e6, "action": "alarm"}
    async with Plant(tmp_path, epics, interlocks=[limits]) as plant:
        yield plant


@pytest.fixture
def live(plant: Plant, epics: Epics) -> Iterator[Web]:
    """The page of that IOC."""
    with Web(plant.file, epics) as web:
        yield web
