"""``attpc-ioc runs plot`` with matplotlib, and the curves it draws."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ioc.cli.main import main
from ioc.cli.run_curves import curve
from ioc.cli.run_plot import draw_run
from ioc.errors import Refused
from ioc.model import DocumentState, Event, RunClass, RunId, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.queries import RunBook
from ioc.topology.schema import Observable
from tests.rundb.rows import GAS, PRESSURE, reading

BEGAN = 1795350000.0
DAY = 86400.0
VALVE = Observable.model_validate({"name": "valve", "type": "enum", "pv": "V"})
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def run(store: SqliteRunStore) -> int:
    """Run 0 of 100 s: a pressure with a gap from 20 to 50 s, a valve that opens at 30 s, a gas; news in the log."""
    await store.define_observables("e1", [PRESSURE, VALVE, GAS])
    record = await store.reserve_run("e1", "krypton", RunClass.Production, "")
    pressures = [(0, 1.5), (10, 2.5), (20, None), (50, 3.5), (60, math.nan), (70, 4.5)]
    store.add_samples("e1", record.run, [reading(value, BEGAN + at) for at, value in pressures])
    valves = [(0, "Shut"), (30, "Open")]
    store.add_samples("e1", record.run, [reading(1, BEGAN + at, "valve", label) for at, label in valves])
    store.add_samples("e1", record.run, [reading("P10", BEGAN, "target_gas")])
    store.add_event(Event(BEGAN + 1, Severity.NO_ALARM, "Run", "run 0 is Running", record.run))
    store.add_event(Event(BEGAN + 40, Severity.MAJOR, "ECC:CoBo0", "not reachable", record.run))
    store.add_event(Event(BEGAN + 99, Severity.NO_ALARM, "Router:data0", "1 file is filed here", record.run))
    state = DocumentState.Complete
    await store.save_run(replace(record, state=state, started_at=BEGAN, stopped_at=BEGAN + 100))
    await store.flush()
    return record.run.number


def drawn(database: Path, number: int, *observables: str) -> Any:
    with closing(RunBook(database, "e1")) as book:
        return draw_run(book, number, observables)


def seconds(days: Any) -> list[float]:
    return [round(float(day) * DAY - BEGAN, 3) for day in days]


async def test_each_observable_has_a_panel_with_its_values(run: int, database: Path) -> None:
    """Numbers and texts are steps from sample to sample until the run's end; units and texts are beside them."""
    figure = drawn(database, run)
    assert figure.get_suptitle() == "e1, run 0: krypton"
    assert [axis.get_ylabel() for axis in figure.axes] == ["pressure\n[Torr]", "valve", "target_gas"]
    pressure, valve, gas = (axis.lines[0] for axis in figure.axes)
    assert seconds(pressure.get_xdata()) == [0, 10, 20, 50, 60, 70, 100]
    assert [str(value) for value in pressure.get_ydata()] == ["1.5", "2.5", "nan", "3.5", "nan", "4.5", "4.5"]
    assert seconds(valve.get_xdata()) == [0, 30, 100]
    assert list(valve.get_ydata()) == [0, 1, 1]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["Shut", "Open"]
    assert seconds(gas.get_xdata()) == [0, 100]
    assert {line.get_drawstyle() for line in (pressure, valve, gas)} == {"steps-post"}


async def test_gaps_and_changes_of_state_are_shown(run: int, database: Path) -> None:
    """Each panel is grey while its source was away and has a line for each change of state and each alarm."""
    figure = drawn(database, run)
    grey = [[seconds(path.vertices[:, 0]) for path in axis.collections[0].get_paths()] for axis in figure.axes]
    assert [[(min(gap), max(gap)) for gap in gaps] for gaps in grey] == [[(20, 50)], [], []]
    for axis in figure.axes:
        assert [seconds(line.get_xdata())[0] for line in axis.lines[1:]] == [1, 40]
        assert axis.lines[1].get_color() != axis.lines[2].get_color()
    assert [(text.get_text(), seconds([text.xy[0]])) for text in figure.axes[0].texts] == [("1", [1]), ("2", [40])]
    (legend,) = figure.legends
    listed = [text.get_text().split("  ") for text in legend.get_texts()]
    assert [(number, message) for number, _, message in listed] == [("1", "run 0 is Running"), ("2", "not reachable")]


