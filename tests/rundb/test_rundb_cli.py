"""``attpc-ioc runs`` on a real database, with and without a store that writes to it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from wcwidth import wcswidth

from ioc.cli.extras import how_to_install
from ioc.cli.main import main
from ioc.cli.texts import size
from ioc.model import ConfigChoice, DocumentState, FiledFile, RunClass, RunConfig, RunId, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.invoking import invoke
from tests.rundb.rows import GAS, PRESSURE, event, locked, reading, rows

STARTED = 1795350000.0
FIELD = Observable.model_validate({"name": "field", "units": "µT", "pv": "B"})


@pytest.fixture
async def filled(store: SqliteRunStore) -> SqliteRunStore:
    """Experiment e18008 with a complete and an open run, and an older experiment; the store stays open."""
    await store.reserve_run("older", "", RunClass.Junk, "")
    await store.define_observables("e18008", [PRESSURE, GAS, FIELD])
    for number in range(2):
        record = await store.reserve_run("e18008", f'say "{number}", twice', RunClass.Production, "a/b/c")
        run = record.run
        gas = reading("P10", STARTED, "target_gas")
        store.add_samples("e18008", run, [reading(1.5, STARTED), reading(None, STARTED + 1), gas])
        await store.save_measurements(
            run,
            [
                Measurement("pressure", 1.5, 2.5, Statistics(1.0, 3.0, 1.75, 3, Severity.MAJOR, 1.5)),
                Measurement("target_gas", "=P10", "=P10", Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)),
                Measurement("field", math.inf, None, Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)),
            ],
        )
        await store.save_run_configs(run, [RunConfig("CoBo0", ConfigChoice("cobo0", "e18008", "x"))])
        await store.add_files(run, FiledFile("data0", "192.168.41.60", "/d/f.graw", 5_000_000, STARTED))
        store.add_event(event("everything began", run))
        state = DocumentState.Running if number else DocumentState.Complete
        stopped = None if number else STARTED + 90_061
        await store.save_run(replace(record, state=state, started_at=STARTED, stopped_at=stopped))
    await store.flush()
    return store


SIZES = [(0, ""), (999, "999 B"), (1000, "1.0 kB"), (5_000_000, "5.0 MB"), (999_960, "1.0 MB"), (7.2e12, "7.2 TB")]


@pytest.mark.parametrize(("count", "text"), SIZES)
def test_sizes_have_the_unit_that_fits(count: float, text: str) -> None:
    """Bytes are shown with one digit after the point, none are not shown."""
    assert size(int(count)) == text


async def test_list_and_show_have_the_size_of_a_run(filled: SqliteRunStore, database: Path) -> None:
    """What is filed of a run is on its line of the list and on its page."""
    assert re.search(r"25:01:01  5\.0 MB  a/b/c", invoke(database, "list").output)
    assert re.search(r"Size +5\.0 MB\n", invoke(database, "show", "0").output)


async def test_list_shows_aligned_columns_and_local_times(filled: SqliteRunStore, database: Path) -> None:
    """The list has a line per run of the newest experiment, with columns that begin at one place."""
    heading, *lines = invoke(database, "list").stdout.splitlines()
    assert (heading, len(lines)) == ("Experiment e18008", 3)
    assert lines[1].index("Production") == lines[0].index("class")
    assert lines[1].index("25:01:01") == lines[0].index("duration")
    assert re.search(r"2026-11-2\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", lines[1])
    older = invoke(database, "list", "--experiment", "older").stdout.splitlines()
    assert (older[0], len(older)) == ("Experiment older", 3)


TOPOLOGY = Path(__file__).parents[2] / "topology.yaml"


@pytest.mark.parametrize(
    ("kept", "topology", "runs", "shown"),
    [
        pytest.param(None, "e1", ["e1", "e2"], "e1", id="never changed: the topology's"),
        pytest.param(("e2", "e1"), "e1", ["e2", "e1"], "e2", id="changed by PV"),
        pytest.param(("e3", "e1"), "e1", ["e1"], "e3", id="changed by PV, without a run yet"),
        pytest.param(("e2", "e1"), "e3", ["e2", "e3", "e1"], "e3", id="the topology has changed since"),
        pytest.param(("e2", "e1"), "e4", ["e1", "e2"], "e2", id="a topology that no IOC has run"),
        pytest.param(None, None, ["e1", "e2", "e1"], "e1", id="no topology: where the newest run is"),
        pytest.param(("e2", "e1"), None, ["e1"], "e2", id="no topology: changed by PV since the newest run"),
    ],
)
async def test_commands_are_about_the_experiment_that_the_ioc_is_in(
    store: SqliteRunStore,
    database: Path,
    *,
    kept: tuple[str, str] | None,
    topology: str | None,
    runs: list[str],
    shown: str,
) -> None:
    """Without --experiment it is that of the PV, unless the topology has another one since, else the newest run's."""
    for name in ("e1", "e2", "e3"):
        await store.define_observables(name, [])
    for name in runs:
        await store.reserve_run(name, "", RunClass.Beam, "")
    if kept is not None:
        await store.save_settings({"experiment": kept[0]})
        await store.save_settings({"experiment_default": kept[1]})
    place = ["--database", str(database)]
    if topology is not None:
        described = TOPOLOGY.read_text().replace("experiment: e18008", f"experiment: {topology}")
        path = database.with_name("topology.yaml")
        path.write_text(described.replace("database: ", f"database: {database} # "))
        place = ["--topology", str(path)]
    result = CliRunner().invoke(main, ["runs", "list", *place])
    assert result.stdout.splitlines()[0] == f"Experiment {shown}", result.output


