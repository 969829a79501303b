"""A run plan is read as it is written, or refused with everything that is wrong in it, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.errors import ConfigurationError
from ioc.model import PlannedRun, RunClass, Wait, Window
from ioc.topology.run_plan import load_plan, parse_plan
from ioc.topology.schema import Observable

OBSERVABLES = tuple(
    Observable.model_validate(each)
    for each in (
        {"name": "pressure", "pv": "GAS:P", "units": "Torr"},
        {"name": "valve", "pv": "GAS:V", "type": "enum"},
        {"name": "gas", "type": "string"},
        {"name": "energy", "type": "float"},
        {"name": "shots", "type": "integer"},
    )
)

GOOD = """\
# a night
- title: "alpha {n}"
  class: Pulser
  minutes: 30
  manual: {gas: P10, energy: "12.5", shots: 3}
- gb: 20
  minutes: 0.5
  wait_for:
    - {observable: pressure, low: 350, high: 420}
    - observable: valve
      allowed: [Open, 2]
"""


def test_a_plan_is_read() -> None:
    """Every key; what is not given is left open; a number in quotes fits a number."""
    assert parse_plan(GOOD, "night.yaml", OBSERVABLES) == (
        PlannedRun("alpha {n}", RunClass.Pulser, 30, 0, (("gas", "P10"), ("energy", 12.5), ("shots", 3))),
        PlannedRun(
            None,
            None,
            0.5,
            20,
            wait_for=(
                Wait("pressure", Window(350, 420), "Torr"),
                Wait("valve", Window(allowed=("Open", 2))),
            ),
        ),
    )


# (a plan, line, text)
WRONG = [
    ("", 1, "is empty, but must be a list of runs (- title: …)"),
    ("[]", 1, "is empty, but must be a list of runs (- title: …)"),
    ("minutes: 3", 1, "is a mapping, but must be a list of runs (- title: …)"),
    ("- 4", 1, "run 1: is 4, but must be a mapping (key: value)"),
    ("- title: a", 1, "run 1: has neither minutes nor gb, but must have at least one"),
    ("- minutes: 1\n- minutes: 0", 2, "run 2: minutes is 0, but must be a finite number, more than 0"),
    ("- gb: -1", 1, "run 1: gb is -1, but must be a finite number, more than 0"),
    ("- gb: .nan", 1, "run 1: gb is .nan, but must be a finite number, more than 0"),
    ("- gb: many", 1, "run 1: gb is 'many', but must be a number such as 10, 0.5 or 1e-3"),
    ("- gb: 1\n  titel: a", 2, "run 1: titel is not a known key; did you mean 'title'?"),
    ("- gb: 1\n  run_class: Beam", 2, "run 1: run_class is not a known key; did you mean 'class'?"),
    ("- gb: 1\n  title: 5", 2, "run 1: title is 5, but must be text (put it in quotes)"),
    (
        '- gb: 1\n  title: "a\\nb"',
        2,
        "run 1: title is 'a\\nb', but must be one line of printable text of at most 200 bytes",
    ),
    (
        "- gb: 1\n  class: Bean",
        2,
        "run 1: class is 'Bean', but must be one of Testing, Production, Beam, Pulser, Junk",
    ),
    (
        "- gb: 1\n  manual:\n    gaz: P10",
        3,
        "run 1: manual.gaz is no manual observable; did you mean 'gas'?",
    ),
    (
        "- gb: 1\n  manual:\n    pressure: 3",
        3,
        "run 1: observable pressure follows the PV GAS:P: only a manual observable can be set",
    ),
    ("- gb: 1\n  manual: {energy: warm}", 2, "run 1: observable energy got 'warm', but must be a finite number"),
    (
        "- gb: 1\n  wait_for:\n    - {observable: presure, low: 1}",
        3,
        "run 1: wait_for[0].observable is 'presure', which does not exist; did you mean 'pressure'?",
    ),
    (
        "- gb: 1\n  wait_for:\n    - {observable: pressure, low: 3, high: 1}",
        3,
        "run 1: wait_for[0].low is 3, but must be at most high (1)",
    ),
    (
        "- gb: 1\n  wait_for:\n    - {observable: pressure}",
        3,
        "run 1: wait_for[0] has no low, high or allowed, but must have at least one",
    ),
    (
        "- gb: 1\n  wait_for:\n    - {observable: valve, allowed: [Open], low: 1}",
        3,
        "run 1: wait_for[0] has allowed and low or high, but must have only one kind",
    ),
    (
        "- gb: 1\n  wait_for:\n    - {observable: gas, low: 1}",
        3,
        "run 1: wait_for[0] has low or high, but gas is a text: it must have allowed",
    ),
    (
        "- gb: 1\n  wait_for:\n    - {observable: pressure, lo: 1, high: 2}",
        3,
        "run 1: wait_for[0].lo is not a known key; did you mean 'low'?",
    ),
    ("- gb: 1\n  gb: 2", 2, "[0].gb is given twice (first in line 1), but must be given once"),
]


@pytest.mark.parametrize(("text", "line", "sentence"), WRONG)
def test_an_error_has_its_line_and_what_must_be(text: str, line: int, sentence: str) -> None:
    """Each kind of error alone is the only one that is reported."""
    with pytest.raises(ConfigurationError) as caught:
        parse_plan(text, "night.yaml", OBSERVABLES)
    assert [str(problem) for problem in caught.value.problems] == [f"night.yaml:{line}: {sentence}"]


def test_all_errors_are_reported_at_once() -> None:
    """In the order of their lines, whatever kind they are of."""
    text = "- gb: 0\n  class: Bean\n- title: a\n  manual: {gaz: 1}\n- wait_for: [{observable: x}]\n  gb: 1\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_plan(text, "night.yaml", OBSERVABLES)
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_an_error_like_the_others(name: str, tmp_path: Path) -> None:
    """A missing file and a directory are named."""
    with pytest.raises(ConfigurationError, match=r"does not exist|cannot be read"):
        load_plan(str(tmp_path / name), OBSERVABLES)
