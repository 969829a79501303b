"""What the type checker must find."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_a_misspelt_field_of_the_state_is_rejected() -> None:
    """Every wrong change in typed_changes.py is an error for pyright, and no right one is."""
    command = [sys.executable, "-m", "pyright", "--project", ROOT, Path(__file__).with_name("typed_changes.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
