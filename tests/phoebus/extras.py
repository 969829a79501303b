"""A detector with all that the example leaves out and that changes its screens: its topology."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.phoebus.pages import ROOT

PREFIX = "EXTRA:"
PARTNER, LOGBOOK = "FRIBDAQ", "shift"
HOLD = "hold"
"""While the folder has a file of this name, a start waits for its hook."""


def write_topology(folder: Path) -> Path:
    """Write the example with a partner, units, a hook and a logbook, and return the file."""
    waiting = f"while [ -e {folder / HOLD} ]; do sleep 0.1; done"
    example = yaml.safe_load((ROOT / "topology.yaml").read_text(encoding="utf-8"))
    extra = {
        **example,
        "prefix": PREFIX,
        "pva": False,
        "units": "systemd",
        "partners": [{"name": PARTNER, "host": "127.0.0.1"}],
        "hooks": {"before_start": [{"name": "hv", "run": ["sh", "-c", waiting], "timeout": 600}]},
        "logbook": [{"name": LOGBOOK, "kind": "markdown", "file": f"{LOGBOOK}.md"}],
    }
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(extra, allow_unicode=True), encoding="utf-8")
    return file
