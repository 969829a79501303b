"""How to install what a command needs besides; attpc-ioc itself is not on PyPI, so its extras have no name there."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires


def how_to_install(extra: str) -> str:
    """A command for the shell that installs the requirements of an extra for this Python."""
    packages = _requirements(extra) or [extra]
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *packages])


def _requirements(extra: str) -> list[str]:
    """As pyproject.toml has them, and the wheel in its metadata; none where nothing is installed."""
    try:
        found = requires("attpc-ioc") or []
    except PackageNotFoundError:
        return []
    pairs = [requirement.partition(";") for requirement in found]
    return [package.strip() for package, _, marker in pairs if f"extra == '{extra}'" in marker.replace('"', "'")]
