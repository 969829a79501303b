"""What the demo simulates for a topology."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.app.demo import example_in, on_this_machine, site_plan, with_partner
from ioc.errors import PeerError
from ioc.sim import PartnerAddress, PartnerPlan, SiteAddresses
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


def test_a_partner_is_added_or_simulated(tmp_path: Path) -> None:
    """The option adds one to a topology without partners; those of a topology are always simulated, with their user."""
    example = load(EXAMPLE)
    assert site_plan(example, tmp_path, speed=1.0).partners == ()
    [added] = with_partner(example).partners
    assert added.name == "FRIBDAQ"
    own = example.model_copy(update={"partners": (added.model_copy(update={"name": "aux", "port": 5, "user": "ana"}),)})
    assert with_partner(own) is own
    assert site_plan(own, tmp_path, speed=1.0).partners == (PartnerPlan("aux", "ana"),)


def test_a_simulated_partner_is_found_by_its_port_manager(tmp_path: Path) -> None:
    """The IOC of the demo asks the simulated port manager, also if the topology has a port."""
    topology = load(EXAMPLE)
    partner = with_partner(topology).partners[0].model_copy(update={"host": "spdaq19", "port": 5})
    topology = topology.model_copy(
        update={"partners": (partner,), "ecc_servers": (), "data_routers": (), "observables": (), "interlocks": ()}
    )
    addresses = SiteAddresses({}, {}, "", 0, 0, {"FRIBDAQ": PartnerAddress(6, 7)})
    [found] = on_this_machine(topology, addresses, tmp_path).partners
    assert (found.host, found.port, found.port_manager) == ("127.0.0.1", None, 7)
