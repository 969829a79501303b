"""Partners in a topology: what is refused, and what is read."""

from __future__ import annotations

import pytest

from ioc.model import OnEnd
from ioc.topology.load import parse
from tests.topology.test_topology_load import GOOD, problems_of

USUAL = "name: aux, host: spdaq19, user: ana, order: after, on_end: stop, timeout: 20"

BROKEN = [
    # what is replaced, by what, part of the message
    ("name: aux, ", "", "partners[0] has no 'name', but must have one"),
    ("name: aux", "name: a b", "partners[0].name is 'a b', but must be 1 to 30 of A-Z"),
    ("host: spdaq19, ", "", "partners[0] has no 'host', but must have one"),
    ("host: spdaq19", "host: spdaq19, port: 0", "partners[0].port is 0, but must be 1 to 65535"),
    (
        "host: spdaq19",
        "host: spdaq19, port: 8000",
        "has port and user, but must have only port",
    ),
    ("user: ana", "user: ana b", "partners[0].user is 'ana b', but must be the name of an account"),
    ("order: after", "order: during", "partners[0].order is 'during', but must be before or after"),
    ("on_end: stop", "on_end: halt", "partners[0].on_end is 'halt', but must be alarm or stop"),
    ("timeout: 20", "timeout: 0", "partners[0].timeout is 0, but must be more than 0 and at most 86400 seconds"),
    ("timeout: 20", "timeouts: 20", "partners[0].timeouts is not a known key; did you mean 'timeout'?"),
]


def with_partners(*partners: str) -> str:
    return GOOD + "partners:\n" + "".join(f"  - {{{each}}}\n" for each in partners)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_each_fault_is_named_with_its_line(old: str, new: str, message: str) -> None:
    """A wrong partner is refused with its line, what is wrong and what it must be."""
    assert USUAL.count(old) == 1
    found = problems_of(with_partners(USUAL.replace(old, new)))
    assert any(at == 28 and message in text for at, text in found), found


def test_all_faults_are_reported_together() -> None:
    """A name twice and one ReadoutGUI twice are two errors; another user's ReadoutGUI on the host is another one."""
    found = problems_of(with_partners(USUAL, USUAL.replace("on_end: stop", "on_end: alarm")))
    assert sorted(text for _, text in found) == [
        "partners[1] is the same ReadoutGUI as partners[0], but must be another one: it accepts one connection",
        "partners[1].name is 'aux', but must be another name: partners[0] has it already",
    ]
    parse(with_partners(USUAL, "name: b, host: spdaq19, user: bob", "name: c, host: spdaq19, port: 1"), "t.yaml")


def test_defaults() -> None:
    """Name and host are enough."""
    [partner] = parse(with_partners("name: aux, host: spdaq19"), "t.yaml").partners
    assert (partner.port, partner.port_manager, partner.user) == (None, None, None)
    assert (partner.order, partner.on_end, partner.timeout) == ("before", OnEnd.Alarm, 30.0)
