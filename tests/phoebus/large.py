"""A detector of a hundred ECC servers and data routers, made from the example: its topology."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.phoebus.pages import ROOT

PREFIX = "LARGE:"
PARTS = 100
LOST = "CoBo41"
"""The ECC server that is killed."""


def write_topology(folder: Path) -> Path:
    """Write the example with so many servers and routers, and return the file."""
    example = yaml.safe_load((ROOT / "topology.yaml").read_text(encoding="utf-8"))
    names = [*(f"CoBo{i}" for i in range(PARTS - 1)), "MuTAnT"]
    large = {
        **example,
        "prefix": PREFIX,
        "pva": False,
        "ecc_servers": [
            {
                "name": name,
                "role": "mutant" if name == "MuTAnT" else "cobo",
                "host": "127.0.0.1",
                "port": 10_000 + i,
                "config": {"describe": name.lower()},
            }
            for i, name in enumerate(names)
        ],
        "data_routers": [{"name": f"data{i}", "host": "127.0.0.1", "port": 20_000 + i} for i in range(PARTS)],
        "data_sources": [
            {"id": f"CoBo[{i}]", "ecc_server": name, "data_routers": [f"data{i}"]} for i, name in enumerate(names)
        ],
    }
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(large, allow_unicode=True), encoding="utf-8")
    return file
