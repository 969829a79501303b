"""Fixtures of the laboratory; where the machine cannot have one, its tests are skipped and say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.network import why_not


@pytest.fixture(autouse=True, scope="session")
def _hosts_are_possible() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two hosts of the detector, all servers Idle."""
    with Lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """The same with all servers Ready and a start permitted."""
    lab.to_ready()
    return lab
