"""What the demo simulates for a topology."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.app.demo import example_in, site_plan
from ioc.errors import PeerError
from ioc.topology.load import load

EXAMPLE = Path(__file__).parents[2] / "topology.yaml"


@pytest.fixture
def topology_file(tmp_path: Path) -> Path:
    """The example with one more interlock and an observable from PVAccess."""
    text = EXAMPLE.read_text()
    text = text.replace("interlocks:\n", 'interlocks:\n  - {name: beam, pv: "BEAM:Current", low: 1.0, action: hold}\n')
    text = text.replace('pv: "GAS:P1:Pressure"', 'pv: "pva://GAS:P1/pressure"')
    file = tmp_path / "topology.yaml"
    file.write_text(text)
    return file


def test_slow_controls(topology_file: Path, tmp_path: Path) -> None:
    """They serve the sources of observables, whatever the protocol, and of interlocks, inside their limits."""
    served = {each.pv: each for each in site_plan(load(topology_file), tmp_path, speed=1.0).observables}
    assert "GAS:P1" in served
    assert served["BEAM:Current"].low == 1.0


def test_the_example_may_be_changed(tmp_path: Path) -> None:
    """The demo without a topology has a copy of the example in its directory, and keeps what was changed there."""
    file = example_in(tmp_path / "demo")
    assert file.read_bytes() == EXAMPLE.read_bytes()
    file.write_text("changed")
    assert example_in(tmp_path / "demo").read_text() == "changed"
    (tmp_path / "file").touch()
    with pytest.raises(PeerError, match="cannot be created"):
        example_in(tmp_path / "file")
