"""Libraries needed only by some commands. attpc-ioc is not on PyPI, so extras cannot be installed by name."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from ioc.errors import Refused


def required(module: str, extra: str, need: str) -> Any:
    """Import a module of an extra; `need` is the beginning of the error text, such as "browsing needs Datasette".

    Raises:
        Refused: it is not installed; the text says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise Refused(f"{need}: install it with  {how_to_install(extra)}") from error


def how_to_install(extra: str) -> str:
    """Return a shell command that installs the requirements of an extra for this Python."""
    try:
        pairs = [requirement.partition(";") for requirement in requires("attpc-ioc") or []]
    except PackageNotFoundError:
        pairs = []
    found = [package.strip() for package, _, marker in pairs if f"extra == '{extra}'" in marker.replace('"', "'")]
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *(found or [extra])])
