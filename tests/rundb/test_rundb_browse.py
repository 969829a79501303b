"""``attpc-ioc browse`` as a process, over HTTP, while a store writes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ioc.cli.extras import how_to_install
from ioc.model import FiledFile, RunClass, RunId, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from tests.rundb.rows import PRESSURE, event, reading
from tests.rundb.somebody import unprivileged

STARTED = 1795350000.0


@pytest.fixture
async def filled(store: SqliteRunStore) -> SqliteRunStore:
    """Two runs of e18008 with an observable, a file and an event each."""
    await store.define_observables("e18008", [PRESSURE])
    for number in range(2):
        run = (await store.reserve_run("e18008", f"run <{number}>", RunClass.Production, "a/b/c")).run
        store.add_samples("e18008", run, [reading(1.5, STARTED)])
        row = Measurement("pressure", 1.5 + number, 2.0, Statistics(1.0, 3.0, 2.0, 10, Severity.NO_ALARM, 0.5))
        await store.save_measurements(run, [row])
        await store.add_files(run, FiledFile("data0", "host0", f"/data/{number}.graw", 100, STARTED))
        store.add_event(event(f"event {number}", run=run))
    await store.flush()
    return store


@contextmanager
def browsing(database: Path, *arguments: str, before: Sequence[str] = ()) -> Iterator[str]:
    """A running ``attpc-ioc browse``; yields its address and ends it with Ctrl-C, after which nothing is left.

    `before` is a command that starts it.
    """
    command = [*before, sys.executable, "-c", "from ioc.cli.main import main; main()", "browse", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--database", str(database), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith(" until Ctrl-C\n"), line
        yield line.split(" is at ")[1].split()[0]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def get(address: str, page: str, **query: str) -> str:
    with urllib.request.urlopen(f"{address}{page}?{urlencode(query)}", timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def status(url: str, host: str) -> int:
    """What a request that names us so is answered with."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def table(address: str, name: str, **query: str) -> list[dict[str, Any]]:
    """Rows of a table or a query."""
    rows: list[dict[str, Any]] = json.loads(get(address, f"runs/{name}.json", _shape="array", **query))
    return rows


async def test_every_query_answers(filled: SqliteRunStore, database: Path) -> None:
    """The pages show the run sheet and the canned queries, with the newest run where a field is left empty."""
    with browsing(database) as address:
        start = get(address, "runs")
        for title in ("Runs of an experiment", "Conditions of a run", "Trend of", "Files of a run", "Log of a run"):
            assert title in start
        assert "run &lt;1&gt;" in get(address, "runs/run_sheet")
        assert [row["run_number"] for row in table(address, "runs_of_experiment")] == [1, 0]
        assert table(address, "runs_of_experiment", experiment="other") == []
        assert table(address, "conditions_of_run")[0]["begin_value"] == 2.5
        assert table(address, "conditions_of_run", run_number="0")[0]["begin_value"] == 1.5
        trend = table(address, "trend_of_observable", experiment="e18008", observable="pressure")
        assert [row["begin_value"] for row in trend] == [1.5, 2.5]
        assert table(address, "files_of_run", run_number="0")[0]["path"] == "/data/0.graw"
        assert [row["message"] for row in table(address, "log_of_run", run_number="1")] == ["event 1"]
        new = await filled.reserve_run("e18008", "meanwhile", RunClass.Testing, "")
        assert new.run == RunId("e18008", 2)
        assert table(address, "runs_of_experiment")[0]["title"] == "meanwhile"


async def test_nothing_can_be_written(filled: SqliteRunStore, database: Path) -> None:
    """A statement that would change the database is refused."""
    with browsing(database) as address:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(address, "runs.json", sql="DELETE FROM runs")
        assert refused.value.code == 400
        refused.value.close()
        assert len(table(address, "runs_of_experiment")) == 2


