"""``attpc-ioc runs plot`` with matplotlib, and the curves it draws."""

from __future__ import annotations

import io
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ioc.cli.main import main
from ioc.cli.plot import curve, draw_run
from ioc.errors import Refused
from ioc.model import Event, Reading, RunClass, RunId, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.queries import RunBook
from ioc.topology.schema import Observable
from tests.epics import eventually
from tests.rundb.rows import GAS, PRESSURE, complete_run, reading

BEGAN = 1795350000.0
DAY = 86400.0
VALVE = Observable.model_validate({"name": "valve", "type": "enum", "pv": "V"})
FIELD = Observable(name="field", pv="B")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def run(store: SqliteRunStore, database: Path) -> int:
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
    await complete_run(store, database, record, BEGAN, 100)
    return record.run.number


def drawn(database: Path, number: int, *observables: str) -> Any:
    with RunBook(database, "e1") as book:
        return draw_run(book, number, observables)


def png(figure: Any) -> bytes:
    """The picture; a warning (of a layout that collapsed, say) is an error."""
    output = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(output, format="png")
    return output.getvalue()


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
        lines = axis.collections[1]
        assert [seconds([segment[0][0]])[0] for segment in lines.get_segments()] == [1, 40]
        assert len({tuple(colour) for colour in lines.get_colors()}) == 2
    assert [(text.get_text(), seconds([text.xy[0]])) for text in figure.axes[0].texts] == [("1", [1]), ("2", [40])]
    (legend,) = figure.legends
    listed = [text.get_text().split("  ") for text in legend.get_texts()]
    assert [(number, message) for number, _, message in listed] == [("1", "run 0 is Running"), ("2", "not reachable")]


async def test_many_events_are_counted(run: int, store: SqliteRunStore, database: Path) -> None:
    """Events that come together share a place; of those that do not fit on the list there is no number, but a count."""
    for number in range(400):
        message = "$HOME/a^^b$" + "x" * 200
        store.add_event(Event(BEGAN + 60 + number / 1000, Severity.MINOR, "ECC:CoBo1", message, RunId("e1", run)))
    await store.flush()
    figure = drawn(database, run)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3-20"]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (len(texts), texts[-1]) == (21, "and 382 more: attpc-ioc runs show")
    assert max(len(text) for text in texts) < 150
    assert len(png(figure)) > 10_000


async def test_the_command_writes_a_png_of_what_was_chosen(run: int, database: Path, tmp_path: Path) -> None:
    """The picture is written to the file whose name is printed; observables can be chosen, in that order."""
    output = tmp_path / "picture.png"
    asked = ["runs", "plot", str(run), "--database", str(database), "--output", str(output)]
    names = ("valve", "pressure", "valve")
    result = CliRunner().invoke(main, [*asked, *(word for name in names for word in ("--observable", name))])
    assert (result.exit_code, result.stdout) == (0, f"{output}\n")
    assert output.read_bytes().startswith(PNG)
    assert [axis.get_ylabel() for axis in drawn(database, run, *names).axes] == [
        "valve",
        "pressure\n[Torr]",
    ]
    result = CliRunner().invoke(main, [*asked, "--observable", "nothing"])
    assert (result.exit_code, result.stderr) == (1, "error: experiment e1 has no observable nothing\n")


async def run_of(
    store: SqliteRunStore, database: Path, samples: Sequence[Reading], *observables: Observable, title: str = ""
) -> None:
    """Run 0 of an hour from BEGAN on, with these samples."""
    await store.define_observables("e1", observables)
    record = await store.reserve_run("e1", title, RunClass.Testing, "")
    store.add_samples("e1", record.run, samples)
    await complete_run(store, database, record, BEGAN, 3600)


ODD = [
    pytest.param([1.0], [1.0, 1.0], id="one sample"),
    pytest.param([math.inf, 2.0, -math.inf, 1.7e308], ["nan", 2.0, "nan", "nan", "nan"], id="not drawable"),
    pytest.param([5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0], id="constant"),
]


@pytest.mark.parametrize(("values", "shown"), ODD)
async def test_odd_values_are_drawn(
    store: SqliteRunStore, database: Path, values: list[float], shown: list[float | str]
) -> None:
    """Few, equal, infinite and absurd values make a picture, with what can be drawn of them; a dollar is a dollar."""
    samples = [reading(value, BEGAN + number) for number, value in enumerate(values)]
    await run_of(store, database, samples, PRESSURE, title="$\\foo$ x_^")
    figure = drawn(database, 0)
    found = [value if math.isfinite(value) else "nan" for value in figure.axes[0].lines[0].get_ydata()]
    assert found == shown
    assert png(figure).startswith(PNG)
    assert figure.get_suptitle() == "e1, run 0: $\\foo$ x_^"


async def test_characters_without_a_picture_are_not_warned_of(
    store: SqliteRunStore, database: Path, tmp_path: Path
) -> None:
    """A title in characters that the font does not have makes a picture, and nothing on standard error."""
    await run_of(store, database, [reading(1.0, BEGAN)], PRESSURE, title="日本 \N{FLAG IN HOLE}")
    asked = ["runs", "plot", "0", "--database", str(database), "--output", str(tmp_path / "picture.png")]
    result = CliRunner().invoke(main, asked)
    assert (result.exit_code, result.stderr, result.exception) == (0, "", None)


