"""Interlocks in a topology: what is refused, what is warned of, and what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.errors import ConfigurationError
from ioc.model import Action, ValueType
from ioc.topology.derived import watched_by, watched_pvs
from ioc.topology.load import examine, parse
from tests.topology.test_topology_load import GOOD, problems_of

USUAL = "name: p, observable: pressure, low: 5, high: 7, action: stop"

BROKEN = [
    # what is replaced, by what, part of the message
    ("low: 5", "low: five", "interlocks[0].low is 'five', but must be a number"),
    ("low: 5", "low: .nan", "interlocks[0].low is .nan, but must be a finite number"),
    ("low: 5", "low: '5'", "interlocks[0].low is '5', but must be a number without quotes"),
    ("low: 5", "low: 8", "interlocks[0].low is 8, but must be at most high (7)"),
    ("low: 5, high: 7, ", "", "interlocks[0] has no limit, but must have low, high, both, or allowed"),
    ("low: 5", "allowed: [5]", "interlocks[0] has allowed and high, but must have either"),
    ("low: 5, high: 7", "allowed: []", "interlocks[0].allowed is empty, but must have at least one entry"),
    ("low: 5, high: 7", "allowed: [true]", "allowed[0] is true, but must be a text or a number (quotes make"),
    ("low: 5, high: 7", "allowed: Open", "interlocks[0].allowed is 'Open', but must be a list"),
    ("observable: pressure", "observable: presure", "'presure', but must be one of observables; did you mean 'press"),
    ("observable: pressure, ", "", "has neither observable nor pv, but must have one of observable and pv"),
    ("observable: pressure", "observable: pressure, pv: X", "has pv and observable, but must have one of observable"),
    ("observable: pressure", "observable: target_gas", "compares the text target_gas with a number, but must have all"),
    ("observable: pressure", 'pv: "T:State"', "interlocks[0].pv is 'T:State', which this IOC serves itself"),
    ("observable: pressure", 'pv: "T:Interlock:q:State"', "which this IOC serves itself"),
    ("observable: pressure", "pv: loc://X", "must be a PV with ca://, pva:// or nothing before its name"),
    ("action: stop", "action: halt", "interlocks[0].action is 'halt', but must be alarm, block, hold or stop"),
    (", action: stop", "", "interlocks[0] has no 'action', but must have one"),
    ("action: stop", "action: stop, when: never", "interlocks[0].when is 'never', but must be always or run"),
    ("action: stop", "action: stop, for_seconds: -1", "for_seconds is -1, but must be 0 to 3600 seconds"),
    ("action: stop", "action: stop, bypass_minutes: 0", "bypass_minutes is 0, but must be more than 0 and at most"),
    ("action: stop", "action: stop, clear_second: 5", "clear_second is not a known key; did you mean 'clear_seconds'?"),
    ("name: p,", "name: p q,", "interlocks[0].name is 'p q', but must be 1 to 30 of A-Z"),
    ("name: p,", "name: a2345678901234567890123456789,", ""),
]  # fmt: skip


def with_interlocks(*interlocks: str) -> str:
    return GOOD + "interlocks:\n" + "".join(f"  - {{{each}}}\n" for each in interlocks)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_each_fault_is_named_with_its_line(old: str, new: str, message: str) -> None:
    """A wrong interlock is refused with its line, what is wrong and what it must be."""
    assert USUAL.count(old) == 1
    text = with_interlocks(USUAL.replace(old, new))
    if not message:
        parse(text, "t.yaml")
        return
    found = problems_of(text)
    assert any(at == 28 and message in text for at, text in found), found


def test_all_faults_come_at_once() -> None:
    """Faults within and between interlocks are reported together."""
    found = problems_of(
        with_interlocks(
            USUAL.replace("low: 5", "low: 8").replace("action: stop", "action: halt"),
            "name: P, pv: X, action: alarm",
            "name: q, observable: nothing, low: x, action: alarm",
        )
    )
    parts = ["at most high", "'halt'", "differ from 'p'", "has no limit", "'nothing'", "low is 'x'"]
    assert all(any(part in text for _, text in found) for part in parts), found


def test_a_name_that_makes_a_pv_too_long_is_refused() -> None:
    """The longest PV of an interlock must stay under 60 characters."""
    long = GOOD.replace('prefix: "T:"', 'prefix: "TwentyCharacters:AB:"')
    with pytest.raises(ConfigurationError, match="Interlock:a2345678901234567890123456789:Message of 6"):
        parse(long + "interlocks: [{" + USUAL.replace("name: p", "name: a2345678901234567890123456789") + "}]\n", "t")


STRANGE = [
    ("action: stop", "action: hold", "action is 'hold', but should be block or stop, or every server have support"),
    ("action: stop", "action: block, when: run", "when is 'run', but should be always: no run is started"),
    ("observable: pressure", 'pv: "GAS:P"', "pv is 'GAS:P', but should be replaced by observable: pressure"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), STRANGE)
def test_what_is_hardly_meant_is_a_warning(tmp_path: Path, old: str, new: str, message: str) -> None:
    """`attpc-ioc check` warns of an action that has no effect, and of a PV that is an observable."""
    path = tmp_path / "t.yaml"
    path.write_text(with_interlocks(USUAL.replace(old, new)))
    assert [each.line for each in examine(path).warnings if message in each.text] == [28]


def test_a_slow_observable_is_a_warning(tmp_path: Path) -> None:
    """A rate limit that delays what an interlock sees is named; with enough patience it does no harm."""
    path = tmp_path / "t.yaml"
    slow = with_interlocks(USUAL).replace('"GAS:P", type: float', '"GAS:P", type: float, max_rate: 0.1')
    path.write_text(slow)
    assert any(
        "pressure has max_rate 0.1, so the interlock may see a change that late" in w.text
        for w in examine(path).warnings
    )
    path.write_text(slow.replace("action: stop", "action: stop, for_seconds: 10"))
    assert not [each for each in examine(path).warnings if "max_rate" in each.text]


def test_what_is_read() -> None:
    """Defaults, and the PVs that only interlocks follow."""
    topology = parse(
        with_interlocks(
            USUAL,
            "name: pressure, pv: 'ca://BEAM:I', low: 1, action: hold",
            "name: valve, pv: V, allowed: [Open, 3], action: block, when: run",
        ),
        "t.yaml",
    )
    p, beam, valve = topology.interlocks
    assert (p.action, p.when, p.for_seconds, p.clear_seconds, p.bypass_minutes) == (Action.Stop, "always", 2, 10, 30)
    assert valve.allowed == ("Open", 3)
    assert watched_by(p) == "pressure"
    assert watched_by(beam) == "Interlock:pressure", "not the observable of the same name"
    assert [(each.name, each.pv, each.type) for each in watched_pvs(topology)] == [
        ("Interlock:pressure", "BEAM:I", ValueType.Float),
        ("Interlock:valve", "V", ValueType.String),
    ]
