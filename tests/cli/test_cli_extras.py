"""The hints how to install what is missing can be followed."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ioc.cli.extras import how_to_install

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["plot", "parquet", "browse", "web"])
def test_the_hint_is_a_command_that_works(extra: str) -> None:
    """It runs the Python that runs us, and names packages of PyPI; here, where all are installed, it finds them so."""
    words = shlex.split(how_to_install(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert "attpc" not in " ".join(words[4:])
    assert len(words[4:]) == len(EXTRAS[extra])
    done = subprocess.run([*words, "--no-index"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "already satisfied" in done.stdout


def test_nobody_is_told_to_install_attpc_ioc_from_pypi() -> None:
    """It is not there: no page and no message names it as a package."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "ioc").rglob("*.py")]
    assert [
        file.name for file in files if "install attpc-ioc" in file.read_text() or "attpc-ioc[" in file.read_text()
    ] == []
