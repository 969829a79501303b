"""What the page computes without a server: texts, curves, versions and changes."""

from __future__ import annotations

import json
import math
import re
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Message

from ioc.rundb.pages import RunFacts
from ioc.topology.load import load
from ioc.web.changes import changes
from ioc.web.channels import HEARTBEAT, Channel, Kind, layout_of
from ioc.web.guard import Guard
from ioc.web.live import Live
from ioc.web.shown import Shown, shown
from ioc.web.svg import SPARK_HEIGHT, SPARK_WIDTH, Piece, Point, RunCurve, run_picture, sparkline, trend_picture

numbers = st.floats(allow_nan=True, allow_infinity=True)
LAYOUT = layout_of(load(Path(__file__).parents[2] / "topology.yaml"))
finite = st.floats(min_value=-1e12, max_value=1e12)


@given(st.lists(numbers, max_size=400))
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    """Whatever the values are, the path has only finite numbers inside the box, and none where nothing is known."""
    path = sparkline(values)
    assert bool(path) == any(math.isfinite(value) for value in values)
    for x, y in re.findall(r"[ML](-?\d+) (-?\d+)", path):
        assert 0 <= int(x) <= SPARK_WIDTH
        assert 0 <= int(y) <= SPARK_HEIGHT
    assert not re.search(r"nan|inf", path)


@given(
    st.lists(st.tuples(finite, finite, finite), max_size=20),
    st.lists(st.tuples(finite, finite), max_size=5),
    finite,
    st.floats(min_value=0, max_value=1e8),
)
def test_a_picture_of_a_run_is_valid(
    pieces: list[tuple[float, float, float]], gaps: list[tuple[float, float]], began: float, lasted: float
) -> None:
    """Any curve gives a picture that is XML, without numbers that a browser cannot read."""
    began = abs(began) / 1000
    ordered = [Piece(at, min(low, high), max(low, high)) for at, low, high in sorted(pieces)]
    curve = RunCurve(ordered, [(min(gap), max(gap)) for gap in gaps], [], began, began + lasted)
    picture = run_picture(curve, "<&>", 360)
    ElementTree.fromstring(picture)
    assert not re.search(r"[ \"MLHV](nan|inf)", picture)


@given(st.lists(st.builds(Point, st.integers(0, 10**9), *[st.none() | finite] * 4), max_size=30))
def test_a_picture_of_a_trend_is_valid(points: list[Point]) -> None:
    """So does any trend."""
    picture = trend_picture(points, "trend", 800)
    ElementTree.fromstring(picture)
    assert not re.search(r"[ \"MLHV](nan|inf)", picture)


@pytest.mark.parametrize(
    ("channel", "value", "severity", "text", "mark"),
    [
        (Channel("a", Kind.Number, "Torr"), 712.30001, 0, "712.3 Torr", ""),
        (Channel("a", Kind.Number), math.nan, 3, "no value", "INVALID"),
        (Channel("a", Kind.Number, absent="not set"), math.nan, 3, "not set", ""),
        (Channel("a", Kind.Number, absent="no limit"), math.nan, 0, "no limit", ""),
        (Channel("a", Kind.Word, absent="not set"), "", 3, "not set", ""),
        (Channel("a", Kind.Word), "Unknown", 3, "Unknown", "INVALID"),
        (Channel("a", Kind.Word), "Off", 2, "Off", "MAJOR"),
        (Channel("a", Kind.Number, "GB", decimals=1), 1234.567, 1, "1234.6 GB", "MINOR"),
        (Channel("a", Kind.Text), "x" * 5000, 0, "x" * 3999 + "…", ""),
    ],
)
def test_what_is_shown(channel: Channel, value: Any, severity: int, text: str, mark: str) -> None:
    """The text and the mark of a value; what is normally absent is no alarm."""
    made = shown(channel, value, severity, 1.0)
    assert (made.text, made.mark) == (text, mark)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 3), st.booleans()), max_size=30))
def test_a_viewer_that_skips_versions_has_what_others_have(script: list[tuple[str, int, bool]]) -> None:
    """Viewers that read each version, some or only the last one have the same values in the end: those of the PVs."""
    live = Live(LAYOUT)
    keys = dict(zip("abcde", LAYOUT.channels, strict=False))
    live.publish()
    versions = [live.version] * 3
    have: list[dict[str, Any]] = [changed(live, 0) for _ in versions]
    for letter, number, read in script:
        live.take(keys[letter], Shown(str(number), "", float(number)))
        live.publish()
        for viewer in [0, *([1] if read else [])]:
            have[viewer] |= changed(live, versions[viewer])
            versions[viewer] = live.version
    expected = {key: value.as_list() for key, value in live.shown.items()}
    for viewer, version in enumerate(versions):
        assert have[viewer] | changed(live, version) == expected
    assert changed(live, live.version) == {}