def refusal(before: str, *arguments: str) -> str:
    """What ``browse`` says on stderr when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", f"{before}; from ioc.cli.main import main; main()", "browse", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


async def test_what_is_missing_is_said_in_a_line(filled: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """Without Datasette, without a database or with a port in use there is one line that says what to do."""
    no_datasette = refusal("import sys; sys.modules['datasette'] = None", "--database", str(database))
    assert (
        no_datasette == f"error: browsing needs Datasette and Starlette: install it with  {how_to_install('browse')}\n"
    )
    assert refusal("pass", "--database", str(tmp_path / "no.db")).startswith("error: there is no run database")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        used = refusal("pass", "--database", str(database), "--port", str(port))
        said = f"error: 127.0.0.1:{port} cannot be opened: Address already in use; choose another port with --port"
        assert used == f"{said}\n"


async def closed(database: Path, title: str) -> None:
    """A run with this title in a database that nobody has open."""
    store = await SqliteRunStore.open(database)
    await store.reserve_run("e1", title, RunClass.Beam, "")
    await store.close()


async def test_who_may_not_write_browses_before_and_while_an_ioc_runs(database: Path) -> None:
    """Pages are shown without making a file, and show what an IOC writes that starts later."""
    place = database.parent
    await closed(database, "before")
    place.chmod(0o555)
    try:
        with browsing(database, before=unprivileged()) as address:
            assert [row["title"] for row in table(address, "runs_of_experiment")] == ["before"]
            assert sorted(each.name for each in place.iterdir()) == ["runs.db", "runs.db.lock"]
            place.chmod(0o755)
            store = await SqliteRunStore.open(database)
            place.chmod(0o555)
            await store.reserve_run("e1", "meanwhile", RunClass.Beam, "")
            assert [row["title"] for row in table(address, "runs_of_experiment")] == ["meanwhile", "before"]
            assert "run_sheet" in get(address, "runs")
            place.chmod(0o755)
            await store.close()
    finally:
        place.chmod(0o755)


async def test_who_may_write_leaves_nothing_behind(database: Path) -> None:
    """When the browser has shown its pages there are no files that another user's IOC could not write."""
    await closed(database, "one")
    with browsing(database) as address:
        assert "run_sheet" in get(address, "runs")
    assert sorted(each.name for each in database.parent.iterdir()) == ["runs.db", "runs.db.lock"]


@pytest.mark.parametrize("name", ["a#b", "a?b", "50% b"])
async def test_any_name_of_the_file_can_be_browsed(database: Path, name: str) -> None:
    """Characters that mean something in an address are served, and no other file is made."""
    await closed(database, "odd name")
    renamed = database.rename(database.with_name(f"{name}.db"))
    with browsing(renamed) as address:
        start = get(address, "")
        (path,) = set(re.findall(r'<h2[^>]*><a href="/([^"/]+)"', start))
        rows: list[dict[str, Any]] = json.loads(get(address, f"{path}/runs.json", _shape="array"))
    assert [row["title"] for row in rows] == ["odd name"]
    assert sorted(each.name for each in renamed.parent.iterdir()) == sorted([renamed.name, "runs.db.lock"])


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_an_ipv6_address_stands_in_brackets(filled: SqliteRunStore, database: Path) -> None:
    """The address that is said can be opened."""
    with browsing(database, "--host", "::1") as address:
        assert address.startswith("http://[::1]:")
        assert len(table(address, "runs_of_experiment")) == 2


async def test_other_names_are_refused(filled: SqliteRunStore, database: Path) -> None:
    """A page of another site that points its name at us gets nothing; addresses and our own names get everything."""
    with browsing(database) as address:
        for page in ("", "runs", "runs/runs.json"):
            for host in ("evil.example", "evil.example:8001", "127.0.0.1.evil.example", ""):
                assert status(address + page, host) == 400, host
            for host in ("localhost:8001", "[::1]:80", "192.0.2.7", socket.gethostname()):
                assert status(address + page, host) == 200, host


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "", "192.0.2.1"])
async def test_a_host_that_cannot_be_served(filled: SqliteRunStore, database: Path, host: str) -> None:
    """The line says what --host must be, and why this is not; nothing is served."""
    said, _, reason = refusal("pass", "--database", str(database), "--host", host).partition(": ")[2].partition(": ")
    assert said == f"--host {host!r} must be an address of this machine"
    assert reason.strip()
    assert "Unknown error" not in reason


async def test_the_newest_runs_and_events_are_always_there(store: SqliteRunStore, database: Path) -> None:
    """Of more than a thousand runs the trend has the newest, in order; so has the log of a run with its events."""
    await store.define_observables("e1", [PRESSURE])
    last = None
    for number in range(1100):
        last = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
        statistics = Statistics(None, None, None, 1, Severity.NO_ALARM, 0.0)
        await store.save_measurements(last, [Measurement("pressure", float(number), None, statistics)])
        store.add_event(event(f"event {number}", RunId("e1", 0)))
    await store.flush()
    with browsing(database) as address:
        trend = table(address, "trend_of_observable", observable="pressure")
        log = table(address, "log_of_run", run_number="0")
    assert [row["run_number"] for row in trend] == list(range(100, 1100))
    assert [row["message"] for row in log] == [f"event {number}" for number in range(100, 1100)]


async def test_the_run_sheet_is_shown_without_counting_values(store: SqliteRunStore, database: Path) -> None:
    """Where Datasette would count the values of each column, which takes seconds for the run sheet, it does not."""
    for number in range(40):
        run_class = (RunClass.Beam, RunClass.Junk)[number % 2]
        await store.reserve_run("e1", f"title {number % 3}", run_class, "")
    with browsing(database) as address:
        page = get(address, "runs/run_sheet")
    assert page.count("title 2") >= 13
    assert "_facet=" not in page
