"""Fixtures for all parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.epics import Epics


@pytest.fixture
def epics(monkeypatch: pytest.MonkeyPatch) -> Iterator[Epics]:
    """EPICS base's tools with ports of their own; this process has the same EPICS environment."""
    with Epics() as tools:
        for name, value in tools.env.items():
            monkeypatch.setenv(name, value)
        yield tools
