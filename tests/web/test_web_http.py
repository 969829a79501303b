"""The server of the page over HTTP, with a run database and without an IOC."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import ioc.web
from ioc.cli.extras import how_to_install
from ioc.model import FiledFile, RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from ioc.rundb.connection import connect_for_reading
from ioc.rundb.formats import local_time
from ioc.rundb.pages import PageBook
from ioc.topology.schema import Observable
from tests.rundb.rows import PRESSURE, event, execute, locked, reading, rows
from tests.rundb.test_rundb_browse import has_ipv6
from tests.web.serving import COMMAND, Web

HOSTILE = [
    "<script>document.body.dataset.hacked = 1</script>",
    "\u202eright to left\u202c مرحبا",
    "\"quotes' & <img src=x onerror=alert(1)>",
    "x" * 8192,
    "{{ 7 * 7 }} {% raw %}",
    "nul\ufffd \x1b[31m \x07",
]
PAGES = ["/", "/runs", "/runs/0", "/trends", "/runs/0/pressure.svg", "/trends/pressure.svg", "/static/live.js"]
Start = Callable[..., Web]


async def fill(store: SqliteRunStore, titles: list[str], experiment: str = "e1") -> None:
    """Runs with these titles, each with an observable, a file and an event."""
    await store.define_observables(experiment, [PRESSURE])
    for number, title in enumerate(titles):
        run = (await store.reserve_run(experiment, title, RunClass.Production, "a/b/c")).run
        store.add_samples(experiment, run, [reading(1.5 + number), reading(None), reading(2.5 + number)])
        row = Measurement("pressure", 1.5 + number, 2.0, Statistics(1.0, 3.0, 2.0, 10, Severity.NO_ALARM, 0.5))
        await store.save_measurements(run, [row])
        await store.add_files(run, FiledFile("data0", "host0", f"/data/{title[:20]}.graw", 100, 1795350000.0))
        store.add_event(event(f"event {title[:20]}", run=run))
    await store.flush()


@pytest.fixture
async def filled(store: SqliteRunStore, database: Path) -> SqliteRunStore:
    """Runs with hostile titles."""
    await fill(store, HOSTILE)
    for number, title in enumerate(HOSTILE):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE runs SET title = ?, comment = ?, message = ? WHERE run_number = ?",
                (title, title, title, number),
            )
    return store


async def test_every_page_answers_with_a_strict_policy(filled: SqliteRunStore, start: Start) -> None:
    """Each page is there, by GET and HEAD, and its policy allows no script but those of this server."""
    web = start()
    for page in PAGES:
        answer = web.ask(page)
        assert answer.status == 200, (page, answer.text)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        head = web.ask(page, "HEAD")
        assert (head.status, head.body) == (200, b"")
        if "html" in answer.headers["Content-Type"]:
            assert not re.search(r"<script(?! src=)|\son[a-z]+=\"|\sstyle=\"|(src|href)=\"(https?:)?//", answer.text)


async def test_only_reading_is_answered(filled: SqliteRunStore, start: Start) -> None:
    """Whatever is not GET or HEAD is refused everywhere, also at Datasette."""
    web = start()
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for page in ("/", "/runs", "/events", "/database/", "/nowhere"):
            answer = web.ask(page, method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_nothing_of_the_page_can_write() -> None:
    """No module of the page names a way to put to a PV or to write into the database."""
    words = re.compile(r"caput|\bput\b\(|for_editing|for_writing|RunStore|ioc\.rundb\.(edit|documents|writer)|pvput")
    files = list((Path(ioc.web.__file__).parent).glob("*.py"))
    assert len(files) > 8
    assert [file.name for file in files if words.search(file.read_text())] == []


async def test_the_database_of_a_page_is_read_only(filled: SqliteRunStore, database: Path, start: Start) -> None:
    """A connection of a page cannot write, and Datasette refuses a statement that would."""
    with (
        closing(connect_for_reading(database)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM runs")
    web = start()
    assert web.ask("/database/runs.json", sql="DELETE FROM runs").status == 400
    assert len(rows(database, "SELECT 1 FROM runs")) == len(HOSTILE)


async def test_hostile_titles_are_text(filled: SqliteRunStore, start: Start) -> None:
    """A title with markup, quotes, templates or 8 KiB is shown as a text on every page that shows titles."""
    web = start()
    for page in ["/runs", "/trends", *(f"/runs/{number}" for number in range(len(HOSTILE)))]:
        answer = web.ask(page)
        assert answer.status == 200
        assert "<script>document" not in answer.text
        assert "<img src=x" not in answer.text
    assert "&lt;script&gt;document" in web.ask("/runs/0").text
    assert "x" * 8192 in web.ask("/runs/3").text
    assert "{{ 7 * 7 }}" in web.ask("/runs/4").text


async def test_search(filled: SqliteRunStore, start: Start) -> None:
    """A number finds its run, a text those that contain it; signs of patterns are only characters."""
    web = start()
    for search, found in {
        "script": [0],
        "RIGHT TO": [1],
        "3": [3, 5],
        "%": [4],
        "_": [],
        "{{ 7": [4],
        "' OR 1=1": [],
    }.items():
        page = web.ask("/runs", search=search).text
        assert sorted(int(number) for number in re.findall(r'href="/runs/(\d+)\?', page)) == found, search


async def test_pages_of_runs_miss_and_repeat_nothing(store: SqliteRunStore, database: Path) -> None:
    """Forth and back through all pages each run comes once, in order."""
    for number in range(23):
        await store.reserve_run("e1", f"run {number}", RunClass.Beam, "")
    with PageBook(database, "e1", None, lambda: False) as book:
        page = book.run_list("", before=None, after=None, limit=5)
        seen = [row["run_number"] for row in page.runs]
        assert page.newer is None
        while page.older is not None:
            page = book.run_list("", before=page.older, after=None, limit=5)
            seen += [row["run_number"] for row in page.runs]
        assert seen == list(range(22, -1, -1))
        back = [row["run_number"] for row in page.runs]
        while page.newer is not None:
            page = book.run_list("", before=None, after=page.newer, limit=5)
            back = [row["run_number"] for row in page.runs] + back
        assert back == list(range(22, -1, -1))


async def test_a_page_of_a_run(filled: SqliteRunStore, start: Start) -> None:
    """It has conditions, plot, files, configuration, what went wrong, what changed, and its neighbours."""
    page = start().ask("/runs/2").text
    for text in ("What went wrong", "Bad times", "What changed since the previous run", "Conditions", "Files", "Log"):
        assert text in page
    assert "/runs/2/pressure.svg" in page
    assert 'href="/runs/1?' in page
    assert 'href="/runs/3?' in page
    assert "1 file" in page


async def test_purged_files_do_not_look_as_if_they_were_there(
    filled: SqliteRunStore, database: Path, start: Start
) -> None:
    """The page of their run says that they are gone, and when they were removed."""
    web = start()
    assert "purge" not in web.ask("/runs/2").text
    execute(
        database,
        "UPDATE files SET purged_at = '2026-11-22T12:00:00.000000Z' "
        "WHERE run_id = (SELECT id FROM runs WHERE run_number = 2)",
    )
    page = web.ask("/runs/2").text
    assert "1 of them is no longer there: removed by <code>runs purge</code>" in page
    assert f'data-label="Purged"><span class="t" dir="auto">{local_time("2026-11-22T12:00:00Z")}' in page


async def test_a_trend_with_other_units(filled: SqliteRunStore, database: Path, start: Start) -> None:
    """Torr and mbar are not in one picture; the table has both with their units."""
    web = start()
    assert "other units" not in web.ask("/trends?observable=pressure").text
    mbar = Observable(name="pressure", pv="GAS:P", units="mbar")
    await filled.define_observables("e1", [mbar])
    run = (await filled.reserve_run("e1", "", RunClass.Production, "a/b/c")).run
    figures = Statistics(1012.0, 1014.0, 1013.0, 1, Severity.NO_ALARM, 0.0)
    await filled.save_measurements(run, [Measurement("pressure", 1013.0, 1013.0, figures)])
    await filled.flush()
    page = web.ask("/trends?observable=pressure").text
    assert "pressure [mbar], runs" in page
    assert "In some of these runs it had other units" in page
    assert 'data-label="Units">Torr<' in page
    assert web.ask("/trends/pressure.svg").text.count('class="mean"') == 1


async def test_trends_begin_with_what_is_measured(store: SqliteRunStore, start: Start) -> None:
    """Not with a number that somebody may enter, though it is the first."""
    energy = Observable(name="energy")
    await store.define_observables("e1", [energy, PRESSURE])
    await store.flush()
    assert '<option value="pressure" selected>' in start().ask("/trends").text


NOT_THERE = {
    "/runs/77": "run 77 is not in experiment e1: its last one is run 5",
    "/runs/77/pressure.svg": "run 77 is not in experiment e1",
    "/runs/0/nothing.svg": "has no observable nothing",
    "/runs?experiment=other": "experiment other is not in the run database",
    "/nowhere": "There is no such page",
    "/runs/99999999999999999999": "is not in experiment e1",
    "/static/../server.py": "There is no such page",
}


async def test_what_is_not_there_is_said(filled: SqliteRunStore, start: Start) -> None:
    """The answer is 404, and a page with a sentence."""
    web = start()
    for page, said in NOT_THERE.items():
        answer = web.ask(page)
        assert (page, answer.status) == (page, 404)
        assert said in answer.text


def test_no_database_yet(start: Start) -> None:
    """Without a run database the pages of runs say so, and the present is shown all the same."""
    web = start()
    for page in ("/runs", "/runs/0", "/trends", "/trends/pressure.svg", "/database/"):
        answer = web.ask(page)
        assert (answer.status, "there is no run database" in answer.text) == (503, True)
    assert web.ask("/").status == 200


async def test_a_newer_database(filled: SqliteRunStore, database: Path, start: Start) -> None:
    """The page says which version is needed; it works again when the database does."""
    web = start()
    version = rows(database, "PRAGMA user_version")[0][0]
    await filled.close()
    execute(database, "PRAGMA user_version = 99")
    answer = web.ask("/runs")
    assert (answer.status, "has version 99" in answer.text) == (503, True)
    execute(database, f"PRAGMA user_version = {version}")
    assert web.ask("/runs").status == 200


async def test_a_locked_database(filled: SqliteRunStore, database: Path, start: Start) -> None:
    """The page says that the database is locked instead of waiting for it."""
    web = start()
    await filled.close()
    execute(database, "PRAGMA journal_mode = DELETE")  # with WAL, a lock keeps no reader out
    with locked(database):
        answer = web.ask("/runs")
        assert (answer.status, "is locked by another program" in answer.text) == (503, True)
    assert web.ask("/runs").status == 200


async def test_no_runs_and_no_experiment(store: SqliteRunStore, start: Start) -> None:
    """A database without experiment or runs is a state, not an error of the server."""
    web = start()
    assert "has no experiment yet" in web.ask("/runs").text
    await store.define_observables("e1", [PRESSURE])
    assert "has no runs yet" in web.ask("/runs").text
    assert "was not measured" in web.ask("/trends").text


async def test_other_names_are_refused(filled: SqliteRunStore, start: Start) -> None:
    """A page of another site that points its name at us gets nothing."""
    web = start()
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[evil]"):
        for page in ("/", "/events", "/database/"):
            assert web.ask(page, headers={"Host": host}).status == 400


async def test_own_names_are_answered(filled: SqliteRunStore, start: Start) -> None:
    """Addresses, localhost and the machine's name are accepted, with any port."""
    web = start()
    for host in ("127.0.0.1", "localhost:8002", "[::1]:80", "192.0.2.7", socket.gethostname(), "LOCALHOST"):
        assert web.ask("/", headers={"Host": host}).status == 200, host