async def test_a_run_made_after_the_change_by_pv_counts(store: SqliteRunStore, database: Path) -> None:
    """Without a topology a run of another experiment is newer than what the IOC kept before it."""
    await store.define_observables("e2", [])
    await store.save_settings({"experiment": "e2"})
    await store.reserve_run("e1", "", RunClass.Beam, "")
    assert invoke(database, "list").stdout.startswith("Experiment e1\n")


async def test_show_tells_everything_about_a_run(filled: SqliteRunStore, database: Path) -> None:
    """Observables with their statistics, configurations, files and events of a run are shown."""
    text = invoke(database, "show", "0").stdout
    for expected in ("0 of e18008", "complete", "1.75", "MAJOR", "1.5 s", "cobo0", "/d/f.graw", "everything began"):
        assert expected in text
    assert re.search(r"pressure +Torr +1\.5 +2\.5 +1 +3 +1\.75 +3 +MAJOR", text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1234567"),
        (1234567.0, "1234567"),
        (-2147483648.0, "-2147483648"),
        (1000000.0, "1000000"),
        (0.0, "0"),
        (1234567.25, "1.23457e+06"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.inf, "inf"),
        ("1234567.0", "1234567.0"),
    ],
)
async def test_whole_numbers_are_shown_whole(
    store: SqliteRunStore, database: Path, value: float | str, shown: str
) -> None:
    """Counts are shown to their last digit also as minimum and maximum; other numbers with six digits."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    number = None if isinstance(value, str) else float(value)
    statistics = Statistics(number, number, number, 1, Severity.NO_ALARM, 0.0)
    await store.save_measurements(run, [Measurement("pressure", value, value, statistics)])
    (line,) = (each for each in invoke(database, "show", "0").stdout.splitlines() if each.startswith("pressure"))
    assert line.split()[2:] == [*[shown] * (2 if number is None else 5), "1", "NO_ALARM"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "7"), 1, "error: run 7 is not in experiment e18008: its last one is run 1\n"),
        (("list", "--experiment", "nope"), 1, "experiment nope is not in the run database .*: it has older, e18008\n"),
        (("samples", "0", "--observable", "nope"), 1, "error: experiment e18008 has no observable nope\n"),
        (("edit", "0", "--set", "pressure=3"), 1, "observable pressure has a source PV: only a manual"),
        (("edit", "0", "--set", "nope=3"), 1, "has no observable nope: it has pressure, target_gas, field\n"),
        (
            ("edit", "1", "--set", "target_gas=Ar"),
            1,
            "run 1 is running: title, class, comment, quality and observables are set by their PVs",
        ),
        (("edit", "0", "--title", "two\nlines"), 1, "the title must be one line"),
        (("edit", "0", "--class", "Great"), 2, "'Great' is not one of"),
        (("edit", "0"), 2, "nothing to change"),
        (("edit", "0", "--quality", "Great"), 2, "'Great' is not one of"),
        (("edit", "0", "--comment", "ü" * 1001), 1, "comment has 2002 bytes of UTF-8, but must have at most 2000"),
        (("edit", "0", "--comment", "a\x1b[1m"), 1, r"comment has the character '\\x1b', but must be printable"),
        (("edit", "1", "--quality", "good"), 1, "run 1 is running: title, class, comment, quality"),
        (("list", "--quality", "fine"), 2, "'fine' is not one of"),
        (("show", "x"), 2, "'x' is not a valid int"),
        (("export", "--output", "/nowhere/x.csv"), 1, "error: /nowhere/x.csv cannot be written: No such file"),
    ],
)
async def test_what_is_wrong_is_said_on_stderr(
    filled: SqliteRunStore, database: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """A mistake gives nothing on stdout, one clear sentence on stderr and the right exit code."""
    result = invoke(database, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert re.search(message, result.stderr)
    if code == 1:
        assert len(result.stderr.splitlines()) == 1


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    """Without a database the command says which file it looked for, and makes none."""
    result = invoke(tmp_path / "no.db", "list")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: there is no run database \S+no\.db: .*\n", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_topology_is_exit_code_two(tmp_path: Path) -> None:
    """A topology with an error is told with its line, exit code 2."""
    path = tmp_path / "topology.yaml"
    path.write_text("nonsense: true\n")
    result = CliRunner().invoke(main, ["runs", "list", "--topology", str(path)])
    assert result.exit_code == 2
    assert f"error: {path}:1:" in result.stderr


async def test_edit_changes_a_run_while_a_store_is_open(filled: SqliteRunStore, database: Path) -> None:
    """Title, class and manual values change beside a running IOC; each change is an event with its user."""
    result = invoke(database, "edit", "0", "--title", "better", "--class", "junk", "--set", "target_gas=He")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "run 0 of e18008: title changed from 'say \"0\", twice' to 'better'",
        "run 0 of e18008: run_class changed from 'Production' to 'Junk'",
        "run 0 of e18008: target_gas changed from '=P10' to 'He'",
    ]
    last = await filled.get_run(RunId("e18008", 0))
    assert last is not None
    assert (last.title, last.run_class) == ("better", RunClass.Junk)
    stored = rows(database, "SELECT message, run_id, user <> '' FROM events WHERE source = 'runs edit' ORDER BY id")
    assert stored == [(line, 2, 1) for line in result.stdout.splitlines()]
    again = invoke(database, "edit", "0", "--title", "better")
    assert again.stdout == "run 0 of e18008: nothing has changed\n"


@pytest.mark.parametrize("option", [("--title", "edited"), ("--class", "Junk"), ("--set", "target_gas=He")])
async def test_what_is_known_of_an_open_run_is_the_iocs(
    filled: SqliteRunStore, database: Path, option: tuple[str, str]
) -> None:
    """A run that is open is not edited: its PVs set what the IOC will store. When it has ended it can be."""
    record = await filled.last_run("e18008")
    assert record is not None
    refused = invoke(database, "edit", "1", *option)
    assert (refused.exit_code, "are set by their PVs until it has ended" in refused.stderr) == (1, True)
    await filled.save_run(replace(record, state=DocumentState.Complete, stopped_at=STARTED + 5))
    assert invoke(database, "edit", "1", *option).exit_code == 0


async def test_edit_says_that_the_file_is_locked(
    filled: SqliteRunStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked database is an error in one line, after a bounded wait."""
    with locked(database):
        result = invoke(database, "edit", "0", "--title", "x")
    assert result.exit_code == 1
    assert "is locked by another program" in result.stderr


