"""Where commands write: files that are there whole or not at all, and standard output of every kind."""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from tabulate import tabulate

from ioc.cli.main import main
from ioc.cli.output import table, whole_file
from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from tests.rundb.rows import GAS, PRESSURE, reading

COMMAND = Path(sys.executable).parent / "attpc-ioc"
FULL = Path("/dev/full")
MANY = 5000
WITH_SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
from ioc.cli.main import main
main(prog_name="attpc-ioc")
"""


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Run 0 of e1: samples that do not compress, a text beyond Latin-1 in its title, and units that are in it."""
    path = tmp_path / "data" / "runs.db"
    path.parent.mkdir()
    store = await SqliteRunStore.open(path)
    await store.define_observables("e1", [PRESSURE.model_copy(update={"units": "µT"}), GAS])
    run = (await store.reserve_run("e1", "日 krypton", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(math.sqrt(number), 1.8e9 + number) for number in range(MANY)])
    await store.flush()
    await store.close()
    return path


def call(database: Path, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["runs", *map(str, arguments), "--database", str(database)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


WRITING = [
    ("export",),
    ("export", "--format", "json"),
    ("export", "--format", "parquet"),
    ("samples", "0"),
    ("samples", "0", "--format", "parquet"),
    ("plot", "0"),
    ("export", "--format", "hdf5"),
    ("export", "--format", "bluesky"),
]


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
@pytest.mark.parametrize("name", ["runs.db", "runs.db-wal", "runs.db-shm", "runs.db.lock", "link.db", "."])
def test_the_database_is_never_written_over(database: Path, command: tuple[str, ...], name: str) -> None:
    """Output that names a file of the database, by whatever path, is wrong usage and changes nothing."""
    (database.parent / "link.db").symlink_to(database)
    before = {each: each.read_bytes() for each in database.parent.iterdir()}
    output = database.parent / name if name != "." else database.parent / "nowhere" / ".." / "runs.db"
    result = call(database, *command, "--output", output)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: --output {output} is a file of the run database, but must be another one")
    assert {each: each.read_bytes() for each in database.parent.iterdir()} == before


@pytest.mark.parametrize("older", [None, "what was there"])
@pytest.mark.parametrize("command", [*WRITING[3:5], ("export", "--format", "hdf5")], ids=" ".join)
def test_an_error_in_the_middle_leaves_what_was_there(
    database: Path, tmp_path: Path, command: tuple[str, ...], older: str | None
) -> None:
    """When a file cannot be written to its end there is the older one as it was, or none."""
    output = tmp_path / "out" / "file"
    output.parent.mkdir()
    if older is not None:
        output.write_text(older)
    arguments = ["runs", *command, "--database", str(database), "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", WITH_SMALL_FILES, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {output} cannot be written: File too large\n"
    assert [each.read_text() for each in output.parent.iterdir()] == ([] if older is None else [older])


@pytest.mark.parametrize("older", [None, "what was there"])
def test_ctrl_c_leaves_what_was_there(tmp_path: Path, older: str | None) -> None:
    """An interrupted command leaves the older file, or none, and nothing beside it."""
    output = tmp_path / "file"
    if older is not None:
        output.write_text(older)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(output, tmp_path / "runs.db")
    assert [each.read_text() for each in tmp_path.iterdir()] == ([] if older is None else [older])


def _interrupted(output: Path, database: Path) -> None:
    with whole_file(output, database) as path:
        path.write_text("half")
        raise KeyboardInterrupt


def test_a_file_is_replaced_as_it_is(database: Path, tmp_path: Path) -> None:
    """An older file keeps its permissions; of a link the file behind it is written; a new one is as others are."""
    older, link, new = tmp_path / "older.csv", tmp_path / "link.csv", tmp_path / "new.csv"
    older.write_text("before")
    older.chmod(0o660)
    link.symlink_to(older)
    for output in (link, new):
        assert call(database, "export", "--output", output).exit_code == 0
    assert link.is_symlink()
    assert older.read_text(encoding="utf-8-sig").startswith("run_number,")
    umask = os.umask(0)
    os.umask(umask)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (older, new)] == [0o660, 0o666 & ~umask]


@pytest.mark.parametrize("name", ["x" * 300, "nowhere/x", "runs.txt/x"])
def test_where_no_file_can_be(database: Path, name: str) -> None:
    """A name that no file can have, or a directory that is none, is said in one line."""
    (database.parent / "runs.txt").touch()
    result = call(database, "export", "--output", database.parent / name)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {database.parent / name} cannot be written: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_link_to_itself_is_replaced(database: Path) -> None:
    """A link that leads nowhere, not even out of itself, is no reason for more than a file in its place."""
    link = database.parent / "loop"
    link.symlink_to(link)
    assert call(database, "export", "--output", link).exit_code == 0
    assert link.read_text(encoding="utf-8-sig").startswith("run_number,")


def test_what_is_no_file_is_written_to(database: Path, tmp_path: Path) -> None:
    """A pipe, as a device, gets the data and stays what it is."""
    pipe, copy = tmp_path / "pipe", tmp_path / "copy"
    os.mkfifo(pipe)
    with copy.open("wb") as copied, subprocess.Popen(["cat", pipe], stdout=copied):
        assert call(database, "samples", "0", "--output", pipe).exit_code == 0
    assert len(copy.read_text(encoding="utf-8-sig").splitlines()) == MANY + 1
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def process(
    *arguments: str | Path, stdout: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    with (stdout or Path(os.devnull)).open("wb") as output:
        return subprocess.run(
            [COMMAND, *arguments],
            stdout=output if stdout else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
            timeout=120,
            check=False,
        )


ON_STANDARD_OUTPUT = [
    ("runs", "list"),
    ("runs", "show", "0"),
    ("runs", "export"),
    ("runs", "export", "--format", "json"),
    ("runs", "samples", "0"),
]


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [*ON_STANDARD_OUTPUT, ("--version",), ("runs", "--help")], ids=" ".join)
def test_standard_output_that_is_full(database: Path, command: Sequence[str]) -> None:
    """What cannot be written to standard output is said in one line, exit code 1."""
    where = ["--database", database] if len(command) > 1 and command[1] != "--help" else []
    done = process(*command, *where, stdout=FULL)
    assert (done.returncode, done.stderr.decode()) == (
        1,
        "error: standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("command", ON_STANDARD_OUTPUT, ids=" ".join)
def test_standard_output_that_is_closed(database: Path, command: Sequence[str]) -> None:
    """Data that go nowhere are an error in one line; text that nobody reads is none."""
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", COMMAND, *command, "--database", database]
    done = subprocess.run(closed, capture_output=True, text=True, timeout=120, check=False)
    if command[1] in {"list", "show"}:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        said = "error: standard output is closed, but must be open: --output FILE writes to a file\n"
        assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_device_that_is_full(database: Path) -> None:
    """A device that is named as the output gets no data that it has no room for, and stays a device."""
    done = process("runs", "export", "--database", database, "--output", FULL)
    assert (done.returncode, done.stderr.decode()) == (
        1,
        "error: /dev/full cannot be written: No space left on device\n",
    )
    assert FULL.is_char_device()


@pytest.mark.parametrize("command", ON_STANDARD_OUTPUT, ids=" ".join)
def test_who_reads_no_further_is_not_told(database: Path, command: Sequence[str]) -> None:
    """When the reader of a pipe has enough the command ends without a word."""
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    try:
        done = subprocess.run(
            [COMMAND, *command, "--database", database],
            stdout=writing_end,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", ON_STANDARD_OUTPUT[:2], ids=" ".join)
def test_text_for_people_is_shown_on_any_terminal(database: Path, command: Sequence[str]) -> None:
    """A character that standard output does not have is shown by its number; the rest as it is."""
    done = process(*command, "--database", database, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u65e5 krypton" in done.stdout


@pytest.mark.parametrize(
    ("command", "encoding", "character"),
    [(("runs", "export"), "latin-1", "\\u65e5"), (("runs", "samples", "0"), "iso8859-5", "\\xb5")],
)
def test_data_are_not_changed_for_a_terminal(
    database: Path, command: Sequence[str], encoding: str, character: str
) -> None:
    """Data for programs are not written in other characters: the line says what will do."""
    done = process(*command, "--database", database, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    [line] = done.stderr.decode("ascii").splitlines()
    assert line.startswith("error: standard output is ")
    assert line.endswith(f", which has no '{character}': --output FILE writes UTF-8")


@settings(max_examples=300)
@given(
    st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(st.text(st.sampled_from("ab \n\t日é\u0301µ=-"), max_size=8), min_size=columns, max_size=columns),
            min_size=1,
        )
    )
)
def test_tables_are_aligned_as_those_of_tabulate(lines: list[list[str]]) -> None:
    """Also with wide and combining characters; but no line ends in spaces."""
    cells = [[" ".join(cell.split()) for cell in line] for line in lines]
    expected = tabulate(cells, tablefmt="plain", disable_numparse=True)
    assert table(lines).split("\n") == [line.rstrip() for line in expected.split("\n")]
