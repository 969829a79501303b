"""Which PVs an observable may follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.app.listing import describe_pvs
from ioc.topology.load import load, parse
from ioc.topology.names import channel_of, is_own
from tests.topology.test_topology_load import EXAMPLE, GOOD, problems_of


def following(pv: str) -> str:
    return GOOD.replace('pv: "GAS:P"', f"pv: '{pv}'")


@pytest.mark.parametrize(
    ("written", "followed"),
    [
        ("GAS:P", "GAS:P"),
        ("ca://GAS:P", "GAS:P"),
        ("CA://GAS:P.VAL", "GAS:P.VAL"),
        ("ca:P", "ca:P"),
        ("pva:P", "pva:P"),
        ("T:GAS:P", "T:GAS:P"),  # another IOC may have names that begin as ours
        ("T:Statement", "T:Statement"),
        ("XT:State", "XT:State"),
        ("t:State", "t:State"),
        ("ca://" + "P" * 60, "P" * 60),
        ("pva://GAS:P", "pva://GAS:P"),
        ("PVA://GAS:P/value", "pva://GAS:P/value"),
        ("pva://GAS:P/gas/pressure", "pva://GAS:P/gas/pressure"),
    ],
)
def test_what_is_followed(written: str, followed: str) -> None:
    """ca:// is Channel Access and pva:// PVAccess, as in Phoebus; every other name is itself."""
    assert parse(following(written), "t.yaml").observables[0].pv == followed


@pytest.mark.parametrize(
    ("pv", "message"),
    [
        ("pva://GAS:P/", "'pva://GAS:P/', but must be a PV and a field of its structure"),
        ("pva://GAS:P/a.b", "but must be a PV and a field of its structure, as pva://NAME/field"),
        ("pva:///value", "must be a PV name of 1 to 60 characters without spaces"),
        ("loc://x(3)", "but must be a PV with ca://, pva:// or nothing before its name, not loc://"),
        ("sim://sine", "not sim://"),
        ("ca:/GAS:P", "'ca:/GAS:P', but must be a PV with two slashes after ca: or pva:"),
        ("PVA:/GAS:P", "'PVA:/GAS:P', but must be a PV with two slashes after ca: or pva:"),
        ("http://host/P", "not http://"),
        ("ca://ca://P", "must be a PV with ca://, pva:// or nothing before its name"),
        ("ca://pva://P", "must be a PV with ca://, pva:// or nothing before its name"),
        ("ca://", "must be a PV name of 1 to 60 characters without spaces"),
        ("ca://GAS P", "must be a PV name of 1 to 60 characters without spaces"),
        ("", "must be a PV name of 1 to 60 characters without spaces"),
        ("ca://" + "P" * 61, "must be a PV name of 1 to 60 characters without spaces"),
        *(
            (f"{scheme}T:{name}{field}", "which this IOC serves itself, but must be a PV of another IOC")
            for scheme in ("", "ca://", "pva://")
            for name in ("Obs:pressure:Value", "State", "ECC:CoBo0:State", "Run:Duration", "IOC:Heartbeat", "Message")
            for field in ("", ".VAL", ".SEVR")
        ),
    ],
)
def test_what_is_refused(pv: str, message: str) -> None:
    """Other schemes, and PVs of the IOC itself, are refused in the line of the key."""
    [(line, text)] = problems_of(following(pv))
    assert line == 23
    assert text.startswith("observables[0].pv is ")
    assert message in text


def test_the_prefix_of_the_file_counts() -> None:
    """What is ours depends on the prefix, the default one included."""
    assert problems_of(following("U:State").replace('prefix: "T:"', "prefix: 'U:'"))
    assert problems_of(following("ATTPC:State").replace('prefix: "T:"\n', ""))
    assert parse(following("T:State").replace('prefix: "T:"', "prefix: 'U:'"), "t.yaml")


@given(st.text(alphabet="cavp:/T.x ", max_size=12))
def test_a_name_that_is_followed_has_no_scheme(name: str) -> None:
    """Whatever stands there, neither client is asked for a name with a scheme."""
    try:
        channel = channel_of(name)
    except ValueError:
        return
    channel = channel.removeprefix("pva://")
    assert name.endswith(channel)
    assert not channel.lower().startswith(("ca://", "pva://"))


def test_every_pv_that_is_served_is_known_as_our_own() -> None:
    """The list of our own names, which the topology cannot ask the IOC for, has every PV of the IOC."""
    topology = load(EXAMPLE)
    assert [pv.name for pv in describe_pvs(topology) if not is_own(pv.name, topology.prefix)] == []