async def test_export_csv_is_the_run_sheet(filled: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """Columns come in the order asked for, units are in the heading, quotes survive, values stay true."""
    output = tmp_path / "sheet.csv"
    assert invoke(database, "export", "--output", str(output)).exit_code == 0
    text = _read(output)
    assert text.startswith("\ufeff")
    header, first, second = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert header == [
        *("run_number", "run_class", "title", "state", "started_at", "stopped_at", "duration"),
        *("config_name", "bytes", "quality", "comment", "pressure", "target_gas", "field"),
        *("pressure.minimum", "pressure.mean", "pressure.maximum", "field.minimum", "field.mean", "field.maximum"),
    ]
    assert first[:4] == ["0", "Production", 'say "0", twice', "complete"]
    assert first[6:14] == ["90061.0", "a/b/c", "5000000", "Unknown", "", "1.5", "'=P10", "inf"]
    assert first[14:] == ["1.0", "1.75", "3.0", "", "", ""]
    assert second[3:7] == ["running", first[4], "", ""]
    view = [row[1] for row in rows(database, "PRAGMA table_info(run_sheet)")]
    assert header[:14] == view[1:], "the columns of the view, without the experiment"


async def test_a_failed_run_is_seen_as_failed(store: SqliteRunStore, database: Path) -> None:
    """A run that never ran stands on the sheet with its state, and without a duration."""
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    await store.save_run(replace(record, state=DocumentState.Failed, message="CoBo0 did not start"))
    (line,) = csv.DictReader(io.StringIO(invoke(database, "export").stdout))
    assert (line["state"], line["started_at"], line["duration"]) == ("failed", "", "")
    (run,) = json.loads(invoke(database, "export", "--format", "json").stdout)
    assert (run["state"], run["started_at"], run["duration"]) == ("failed", None, None)


FORMULAS = [
    *("=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "-5", "+5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "-"),
    *("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201"),
]
HARMLESS = ["", "P10", "a=b", "1+1", "5", "'=1", "e-", " a", "#1", "50 % He, 50 % CO2"]


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS])
async def test_no_text_is_a_formula_in_a_spreadsheet(store: SqliteRunStore, database: Path, text: str) -> None:
    """In every CSV a text that would be computed has an apostrophe in front; numbers and JSON are as they are."""
    await store.define_observables("e1", [PRESSURE.model_copy(update={"units": text[:8]}), GAS])
    run = (await store.reserve_run("e1", text, RunClass.Beam, text)).run
    figures = Statistics(-5.0, -1.5, -2.5, 2, Severity.NO_ALARM, 0.0)
    none = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
    await store.save_measurements(
        run, [Measurement("pressure", -5.0, -1.5, figures), Measurement("target_gas", text, text, none)]
    )
    store.add_samples("e1", run, [reading(-5.0, STARTED), reading(text, STARTED, "target_gas")])
    await store.flush()
    shown = f"'{text}" if text in FORMULAS else text
    (line,) = csv.DictReader(io.StringIO(invoke(database, "export").stdout, newline=""))
    assert (line["title"], line["config_name"], line["target_gas"]) == (shown, shown, shown)
    assert [line[f"pressure{each}"] for each in ("", ".minimum", ".mean", ".maximum")] == [
        "-5.0",
        "-5.0",
        "-2.5",
        "-1.5",
    ]
    samples = list(csv.DictReader(io.StringIO(invoke(database, "samples", "0").stdout, newline="")))
    assert [each["value"] for each in samples] == ["-5.0", shown]
    (sheet,) = json.loads(invoke(database, "export", "--format", "json").stdout)
    assert (sheet["title"], sheet["observables"]["target_gas"]["value"]) == (text, text)
    assert sheet["observables"]["pressure"]["value"] == -5.0


