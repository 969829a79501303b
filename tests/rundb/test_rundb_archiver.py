"""``attpc-ioc archiver`` and ``runs samples --from-archiver`` against a stub of an appliance's retrieval."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from ioc.cli.main import main
from ioc.model import Reading, RunClass, RunId, Severity
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable
from tests.rundb.rows import PRESSURE, complete_run, reading

ROOT = Path(__file__).parents[2]
BEGAN = 1_795_350_000
VALVE = Observable.model_validate({"name": "valve", "pv": "GAS:V", "type": "enum"})
COUNT = Observable.model_validate({"name": "count", "pv": "GAS:N", "type": "integer"})
MODE = Observable.model_validate({"name": "mode", "pv": "GAS:MODE", "type": "string"})
STEPS = Observable.model_validate({"name": "steps", "pv": "GAS:STEPS", "type": "string"})
LONG = Observable.model_validate({"name": "long", "pv": "GAS:LONG", "type": "string"})
NOTE = Observable.model_validate({"name": "note", "type": "string"})
Event = dict[str, Any]


def archived(seconds: float, value: Any, severity: int = 0) -> Event:
    """One event as ``getData.json`` gives it, `seconds` after the begin of the run."""
    us = round(seconds * 1e6)
    return {
        "secs": BEGAN + us // 1_000_000,
        "nanos": us % 1_000_000 * 1000 + 123,
        "val": value,
        "severity": severity,
        "status": 0,
    }


COMPLETE: dict[str, list[Event]] = {
    "GAS:P": [archived(-50.0, 1.0), archived(1.5, 2.0), archived(2.5, float("nan")), archived(8.0, 3.0, 2)],
    "GAS:V": [archived(-1.0, 0), archived(2.0, 1)],
    "GAS:N": [archived(-1.0, 6.6), archived(3.0, 8.4)],
}


@contextmanager
def appliance(series: dict[str, list[Event]], status: int = 200, body: str | None = None) -> Iterator[str]:
    """A server that answers like the retrieval of an appliance: the window asked for, and the event before it."""

    class Retrieval(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = urlsplit(self.path)
            query = parse_qs(page.query)
            assert page.path == "/retrieval/data/getData.json"
            assert query["from"][0] == "2026-11-22T12:20:00.000000Z"
            pv = query["pv"][0]
            answer = [{"meta": {"name": pv, "PREC": "0"}, "data": series.get(pv)}]
            self.send_response(status if pv in series else 404)
            self.end_headers()
            self.wfile.write((json.dumps(answer) if body is None else body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Retrieval) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
async def database_with_run(store: SqliteRunStore, database: Path) -> Path:
    """Run 0 of e18008: three followed observables, one with a gap and a value that is no number, and a manual one."""
    await store.define_observables("e18008", [PRESSURE, VALVE, COUNT, NOTE])
    record = await store.reserve_run("e18008", "", RunClass.Testing, "")
    samples = [
        reading(1.0, BEGAN),
        reading(2.0, BEGAN + 1.5),
        reading(float("nan"), BEGAN + 2.5),
        reading(None, BEGAN + 4.0),
        reading(2.0, BEGAN + 5.0),  # back with a value from before, at the time of the return
        Reading("pressure", 3.0, Severity.MAJOR, "HIHI", BEGAN + 8.0),
        reading(0, BEGAN, "valve", "Shut"),
        reading(1, BEGAN + 2.0, "valve", "Open"),
        reading(7, BEGAN, "count"),
        reading(8, BEGAN + 3.0, "count"),
        reading("P10", BEGAN, "note"),
    ]
    store.add_samples("e18008", record.run, samples)
    await complete_run(store, database, record, BEGAN, 10)
    return database


@pytest.fixture
async def database_with_texts(store: SqliteRunStore, database: Path) -> Path:
    """Run 0 of e18008: text observables that follow an enum, a list of numbers and a waveform of characters."""
    await store.define_observables("e18008", [MODE, STEPS, LONG])
    record = await store.reserve_run("e18008", "", RunClass.Testing, "")
    texts = {"mode": ("Off", "On"), "steps": ("4", "5"), "long": ("", "Größe 1")}
    for name, values in texts.items():
        store.add_samples("e18008", record.run, [reading(each, BEGAN + n, name) for n, each in enumerate(values)])
    await complete_run(store, database, record, BEGAN, 10)
    return database


def characters(text: str, length: int = 40) -> list[int]:
    """A waveform of CHAR, signed as Java has it."""
    return [byte - 256 if byte > 127 else byte for byte in text.encode().ljust(length, b"\0")]


def compare(database: Path, url: str, *more: str) -> Result:
    return CliRunner().invoke(
        main, ["runs", "samples", "0", "--database", str(database), "--from-archiver", url, *more]
    )


def line(result: Result, name: str) -> list[str]:
    """Here, there, missing here, missing there, different."""
    return next(each.split()[2:] for each in result.output.splitlines() if each.startswith(f"{name} "))


async def test_what_agrees_is_said_so(database_with_run: Path) -> None:
    """All samples are found in the archive; values that were there before the run or a gap need not be."""
    with appliance(COMPLETE) as url:
        result = compare(database_with_run, url)
    assert result.exit_code == 0, result.output
    assert line(result, "pressure") == ["3", "3", "0", "0", "0"]
    assert line(result, "valve") == ["1", "1", "0", "0", "0"]
    assert line(result, "count") == ["1", "1", "0", "0", "0"]
    assert "note" not in result.output


@pytest.mark.parametrize(
    ("series", "counts"),
    [
        ([], ["3", "0", "0", "3", "0"]),
        ([archived(1.5, 2.0), archived(8.0, 3.0, 2)], ["3", "2", "0", "1", "0"]),
        ([*COMPLETE["GAS:P"], archived(9.0, 4.0), archived(11.0, 5.0)], ["3", "4", "1", "0", "0"]),
        ([archived(1.5, 2.1), archived(2.5, 1.0), archived(8.0, 3.0, 1)], ["3", "3", "0", "0", "3"]),
        ([archived(1.5, 2.0000001), archived(2.5, "NaN"), archived(8.0, [3.0], 2)], ["3", "3", "0", "0", "0"]),
        ([archived(1.5, "text"), archived(2.5, None), archived(8.0, [], 2)], ["3", "3", "0", "0", "3"]),
    ],
)
async def test_what_differs_is_counted(database_with_run: Path, series: list[Event], counts: list[str]) -> None:
    """Samples that only one of both has, and samples that are not the same, are counted and make the command fail."""
    with appliance({**COMPLETE, "GAS:P": series}) as url:
        result = compare(database_with_run, url)
    assert line(result, "pressure") == counts
    assert result.exit_code == (0 if counts[2:] == ["0", "0", "0"] else 1)


@pytest.mark.parametrize(
    ("name", "value", "different"),
    [
        ("mode", 1, "0"),
        ("mode", "On", "0"),
        ("mode", "Off", "1"),
        ("steps", [5, 6, 7], "0"),
        ("steps", [6, 6, 7], "1"),
        ("steps", [5.0, 6.5], "0"),
        ("long", characters("Größe 1"), "0"),
        ("long", characters("Größe 2"), "1"),
        ("long", ["Größe 1"], "0"),
        ("long", [], "1"),
        ("long", [{}], "1"),
        ("long", None, "1"),
    ],
)
async def test_texts_of_sources_that_are_no_texts(
    database_with_texts: Path, name: str, value: Any, different: str
) -> None:
    """Of an enum the appliance has the number, of a long text its characters: that is no difference."""
    pv = {"mode": "GAS:MODE", "steps": "GAS:STEPS", "long": "GAS:LONG"}[name]
    with appliance({pv: [archived(1.0, value)]}) as url:
        result = compare(database_with_texts, url, "--observable", name)
    assert line(result, name) == ["1", "1", "0", "0", different]
    assert result.exit_code == int(different)


async def test_only_what_was_asked_for_is_compared(database_with_run: Path) -> None:
    """Observables can be chosen; of others the appliance is not asked."""
    with appliance({"GAS:P": COMPLETE["GAS:P"]}) as url:
        result = compare(database_with_run, url, "--observable", "pressure")
    assert (result.exit_code, len(result.output.splitlines())) == (0, 2)
    assert line(result, "pressure") == ["3", "3", "0", "0", "0"]


async def test_what_was_not_sampled_in_the_run_is_not_compared(database_with_run: Path, store: SqliteRunStore) -> None:
    """An observable that came after the run, of which the appliance has much, does not count."""
    later = Observable(name="later", pv="GAS:LATER")
    await store.define_observables("e18008", [PRESSURE, VALVE, COUNT, NOTE, later])
    with appliance({**COMPLETE, "GAS:LATER": [archived(3.0, 1.0)]}) as url:
        result = compare(database_with_run, url)
        asked = compare(database_with_run, url, "--observable", "later")
    assert (result.exit_code, "later" in result.output) == (0, False)
    assert (asked.exit_code, asked.output) == (1, "error: run 0 has no samples to compare\n")


async def test_a_type_that_has_changed_since(database_with_run: Path, store: SqliteRunStore) -> None:
    """Texts of a run whose observable is a number by now are compared as the texts that they are."""
    number = Observable.model_validate({"name": "note", "pv": "GAS:NOTE"})
    await store.define_observables("e18008", [PRESSURE, VALVE, COUNT, number])
    run = RunId("e18008", 0)
    store.add_samples("e18008", run, [reading("P10", BEGAN + 1, "note"), reading("He", BEGAN + 2, "note")])
    await store.flush()
    with appliance({**COMPLETE, "GAS:NOTE": [archived(1.0, "P10"), archived(2.0, "Ar")]}) as url:
        result = compare(database_with_run, url)
    assert line(result, "note") == ["2", "2", "0", "0", "1"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--output", "file.csv"), 2, "--from-archiver writes no samples: leave out --output"),
        (("--format", "csv"), 2, "--from-archiver writes no samples: leave out --format"),
        (("--format", "parquet"), 2, "--from-archiver writes no samples: leave out --format"),
        (("--observable", "nope"), 1, "experiment e18008 has no observable nope"),
        (("--observable", "note"), 1, "observable note is manual: an archiver has no samples of it"),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    database_with_run: Path, arguments: tuple[str, str], code: int, said: str
) -> None:
    """Options that have no meaning for a comparison, and observables without a PV, are refused in one line."""
    with appliance(COMPLETE) as url:
        result = compare(database_with_run, url, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    assert not Path("file.csv").exists()


async def test_a_dead_band_explains_what_is_missing_here(database_with_run: Path, tmp_path: Path) -> None:
    """Of an observable that the topology thins the archive may have more, also if the database is named besides."""
    topology = tmp_path / "topology.yaml"
    text = (ROOT / "topology.yaml").read_text().replace("GAS:P1:Pressure", "GAS:P")
    topology.write_text(text.replace("database: ", f"database: {database_with_run} # "))
    more = {**COMPLETE, "GAS:P": [*COMPLETE["GAS:P"], archived(9.0, 3.01)]}
    with appliance(more) as url:
        arguments = ["samples", "0", "--topology", str(topology), "--experiment", "e18008", "--from-archiver", url]
        thinned = CliRunner().invoke(main, ["runs", *arguments])
        both = CliRunner().invoke(main, ["runs", *arguments, "--database", str(database_with_run)])
        assert compare(database_with_run, url).exit_code == 1
    assert line(thinned, "pressure")[2] == "1"
    assert thinned.exit_code == 0, thinned.output
    assert both.output == thinned.output


async def test_the_address_of_the_topology_is_known_too(database_with_run: Path) -> None:
    """What the topology has as `archiver`, ``http://HOST:PORT/retrieval``, is an address of the same appliance."""
    with appliance(COMPLETE) as url:
        expected = compare(database_with_run, url)
        for same in (f"{url}/retrieval", f"{url}/retrieval/"):
            assert compare(database_with_run, same).output == expected.output


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, None, "GAS:P is not archived by http://127.0.0.1:"),
        (500, None, "answered 500 Internal Server Error for GAS:P"),
        (200, "<html>", "did not answer like the retrieval service of an archiver appliance for GAS:P"),
        (
            200,
            '[{"data": [{"secs": 1}]}]',
            "did not answer like the retrieval service of an archiver appliance for GAS:P",
        ),
        (200, '{"a": 1}', "did not answer like the retrieval service of an archiver appliance for GAS:P"),
    ],
)
async def test_a_wrong_answer_is_said_in_a_line(
    database_with_run: Path, status: int, body: str | None, error: str
) -> None:
    """Whatever the server answers, there is one line that says what is wrong, and exit code 1."""
    with appliance(COMPLETE, status, body) as url:
        result = compare(database_with_run, url)
    assert result.exit_code == 1
    assert error in result.output
    assert len(result.output.splitlines()) == 1


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers each connection with these bytes and closes it."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while b"\r\n\r\n" not in self.request.recv(65536):
                pass
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