async def test_login_by_a_proxy(filled: SqliteRunStore, start: Start) -> None:
    """With --login-header, only requests with that header are answered, and the page names the user."""
    web = start("--login-header", "X-Remote-User")
    for page in ("/", "/runs", "/events", "/static/live.js", "/database/"):
        assert web.ask(page).status == 403
        assert web.ask(page, headers={"X-Remote-User": " "}).status == 403
    answer = web.ask("/runs", headers={"x-remote-user": "<b>ada"})
    assert answer.status == 200
    assert "&lt;b&gt;ada" in answer.text


async def test_an_observable_with_gaps_and_texts_is_drawn(filled: SqliteRunStore, start: Start) -> None:
    """The picture of a run has a curve; that of a phone is narrow."""
    web = start()
    picture = web.ask("/runs/0/pressure.svg")
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert 'class="line" d="M' in picture.text
    assert 'viewBox="0 0 360 ' in web.ask("/runs/0/pressure.svg", width="360").text


async def test_datasette_is_beside(filled: SqliteRunStore, start: Start) -> None:
    """All of `browse` is below /database/, and its links stay there."""
    page = start().ask("/database/runs")
    assert page.status == 200
    assert "Runs of an experiment" in page.text
    assert re.findall(r'(?:href|src)="/(?!database/)[^"]*"', page.text) == ['href="/"'], "the way back"