async def test_a_source_with_a_wrong_clock_does_not_stretch_the_axis(store: SqliteRunStore, database: Path) -> None:
    """Samples with times outside the run are left out, and counted beside the panel."""
    moments = (631_152_000.0, BEGAN + 86_400, BEGAN + 5)
    wrong = [reading(float(number), moment) for number, moment in enumerate(moments)]
    await run_of(store, database, [*wrong, reading(1.0, BEGAN, "field")], PRESSURE, FIELD)
    figure = drawn(database, 0)
    assert [axis.get_ylabel() for axis in figure.axes] == ["pressure\n[Torr]\n2 outside", "field"]
    begin, end = figure.axes[0].get_xlim()
    assert 3600 <= (end - begin) * DAY < 4000


async def test_many_and_long_texts_leave_room(store: SqliteRunStore, database: Path) -> None:
    """A long text is cut beside its panel; of many only the number is said."""
    long = [reading("y" * 300, BEGAN, "target_gas")]
    many = [reading(1.0, BEGAN + n, "valve", f"text {n}") for n in range(37)]
    await run_of(store, database, [*long, *many], GAS, VALVE)
    figure = drawn(database, 0)
    assert [len(label.get_text()) for label in figure.axes[0].get_yticklabels()] == [20]
    assert figure.axes[1].get_ylabel() == "valve\n37 texts"
    assert png(figure).startswith(PNG)


async def test_an_open_run_lasts_until_now(store: SqliteRunStore, database: Path) -> None:
    """The last values of a run that goes on are drawn up to now, with the events of that time."""
    await store.define_observables("e1", [GAS])
    run = (await store.reserve_run("e1", "", RunClass.Testing, "")).run
    began = time.time()
    store.add_samples("e1", run, [reading("P10", began, "target_gas")])
    store.add_event(Event(began + 0.05, Severity.MAJOR, "ECC:CoBo0", "not reachable", run))
    await store.flush()
    await eventually(lambda: time.time() > began + 0.1)
    figure = drawn(database, 0)
    assert list(figure.axes[0].lines[0].get_xdata())[-1] * DAY >= began + 0.1
    assert len(figure.legends[0].get_texts()) == 1


async def test_what_cannot_be_drawn_is_said(store: SqliteRunStore, database: Path) -> None:
    """A run without samples, one with disconnected sources only, and one with too many observables are refused."""
    many = [Observable(name=f"v{number}", pv="V") for number in range(41)]
    await store.define_observables("e1", many)
    runs = [(await store.reserve_run("e1", "", RunClass.Testing, "")).run for _ in range(3)]
    store.add_samples("e1", runs[1], [reading(None, BEGAN)._replace(observable="v0")])
    store.add_samples("e1", runs[2], [reading(1.0, BEGAN, each.name) for each in many])
    await store.flush()
    for number, reason in enumerate(("no values to plot", "no values to plot", "41 observables")):
        with pytest.raises(Refused, match=reason):
            drawn(database, number)


def row(us: int, value: float | None) -> dict[str, Any]:
    return {"sampled_us": us, "value": value, "value_type": "float", "status": "disconnected" if value is None else ""}


MOMENTS = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=300).map(sorted)


@given(MOMENTS, st.data())
def test_a_curve_shows_every_extreme_and_every_gap(moments: list[int], data: st.DataObject) -> None:
    """However few points are kept: first, last, least and greatest value are there, in order, and all gaps."""
    values = [data.draw(st.none() | st.floats(-1e6, 1e6)) for _ in moments]
    made = curve("x", "", map(row, moments, values), 0.0, 10.0)
    numbers = [value for value in values if value is not None]
    kept = [value for value in made.values if not math.isnan(value)]
    assert made.times == sorted(made.times)
    assert (min(kept, default=0), max(kept, default=0)) == (min(numbers, default=0), max(numbers, default=0))
    assert made.empty == (not numbers)
    assert made.times[0] == moments[0] / 1e6
    assert made.values[0] == values[0] or values[0] is None
    assert made.values[-1] == values[-1] or (values[-1] is None and math.isnan(made.values[-1]))
    ends = [*(us / 1e6 for us in moments[1:]), 10.0]
    assert made.gaps == [(us / 1e6, end) for us, end, value in zip(moments, ends, values, strict=True) if value is None]


def test_a_long_curve_has_few_points() -> None:
    """A hundred thousand samples become some thousand points, in which a single spike is left."""
    made = curve("x", "", (row(us, float(us == 70_001)) for us in range(100_000)), 0.0, 0.1)
    assert len(made.times) < 8_002
    assert made.values.count(1.0) == 1


def test_values_of_one_moment_keep_their_order() -> None:
    """Of samples with one time stamp the last one lasts."""
    made = curve("x", "", map(row, (5, 5, 5), (5.0, 9.0, 1.0)), 0.0, 0.1)
    assert made.values == [5.0, 9.0, 1.0, 1.0]
