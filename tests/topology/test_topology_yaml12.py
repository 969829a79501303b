"""Scalars are what YAML 1.2 says: no number is silently another one."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.topology.document import read_document
from ioc.topology.load import parse
from tests.topology.test_topology_load import GOOD, problems_of

SCALARS: list[tuple[str, object]] = [
    # decimal, whatever the zeros in front
    ("46005", 46005), ("046005", 46005), ("0300", 300), ("08", 8), ("-012", -12), ("+5", 5), ("0", 0), ("00", 0),
    ("0o17", 15), ("0x1F", 31), ("0x1f", 31),
    ("1e3", 1000.0), ("1e-3", 0.001), ("1E+3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-0.25", -0.25), ("01.50", 1.5),
    (".inf", math.inf), ("-.Inf", -math.inf), ("1e999", math.inf),
    ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False),
    ("null", None), ("Null", None), ("NULL", None), ("~", None),
    # numbers, switches and dates of YAML 1.1, and what only looks like a number
    *((text, text) for text in (
        "12:46", "190:20:30", "1:30.5", "1_000", "1_000.5", "0b101", "0o9", "0x", "0xG", "-0x1F", "0O17", "0X1F", "e3",
        ".", "+", "1e", "1.2.3", "inf", "nan", "+.nan", ".iNF", "tRUE", "nULL",
        "yes", "Yes", "YES", "no", "No", "on", "On", "off", "OFF", "y", "n",
        "2026-11-27", "2026-11-27T12:00:00Z", "=", "<<", "\u0663", "\uff11",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text for text, _ in SCALARS])
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """A scalar without quotes is read by the core schema of YAML 1.2; in quotes everything is text."""
    for form in (f"key: {text}", f"{{key: {text}}}", f"- key: {text}"):
        data: Any = read_document(form).data
        got = (data[0] if isinstance(data, list) else data)["key"]
        assert got == value
        assert type(got) is type(value)
    for quote in "'\"":
        assert read_document(f"key: {quote}{text}{quote}").data == {"key": text}


def test_not_a_number_is_one_float() -> None:
    """.nan in its three spellings."""
    for text in (".nan", ".NaN", ".NAN"):
        data = read_document(f"key: {text}").data
        assert isinstance(data, dict)
        assert math.isnan(data["key"])


@given(st.from_regex(r"[-+]?0*[0-9]{1,12}", fullmatch=True))
def test_digits_are_decimal(text: str) -> None:
    """Whatever zeros stand in front."""
    assert read_document(f"key: {text}").data == {"key": int(text, 10)}


_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)


@given(st.text(alphabet="0123456789_:.eE+-xob", min_size=1, max_size=12))
def test_a_number_is_what_a_reader_takes_it_for(text: str) -> None:
    """Of digits, separators and letters, only decimal numbers and the two forms 0o and 0x are numbers."""
    document = read_document(f"key: {text}")
    value = document.data["key"] if isinstance(document.data, dict) else None
    if isinstance(value, int | float):
        assert _DECIMAL.fullmatch(text)
        assert value == (int(text, 0) if text[:2] in ("0o", "0x") else float(text))


@pytest.mark.parametrize(
    ("old", "new", "at", "value"),
    [
        ("port: 46007", "port: 046005", "data_routers.1.port", 46005),
        ("settle_seconds: 0", "settle_seconds: 030", "runs.settle_seconds", 30),
        ("polling: {ecc: 1}", "polling: {ecc: .5}", "polling.ecc", 0.5),
        ("polling: {ecc: 1}", "timeouts: {transition: 2e2}", "timeouts.transition", 200),
        ('pv: "GAS:P"', 'pv: "GAS:P", deadband: 1e-3', "observables.0.deadband", 0.001),
        ("experiment: e1", "experiment: off", "experiment", "off"),
        ("experiment: e1", "experiment: 2026-11-27", "experiment", "2026-11-27"),
        ("experiment: e1", "experiment: 1_000", "experiment", "1_000"),
    ],
)
def test_what_the_model_gets(old: str, new: str, at: str, value: object) -> None:
    """Values go through the whole loader as they stand there."""
    assert GOOD.count(old) == 1
    got: Any = parse(GOOD.replace(old, new), "t.yaml").model_dump(mode="json")
    for part in at.split("."):
        got = got[int(part) if part.isdigit() else part]
    assert got == value


TRAPS = [
    ("port: 46007", "port: 12:46", 12, "data_routers[1].port is '12:46', but must be a whole number in decimal digits"),
    ("port: 46007", "port: 46_007", 12, "data_routers[1].port is '46_007', but must be a whole number in decimal"),
    ("port: 46007", "port: 4e4", 12, "data_routers[1].port is 4e4, but must be a whole number in decimal digits"),
    ("port: 46007", "port: 0x1FFFF", 12, "data_routers[1].port is 0x1FFFF, but must be 1 to 65535"),
    ("port: 46007", "port: '46007'", 12, "data_routers[1].port is '46007', but must be a whole number without quotes"),
    ("polling: {ecc: 1}", "polling: {ecc: 1:30}", 20, "polling.ecc is '1:30', but must be a number such as 10, 0.5 or"),
    ("write: true", "write: yes", 26, "access[0].write is 'yes', but must be true or false (yes, no, on and off are"),
    ("write: true", "write: Off", 26, "access[0].write is 'Off', but must be true or false (yes, no, on and off are"),
    ("write: true", "write: 'true'", 26, "access[0].write is 'true', but must be true or false without quotes"),
    ("write: true", "write: tRue", 26, "access[0].write is 'tRue', but must be true or false"),
    ("write: true", "write: 1", 26, "access[0].write is 1, but must be true or false"),
    ("write: true", "write: ~", 26, "access[0].write is ~, but must be true or false"),
    ("experiment: e1", "experiment: null", 2, "experiment is null, but must be text (put it in quotes)"),
    ("experiment: e1", "experiment: 0x1F", 2, "experiment is 0x1F, but must be text (put it in quotes)"),
    ("port: 46007", "work_dir: ~", 12, "data_routers[1].work_dir is ~, which is null in YAML, but must be a path: "),
    (
        "  username: attpc",
        "  key: ~",
        19,
        "ssh.key is ~, which is null in YAML, but must be a path: quote it ('~')",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), TRAPS)
def test_traps_are_refused(old: str, new: str, line: int, message: str) -> None:
    """What another YAML would have taken for something is refused, as it is written, and says what it must be."""
    assert GOOD.count(old) == 1
    found = problems_of(GOOD.replace(old, new))
    assert any(at == line and message in text for at, text in found), found
