"""A detector with all that the example leaves out and that changes its screens: topology and screens."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.phoebus.pages import ROOT

PREFIX = "EXTRA:"
PARTNER, LOGBOOK = "FRIBDAQ", "shift"


def write_topology(folder: Path) -> Path:
    """Write the example with a partner, units and a logbook, and return the file."""
    example = yaml.safe_load((ROOT / "topology.yaml").read_text(encoding="utf-8"))
    extra = {
        **example,
        "prefix": PREFIX,
        "pva": False,
        "units": "systemd",
        "partners": [{"name": PARTNER, "host": "127.0.0.1"}],
        "logbook": [{"name": LOGBOOK, "kind": "markdown", "file": f"{LOGBOOK}.md"}],
    }
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(extra, allow_unicode=True), encoding="utf-8")
    return file