OK = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        OK + b"Content-Length: 100\r\n\r\n[]",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"X: " + b"x" * 70000 + b"\r\n\r\n[]",
        OK + b"\r\n\xff\xfe",
        OK + b"\r\n" + b"[" * 100_000,
        OK + b'\r\n[{"data": [{"secs": 1, "nanos": 1e999, "val": 1, "severity": 0}]}]',
    ],
)
async def test_what_is_no_answer_is_said_in_a_line(database_with_run: Path, answer: bytes) -> None:
    """Nothing, another protocol, an answer that breaks off or that no appliance gives: one line with the server."""
    with answering(answer) as url:
        result = compare(database_with_run, url)
    assert (result.exit_code, result.stdout) == (1, "")
    [said] = result.stderr.splitlines()
    assert said.startswith("error: ")
    assert url in said


@pytest.mark.parametrize(
    "url",
    [
        "archiver:17668",
        "http://",
        "http://[::1",
        "http://archiver:port",
        "http://archiver:99999",
        "http://a b/",
        "http://ä..b",
    ],
)
async def test_what_is_no_address(database_with_run: Path, url: str) -> None:
    """What cannot be the address of a server is said to be none."""
    result = compare(database_with_run, url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: --from-archiver {url} must be the address of an appliance, such as http://archiver:17668\n"
    )


