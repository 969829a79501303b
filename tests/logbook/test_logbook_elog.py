"""The Elog of PSI by py_elog (or, where that is not installed, by a stand-in of the library), and a Markdown file."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ioc.logbook.plot import Plotter
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Logbook
from tests.epics import eventually
from tests.logbook.conftest import Desk, finished_run
from tests.logbook.elog_stub import ElogStub
from tests.logbook.test_logbook_olog import working

STAND_IN = Path(__file__).with_name("stand_in")
TITLES = ["Run 0 started: krypton \u03b1", "Run 0 ended: krypton \u03b1"]


class Small(Plotter):
    """Draws at once."""

    async def draw(self, occasion: Any, page: Any) -> bytes | None:
        return b"\x89PNG small"


@pytest.fixture
def elog(monkeypatch: pytest.MonkeyPatch) -> Iterator[ElogStub]:
    if importlib.util.find_spec("elog") is None:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("ELOG_PASSWORD", "s3cret")
    with ElogStub(required=("Type",)) as stub:
        yield stub


def section(stub: ElogStub, **changes: Any) -> Logbook:
    usual = {"name": "elog", "kind": "elog", "url": stub.url, "user": "shift", "password": "env:ELOG_PASSWORD"}
    return Logbook.model_validate({**usual, "attributes": {"Type": "Run"}, **changes})


async def test_a_run_in_an_elog(store: SqliteRunStore, desk: Desk, elog: ElogStub) -> None:
    """Start and end are entries of plain text, with the title as subject, required attributes, plot and id."""
    keeper = desk.keeper(section(elog), seconds=20, plotter=Small(Path()))
    async with working(keeper, await finished_run(store, "krypton \u03b1")):
        await eventually(lambda: len(elog.entries) == 2 and keeper.waiting == 0)
    end = elog.entries[1]
    assert (end["Subject"], end["Type"], end["Author"]) == ("Run 0 ended: krypton \u03b1", "Run", "shift")
    assert ["pressure", "1.5", "2.5", "1", "3", "2", "Torr"] in [line.split() for line in end["Text"].splitlines()]
    assert "no data from CoBo[0] <b>for</b> 10 s" in end["Text"]
    assert end["Encoding"] == "plain"
    assert end["Text"].splitlines()[-1].startswith("attpc-ioc ")
    assert elog.pictures == [b"\x89PNG small"]


async def test_sent_once_although_the_reply_is_lost(store: SqliteRunStore, desk: Desk, elog: ElogStub) -> None:
    """An entry that was stored without an answer is found by its id and not sent again."""
    elog.fault = "lost reply"
    keeper = desk.keeper(section(elog), seconds=20)
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: len(elog.entries) >= 2 and keeper.waiting == 0)
    assert sorted(entry["Subject"] for entry in elog.entries) == ["Run 0 ended: krypton", "Run 0 started: krypton"]


@pytest.mark.parametrize(
    "case",
    [
        ("hang", {}, "no answer"),
        ("500", {}, "it rejects everything"),
        ("", {"url": "{url}/nope/"}, "is there a logbook at this address"),
        ("", {"user": "nobody"}, "it does not accept user and password"),
        ("", {"url": "http://127.0.0.1:1/book/"}, "it cannot be reached"),
    ],
)
async def test_a_bad_elog_is_waited_for(
    store: SqliteRunStore, desk: Desk, elog: ElogStub, case: tuple[str, dict[str, Any], str]
) -> None:
    """Whatever is wrong is said in a sentence without the password; nothing is lost, and the end does not wait."""
    fault, changes, problem = case
    elog.fault = fault
    changes = {key: value.format(url=elog.url.removesuffix("/book/")) for key, value in changes.items()}
    keeper = desk.keeper(section(elog, **changes), seconds=10)
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: problem in keeper.problem)
        began = time.monotonic()
    assert time.monotonic() - began < 2, "the service has 10 s"
    assert keeper.refused == 0
    assert "s3cret" not in "".join(desk.lines)


async def test_missing_attributes(store: SqliteRunStore, desk: Desk, elog: ElogStub) -> None:
    """An entry without an attribute that the logbook requires is put aside."""
    keeper = desk.keeper(section(elog, attributes=None), seconds=20, plotter=Small(Path()))
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: keeper.refused == 2)
    assert "are the attributes in the topology those of the logbook" in desk.lines[0]


async def test_too_large_a_plot_is_left_out(store: SqliteRunStore, desk: Desk, elog: ElogStub) -> None:
    """If the logbook takes no plot of this size, the entry comes without it."""

    class Large(Plotter):
        async def draw(self, occasion: Any, page: Any) -> bytes | None:
            return b"\x89PNG" * 100_000

    elog.largest = 100_000
    keeper = desk.keeper(section(elog), seconds=20, plotter=Large(Path()))
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: len(elog.entries) == 2 and keeper.waiting == 0)
    assert elog.pictures == []


@pytest.mark.parametrize(("charset", "shown"), [("UTF-8", "10 \u00b5A \u03b1"), ("ISO-8859-1", "10 \u00b5A ?")])
async def test_titles_are_shown_as_they_were_typed(
    store: SqliteRunStore, desk: Desk, elog: ElogStub, charset: str, shown: str
) -> None:
    """Texts are sent in the character set of the server; only what that does not have is a question mark."""
    with ElogStub(charset=charset) as other:
        keeper = desk.keeper(section(other), seconds=20)
        async with working(keeper, await finished_run(store, "10 \u00b5A \u03b1")):
            await eventually(lambda: len(other.entries) == 2 and keeper.waiting == 0)
    assert sorted(entry["Subject"] for entry in other.entries) == [f"Run 0 ended: {shown}", f"Run 0 started: {shown}"]


async def test_without_the_library(
    store: SqliteRunStore, desk: Desk, elog: ElogStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If py_elog is not installed the entries wait, and the message says so."""
    if importlib.util.find_spec("elog") is not None:
        pytest.skip("py_elog is installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    keeper = desk.keeper(section(elog), seconds=20)
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: "py_elog is not installed" in keeper.problem)