async def test_headings_are_those_of_the_run_sheet(store: SqliteRunStore, database: Path) -> None:
    """An observable that is called like a column of the run has the heading that it has in the view."""
    names = ("title", "state", "pressure")
    await store.define_observables("e1", [Observable(name=name, units="Torr") for name in names])
    header = invoke(database, "export").stdout.splitlines()[0].split(",")
    assert header[11:14] == ["title_observable", "state_observable", "pressure"]
    assert len(set(header)) == len(header)


async def test_export_json_can_be_read_by_anything(filled: SqliteRunStore, database: Path) -> None:
    """The JSON is strict (no Infinity), with units beside the values."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    sheet = json.loads(invoke(database, "export", "--format", "json").stdout, parse_constant=refuse)
    assert [run["run_number"] for run in sheet] == [0, 1]
    pressure = {"value": 1.5, "units": "Torr", "minimum": 1.0, "mean": 1.75, "maximum": 3.0}
    assert sheet[0]["observables"]["pressure"] == pressure
    assert sheet[0]["observables"]["target_gas"] == {"value": "=P10", "units": ""}
    assert sheet[0]["observables"]["field"]["value"] == "inf"


async def test_samples_are_written_as_csv(filled: SqliteRunStore, database: Path) -> None:
    """All samples, or those of one observable, come by time; a gap has no value."""
    everything = list(csv.reader(io.StringIO(invoke(database, "samples", "0").stdout)))
    assert everything == [
        ["observable", "units", "sampled_at", "value", "severity", "status"],
        ["pressure", "Torr", "2026-11-22T12:20:00.000000Z", "1.5", "0", "NO_ALARM"],
        ["pressure", "Torr", "2026-11-22T12:20:01.000000Z", "", "3", "disconnected"],
        ["target_gas", "", "2026-11-22T12:20:00.000000Z", "P10", "0", "NO_ALARM"],
    ]
    one = list(csv.reader(io.StringIO(invoke(database, "samples", "0", "--observable", "target_gas").stdout)))
    assert one == [everything[0], everything[3]]


@pytest.mark.parametrize(
    ("command", "module", "hint"),
    [
        ("plot 0", "matplotlib.figure", f"runs plot needs matplotlib: install it with  {how_to_install('plot')}"),
        ("export --format parquet", "pyarrow", f"Parquet needs pyarrow: install it with  {how_to_install('parquet')}"),
        ("samples 0 --format parquet", "pyarrow", "Parquet needs pyarrow: install it with"),
        ("export --format hdf5", "h5py", "HDF5 needs h5py: install it with"),
    ],
)
async def test_a_missing_extra_says_what_to_install(
    filled: SqliteRunStore, database: Path, command: str, module: str, hint: str
) -> None:
    """Without an optional library its command says in one line how to get it, and writes nothing."""
    with patch.dict(sys.modules, {module: None}):
        result = invoke(database, *command.split(), "--output", str(database.parent / "output"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith(f"error: {hint}")
    assert "output" not in [file.name for file in _files(database.parent)]


async def test_diff_shows_what_differs(filled: SqliteRunStore, database: Path) -> None:
    """Only what differs is shown, a line each."""
    lines = [line.split() for line in invoke(database, "diff", "0", "1").stdout.splitlines()]
    assert lines == [
        ["e18008", "run", "0", "run", "1"],
        ["title", "say", '"0",', "twice", "say", '"1",', "twice"],
        ["state", "complete", "running"],
        ["duration", "25:01:01"],
    ]
    assert invoke(database, "diff", "0", "0").stdout == "run 0 and run 0 of e18008 have no recorded differences\n"


A, B, C = (letter * 64 for letter in "abc")


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (("", ""), ("", ""), []),
        ((A, f"describe-d.xcfg={A} prepare-p.xcfg={B}"), (A, f"describe-d.xcfg={A} prepare-p.xcfg={B}"), []),
        ((A, ""), (B, ""), ["CoBo0 configuration text  aaaaaaaaaaaa  bbbbbbbbbbbb"]),
        (("", ""), (A, ""), ["CoBo0 configuration text         aaaaaaaaaaaa"]),
        (
            (A, f"describe-d.xcfg={A} prepare-p q.xcfg={B} configure-c.xcfg={C}"),
            (B, f"describe-d.xcfg={A} prepare-p q.xcfg={C} configure-c.xcfg={A}"),
            [
                "CoBo0 configuration text  aaaaaaaaaaaa  bbbbbbbbbbbb",
                "CoBo0 prepare-p q.xcfg    bbbbbbbbbbbb  cccccccccccc",
                "CoBo0 configure-c.xcfg    cccccccccccc  aaaaaaaaaaaa",
            ],
        ),
    ],
)
async def test_diff_shows_what_configurations_had_inside(
    store: SqliteRunStore, database: Path, first: tuple[str, str], second: tuple[str, str], shown: list[str]
) -> None:
    """Configurations of one name with other contents differ: what the electronics were given, and each file."""
    for digest, files in (first, second):
        run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
        await store.save_run_configs(run, [RunConfig("CoBo0", ConfigChoice("d", "p q", "c"), digest, files)])
    lines = invoke(database, "diff", "0", "1").stdout.splitlines()[1:]
    assert lines == shown


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (("P10", "P10"), ("P10", "He"), ["target_gas end  P10    He"]),
        (("P10", "He"), ("P10", "He"), []),
        ((None, "He"), ("He", "He"), ["target_gas begin         He"]),
    ],
)
async def test_diff_shows_a_text_that_changed_in_a_run(
    store: SqliteRunStore,
    database: Path,
    first: tuple[str | None, str],
    second: tuple[str | None, str],
    shown: list[str],
) -> None:
    """Values are compared at the begin and at the end of both runs."""
    await store.define_observables("e1", [GAS])
    for begin, end in (first, second):
        run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
        row = Measurement("target_gas", begin, end, Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0))
        await store.save_measurements(run, [row])
    assert invoke(database, "diff", "0", "1").stdout.splitlines()[1:] == shown


async def test_the_installed_command_works_without_an_ioc(database: Path) -> None:
    """The real process lists the runs of a database that nobody has open."""
    store = await SqliteRunStore.open(database)
    await store.reserve_run("e1", "as a process", RunClass.Beam, "")
    await store.close()
    listed, failed = await asyncio.gather(
        asyncio.to_thread(_process, "runs", "list", "--database", str(database)),
        asyncio.to_thread(_process, "runs", "show", "9", "--database", str(database)),
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "as a process" in listed.stdout
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: run 9 is not in experiment e1: its last one is run 0\n"


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("attpc-ioc")
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=30, check=False)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_wide_characters_are_aligned(store: SqliteRunStore, database: Path) -> None:
    """A title in characters that take two places on the terminal, or none, does not shift the columns behind it."""
    for title in ("krypton", "日本語", "e\u0301clair"):
        await store.reserve_run("e1", title, RunClass.Beam, "")
    _, heading, *lines = invoke(database, "list").stdout.splitlines()
    assert [wcswidth(line[: line.index("starting")]) for line in lines] == [heading.index("state")] * 3


async def test_a_line_break_in_a_text_breaks_no_line(store: SqliteRunStore, database: Path) -> None:
    """A table has one line a row, whatever is in it, and no colour codes."""
    record = await store.reserve_run("e1", "", RunClass.Beam, "")
    await store.save_run(replace(record, title="two\nlines"))
    assert "two lines" in invoke(database, "list").stdout
    assert len(invoke(database, "list").stdout.splitlines()) == 3
    assert "\x1b" not in invoke(database, "show", "0").stdout


def test_commands_import_neither_pandas_nor_numpy() -> None:
    """sqlite_utils does without them, though they are installed; whoever imports them later gets them."""
    program = "import sys, ioc.rundb.writing; print({'pandas', 'numpy'} & {*sys.modules}); import pandas, numpy"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


_LOADED = """
import atexit, sys
atexit.register(lambda: print({"sqlite_utils", "pydantic", "asyncio", "caproto"} & {*sys.modules}, file=sys.stderr))
from ioc.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["list", "list --json", "show 0", "diff 0 0", "export", "samples 0"])
async def test_reading_imports_nothing_for_writing(store: SqliteRunStore, database: Path, command: str) -> None:
    """A command that only reads imports neither sqlite-utils nor the topology's schema nor anything of the IOC."""
    await store.reserve_run("e1", "", RunClass.Beam, "")
    program = [sys.executable, "-c", _LOADED, "runs", *command.split(), "--database", database]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "set()\n")
