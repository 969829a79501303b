"""A stand-in for ``systemctl`` or ``launchctl``, first on the path of every script that is run on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.hosts.transport import ENVIRONMENT

_PROGRAM = """#!/bin/sh
printf '%s|' "$@" >>{log}; echo >>{log}
{script}
"""


class FakeManager:
    """Writes down its arguments, then runs `script`."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory / "fakes"
        self._directory.mkdir()
        self._log = directory / "calls"
        monkeypatch.setitem(ENVIRONMENT, "PATH", f"{self._directory}:{ENVIRONMENT['PATH']}")
        self.does("exit 0")

    def does(self, script: str) -> None:
        """What it does from now on."""
        for name in ("systemctl", "launchctl"):
            program = self._directory / name
            program.write_text(_PROGRAM.format(log=self._log, script=script))
            program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """Its arguments, one line for each call."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [" ".join(line.rstrip("|").split("|")) for line in lines]