def refusal(before: str, *arguments: str) -> tuple[int, str, str]:
    """What the command says when it does not serve."""
    code = f"{before}; from ioc.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND[3:], *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_what_is_missing_is_said_in_a_line(topology: Path) -> None:
    """Without Starlette, with a port in use or a wrong option there is one line and no traceback."""
    missing = refusal("import sys; sys.modules['starlette'] = None", "--topology", str(topology))
    said = f"error: the live page needs Starlette, uvicorn and Jinja: install it with  {how_to_install('web')}\n"
    assert missing == (1, "", said)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        used = refusal("pass", "--topology", str(topology), "--port", str(port))
    said = f"error: 127.0.0.1:{port} cannot be opened: Address already in use; choose another port with --port\n"
    assert used == (1, "", said)
    code, out, err = refusal("pass", "--topology", str(topology), "--login-header", "X User")
    assert (code, out, err.count("\n")) == (2, "", 1)


async def test_who_serves_others_is_warned(filled: SqliteRunStore, start: Start) -> None:
    """An address that others reach is warned of; a loopback address is not."""
    assert start("--host", "0.0.0.0").end()[2].startswith("warning: everybody who reaches 0.0.0.0 can read")
    assert start().end()[2] == ""


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_an_ipv6_address_stands_in_brackets(start: Start) -> None:
    """The address that is said can be opened."""
    assert start("--host", "::1").address.startswith("http://[::1]:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_word(start: Start, number: int) -> None:
    """Exit status 0, nothing on stdout or stderr."""
    assert start().end(number)[:3] == (0, "", "")


async def test_a_database_that_comes_later_is_shown(start: Start, database: Path) -> None:
    """Nothing is kept between two requests."""
    web = start()
    assert web.ask("/runs").status == 503
    store = await SqliteRunStore.open(database)
    await store.reserve_run("e1", "later", RunClass.Beam, "")
    assert "later" in web.ask("/runs").text
    await store.close()