async def test_a_markdown_file(store: SqliteRunStore, desk: Desk, tmp_path: Path) -> None:
    """Entries are sections of a file that has other text already, with the plot beside it."""
    file = tmp_path / "my runs.md"
    file.write_text("# Our notes\n\n")
    keeper = desk.keeper(
        Logbook.model_validate({"name": "notes", "kind": "markdown", "file": str(file)}), plotter=Small(Path())
    )
    async with working(keeper, await finished_run(store, "*bold*")):
        await eventually(lambda: file.read_text().count("<!-- end of ") == 2)
    text = file.read_text()
    assert text.startswith("# Our notes\n\n<!-- attpc-ioc ")
    assert "\n## Run 0 ended: \\*bold\\*\n" in text
    [picture] = (tmp_path / "my runs.md-plots").iterdir()
    assert f"](my%20runs.md-plots/{picture.name})" in text


@pytest.mark.parametrize("what", ["folder", "no folder", "pipe"])
async def test_a_file_that_cannot_be_written(store: SqliteRunStore, desk: Desk, tmp_path: Path, what: str) -> None:
    """Whatever is in place of the file, the entries wait and the message says why; they come when it is gone."""
    file = tmp_path / "sub" / "runs.md"
    if what != "no folder":
        file.parent.mkdir()
        if what == "pipe":
            os.mkfifo(file)
        else:
            file.mkdir()
    keeper = desk.keeper(Logbook.model_validate({"name": "notes", "kind": "markdown", "file": str(file)}))
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: "cannot be written" in keeper.problem)
        if what == "no folder":
            file.parent.mkdir()
        elif what == "pipe":
            file.unlink()
        else:
            file.rmdir()
        await eventually(lambda: file.is_file() and file.read_text().count("<!-- end of ") == 2)


@pytest.mark.parametrize("behind", ["", "my own notes\n"])
async def test_an_entry_that_was_cut_off(store: SqliteRunStore, desk: Desk, tmp_path: Path, behind: str) -> None:
    """What a kill left of an entry is replaced by the whole entry; what somebody wrote behind it is not lost."""
    file = tmp_path / "runs.md"
    file.mkdir()  # so that the entries wait
    book = Logbook.model_validate({"name": "notes", "kind": "markdown", "file": str(file)})
    spool = desk.folder / "spool/notes"
    async with working(desk.keeper(book), await finished_run(store)):
        await eventually(lambda: len(list(spool.glob("0*.json"))) == 2)
    first = json.loads(min(spool.glob("0*.json")).read_text())
    begin = f"<!-- attpc-ioc {first['id']} -->"
    file.rmdir()
    file.write_text(f"# Notes\n{begin}\n\n## {first['title']}\n\n{first['body'][:40]}{behind}")
    async with working(desk.keeper(book)):
        await eventually(lambda: file.read_text().count("<!-- end of ") == 2)
    assert file.read_text().count(begin) == 1 + bool(behind)
    assert file.read_text().startswith("# Notes\n<!-- ")
    assert behind in file.read_text()
