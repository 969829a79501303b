"""What the tests of the PVs share."""

from __future__ import annotations

import pytest

from tests.pvs.panel import Panel


@pytest.fixture
def panel() -> Panel:
    """PVs before anything happened; the engine is driven by events alone."""
    return Panel()