async def test_an_appliance_that_is_not_there(database_with_run: Path) -> None:
    """Where nobody listens, that is said in one line."""
    with appliance(COMPLETE) as url:
        pass
    assert "does not answer: Connection refused" in compare(database_with_run, url).output.replace("[Errno 111] ", "")


def test_the_list_for_the_appliance(tmp_path: Path) -> None:
    """The command writes what is kept beside the screens, with the PVs that the observables follow."""
    topology = ["--topology", str(ROOT / "topology.yaml")]
    printed = CliRunner().invoke(main, ["archiver", *topology])
    assert printed.exit_code == 0
    entries = {each["pv"]: each for each in json.loads(printed.output)}
    assert entries["GAS:P1:Pressure"] == {"pv": "GAS:P1:Pressure", "samplingperiod": "0.1", "samplingmethod": "MONITOR"}
    assert entries["ATTPC:State"]["samplingperiod"] == "0.1"
    assert CliRunner().invoke(main, ["archiver", *topology, "--output", str(tmp_path / "list.json")]).exit_code == 0
    assert (tmp_path / "list.json").read_text() == printed.output == (ROOT / "opi" / "archiver.json").read_text()
    failed = CliRunner().invoke(main, ["archiver", *topology, "--output", str(tmp_path / "no" / "list.json")])
    assert (failed.exit_code, "cannot be written" in failed.output) == (1, True)