async def test_many_events_are_counted(run: int, store: SqliteRunStore, database: Path) -> None:
    """Events that come together share a place, and those that do not fit on the list are counted."""
    for number in range(30):
        store.add_event(Event(BEGAN + 60 + number / 100, Severity.MINOR, "ECC:CoBo1", "x" * 200, RunId("e1", run)))
    await store.flush()
    figure = drawn(database, run)
    assert len(figure.axes[0].texts) == 3
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (len(texts), texts[-1]) == (20, "and 13 more: attpc-ioc runs show")
    assert max(len(text) for text in texts) < 150


async def test_the_command_writes_a_png_of_what_was_chosen(run: int, database: Path, tmp_path: Path) -> None:
    """The picture is written to the file whose name is printed; observables can be chosen, in that order."""
    output = tmp_path / "picture.png"
    asked = ["runs", "plot", str(run), "--database", str(database), "--output", str(output)]
    result = CliRunner().invoke(main, [*asked, "--observable", "valve", "--observable", "pressure"])
    assert (result.exit_code, result.stdout) == (0, f"{output}\n")
    assert output.read_bytes().startswith(PNG)
    assert [axis.get_ylabel() for axis in drawn(database, run, "valve", "pressure").axes] == [
        "valve",
        "pressure\n[Torr]",
    ]
    result = CliRunner().invoke(main, [*asked, "--observable", "nothing"])
    assert (result.exit_code, result.stderr) == (1, "error: experiment e1 has no observable nothing\n")


async def test_what_cannot_be_drawn_is_said(store: SqliteRunStore, database: Path) -> None:
    """A run without samples, one with disconnected sources only, and one with too many observables are refused."""
    many = [Observable(name=f"v{number}", pv="V") for number in range(41)]
    await store.define_observables("e1", many)
    runs = [(await store.reserve_run("e1", "", RunClass.Testing, "")).run for _ in range(3)]
    store.add_samples("e1", runs[1], [reading(None, BEGAN)._replace(observable="v0")])
    store.add_samples("e1", runs[2], [reading(1.0, BEGAN, each.name) for each in many])
    await store.flush()
    for number, reason in enumerate(("no samples to plot", "no values to plot", "more than 40 observables")):
        with pytest.raises(Refused, match=reason):
            drawn(database, number)


MOMENTS = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=300, unique=True).map(sorted)


@given(MOMENTS, st.data())
def test_a_curve_shows_every_extreme_and_every_gap(moments: list[int], data: st.DataObject) -> None:
    """However few points are kept: first, last, least and greatest value are there, in order, and all gaps."""
    values = [data.draw(st.none() | st.floats(-1e6, 1e6)) for _ in moments]
    rows = [
        {"name": "x", "units": "", "sampled_us": us, "value": value, "status": "disconnected" if value is None else ""}
        for us, value in zip(moments, values, strict=True)
    ]
    made = curve(rows, 0.0, 10.0)
    numbers = [value for value in values if value is not None]
    kept = [value for value in made.values if not math.isnan(value)]
    assert made.times == sorted(made.times)
    assert (min(kept, default=0), max(kept, default=0)) == (min(numbers, default=0), max(numbers, default=0))
    assert made.empty == (not numbers)
    assert made.times[0] == moments[0] / 1e6
    assert made.values[-1] == values[-1] or (values[-1] is None and math.isnan(made.values[-1]))
    ends = [*(us / 1e6 for us in moments[1:]), 10.0]
    gaps = [(us / 1e6, end) for us, end, value in zip(moments, ends, values, strict=True) if value is None]
    assert [gap for gap in made.gaps if gap[0] != gap[1]] == [gap for gap in gaps if gap[0] != gap[1]]


def test_a_long_curve_has_few_points() -> None:
    """A hundred thousand samples become some thousand points, in which a single spike is left."""
    values = [float(number == 70_001) for number in range(100_000)]
    rows = [{"name": "x", "units": "", "sampled_us": us, "value": each, "status": ""} for us, each in enumerate(values)]
    made = curve(rows, 0.0, 0.1)
    assert len(made.times) < 8_002
    assert made.values.count(1.0) == 1