def changed(live: Live, since: int) -> dict[str, Any]:
    """What a viewer is sent that has this version."""
    return json.loads(live.message(since).removeprefix(b"data: "))["set"]


def facts(title: str, **measured: tuple[str | None, str, Any, float | None, float | None, float | None]) -> RunFacts:
    """A run: source, type, begin, minimum, mean and maximum of each observable."""
    names = ("source_pv", "value_type", "begin_value", "minimum", "mean", "maximum")
    rows = [{"name": name, "units": "", **dict(zip(names, row, strict=True))} for name, row in measured.items()]
    config = {
        "ecc_server": "CoBo0",
        "describe": "a",
        "prepare": "b",
        "configure": title,
        "config_digest": "",
        "file_digests": "",
    }
    run = {"run_class": "Beam", "config_name": "a/b/c"}
    return RunFacts(run, [config], rows, [], [], 0, 0, [], 0, [], None, None)


def test_what_changed() -> None:
    """Settings that differ, and means outside the range before; not what only fluctuates."""
    before = facts(
        "c1",
        p=("PV", "float", 1.0, 0.5, 1.0, 1.5),
        v=("PV", "float", 1.0, 0.9, 1.0, 1.1),
        gas=(None, "string", "H2", None, None, None),
    )
    now = facts(
        "c2",
        p=("PV", "float", 1.4, 0.5, 1.2, 1.5),
        v=("PV", "float", 2.0, 1.9, 2.0, 2.1),
        gas=(None, "string", "D2", None, None, None),
    )
    assert changes(before, now) == [
        ("CoBo0", "a/b/c1", "a/b/c2"),
        ("gas", "H2", "D2"),
        ("v, mean", "0.9 to 1.1", "2"),
    ]
    assert changes(before, before) == []


def test_other_units_are_a_change_and_not_compared() -> None:
    """1013 mbar is not above 760 Torr."""
    before = facts("c", p=("PV", "float", 760.0, 759.0, 760.0, 761.0))
    now = facts("c", p=("PV", "float", 1013.0, 1012.0, 1013.0, 1014.0))
    before.measurements[0]["units"], now.measurements[0]["units"] = "Torr", "mbar"  # type: ignore[index]
    assert changes(before, now) == [("p, units", "Torr", "mbar")]


def test_a_file_that_changed_is_named() -> None:
    """With the beginnings of its digests, and none of the files that did not change."""
    before, now = facts("c"), facts("c")
    for run, digest in ((before, "a" * 64), (now, "b" * 64)):
        run.configs[0]["file_digests"] = f"one file.xcfg={'0' * 64} other.xcfg={digest}"  # type: ignore[index]
    assert changes(before, now) == [("CoBo0 other.xcfg", "a" * 12, "b" * 12)]


def test_another_prefix_shows_nothing_of_the_former_ioc() -> None:
    """Its values and its heartbeat would look alive."""
    live = Live(LAYOUT)
    live.take(HEARTBEAT, Shown("1", "", 1.0))
    live.take("Run:State", Shown("Running", "", 1.0))
    live.replace(replace(LAYOUT, prefix="OTHER:"))
    assert live.health[0] == "never"
    assert live.shown["Run:State"] == Shown()


def test_an_ioc_that_is_gone_since_another_day_is_said_with_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day alone would look as if it were today's."""
    noon = datetime(2026, 11, 22, 12).astimezone().timestamp()
    monkeypatch.setattr("ioc.web.live.time.time", lambda: noon)
    live = Live(LAYOUT)
    live.take(HEARTBEAT, Shown("1", "", 1.0))
    live.lose(HEARTBEAT)
    assert "not answered since 12:00:00." in live.health[1]
    monkeypatch.setattr("ioc.web.live.time.time", lambda: noon + 86_400)
    assert "not answered since 2026-11-22 12:00:00." in live.health[1]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 200) for name in ("daq", "DAQ:8001", "daq.lab.org", "daq.lab.org.:80", "runs.lab.org:80", "10.0.0.1")),
        *((name, 400) for name in ("lab.org", "daq.evil.org", "runs", "10", "")),
    ],
)
async def test_a_machine_answers_to_its_short_name(host: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it calls itself by the whole name; and to the name that is given as --host, an alias for instance."""
    monkeypatch.setattr(socket, "gethostname", lambda: "daq.lab.org")
    monkeypatch.setattr(socket, "getfqdn", lambda: "daq.lab.org")
    guard = Guard(PlainTextResponse("ours"), "runs.lab.org", login_header=None)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())]
    await guard({"type": "http", "method": "GET", "path": "/", "headers": headers}, receive, send)
    assert sent[0]["status"] == status
