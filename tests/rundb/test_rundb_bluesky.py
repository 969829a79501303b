"""Bluesky documents, checked with the schemas of event-model, and loaded into Tiled where it is installed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from event_model import DocumentNames, schema_validators, unpack_event_page

from ioc.model import RunClass
from ioc.rundb import SqliteRunStore
from tests.rundb.invoking import invoke
from tests.rundb.odd_runs import BEGAN, EXPERIMENT, TITLE, odd_runs
from tests.rundb.rows import PRESSURE, execute, reading

Document = tuple[str, dict[str, Any]]


def exported(database: Path, *arguments: str) -> list[Document]:
    """The documents, each of which is valid; no line has a letter that some reader takes for an end of line."""
    result = invoke(database, "export", "--format", "bluesky", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.isascii()
    documents = [tuple(json.loads(line, parse_constant=_refuse)) for line in result.stdout.splitlines()]
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    return documents


def _refuse(constant: str) -> None:
    raise AssertionError(constant)


def runs_of(documents: list[Document]) -> list[list[Document]]:
    """The documents of each run: from a start to its stop, all of them with its uid."""
    runs: list[list[Document]] = []
    for name, document in documents:
        if name == "start":
            runs.append([])
        runs[-1].append((name, document))
    for run in runs:
        names = [name for name, _ in run]
        assert (names.count("start"), names.count("stop"), names[-1]) == (1, 1, "stop")
        uid = run[0][1]["uid"]
        assert {each["run_start"] for name, each in run if name in {"descriptor", "stop", "stream_resource"}} == {uid}
    return runs


def events_of(run: list[Document]) -> dict[str, list[dict[str, Any]]]:
    """The events by stream; each stream was described before, counts from 1, and has the keys of its descriptor."""
    streams: dict[str, dict[str, Any]] = {}
    events: dict[str, list[dict[str, Any]]] = {}
    for name, document in run:
        if name == "descriptor":
            assert document["name"] not in events
            streams[document["uid"]] = document
            events[document["name"]] = []
        elif name == "event_page":
            described = streams[document["descriptor"]]
            for event in unpack_event_page(document):  # pyright: ignore[reportArgumentType]
                assert list(event["data"]) == list(event["timestamps"]) == list(described["data_keys"])
                events[described["name"]].append(dict(event))
    for stream in events.values():
        assert [event["seq_num"] for event in stream] == list(range(1, len(stream) + 1))
    return events


async def test_odd_runs_are_valid(store: SqliteRunStore, database: Path) -> None:
    """Runs that failed, were orphaned, or have no observables or samples have valid documents and a fitting end."""
    await odd_runs(store)
    documents = exported(database)
    runs = runs_of(documents)
    assert [run[0][1]["scan_id"] for run in runs] == [0, 1, 2, 3]
    assert [run[-1][1]["exit_status"] for run in runs] == ["success", "success", "fail", "abort"]
    assert [run[-1][1]["reason"] for run in runs] == ["", "", "CoBo0 did not start", ""]
    assert [list(events_of(run)) for run in runs[1:]] == [[], [], ["baseline", "statistics"]]
    uids = [document["uid"] for name, document in documents if name not in {"event_page", "stop"}]
    assert len(set(uids)) == len(uids)
    for run in runs:
        counted = run[-1][1]["num_events"]
        assert {name: len(events) for name, events in events_of(run).items() if name != "graw"} == {
            name: count for name, count in counted.items() if name != "graw"
        }


async def test_everything_of_a_run_is_in_its_documents(store: SqliteRunStore, database: Path) -> None:
    """Start, baseline, samples, statistics and files have what the database has; what JSON lacks is null."""
    await odd_runs(store)
    [run] = runs_of(exported(database, "0"))
    start = run[0][1]
    assert (start["title"], start["run_class"], start["quality"]) == (TITLE, "Beam", "Unknown")
    assert (start["time"], start["project"], start["plan_name"]) == (BEGAN, EXPERIMENT, "attpc_run")
    assert start["configurations"][0]["prepare"] == "p q"
    events = events_of(run)
    begin, end = events["baseline"]
    assert begin["data"] == {"pressure": 1.5, "target_gas": "P10", "count": 5}
    assert end["data"] == {"pressure": None, "target_gas": "=1\n+1", "count": None}
    assert (begin["time"], end["time"]) == (BEGAN, BEGAN + 60)
    pressure = events["pressure_monitor"]
    assert [event["data"]["pressure"] for event in pressure] == [1.5, None, 2.5, None, None]
    assert pressure[1]["data"]["pressure_status"] == "disconnected"
    assert [event["time"] for event in pressure] == [BEGAN + at for at in range(5)]
    assert [event["data"]["count"] for event in events["count_monitor"]] == [5, 2**60]
    assert [event["data"]["target_gas"] for event in events["target_gas_monitor"]] == ["P10", "=1\n+1"]
    assert events["obs_time_monitor"][0]["data"]["obs_time"] == -1.0
    assert events["statistics"][0]["data"]["mean"] == 1.75
    assert [event["data"]["bytes"] for event in events["files"]] == [5_000_000, 5_000_001]
    keys = {each["name"]: each["data_keys"] for name, each in run if name == "descriptor"}
    assert (keys["pressure_monitor"]["pressure"]["units"], keys["baseline"]["count"]["dtype"]) == ("Torr", "integer")
    assert keys["baseline"]["count"]["source"] == "pva://COUNT"
    resources = [each for name, each in run if name == "stream_resource"]
    assert resources[0]["uri"].startswith("file://192.168.41.60/data%20dir/e18008/run_0000/CoBo0_AsAd0_")
    assert {each["data_key"] for each in resources} == set(keys["graw"])
    datums = [each for name, each in run if name == "stream_datum"]
    assert [each["stream_resource"] for each in datums] == [each["uid"] for each in resources]
    assert [each["shape"] for each in keys["graw"].values()] == [[5_000_000], [5_000_001]]


async def test_a_run_is_the_same_in_every_export(store: SqliteRunStore, database: Path) -> None:
    """Two exports are equal; other runs are other runs; a new title changes no uid."""
    await odd_runs(store)
    first = exported(database)
    assert exported(database) == first
    assert invoke(database, "edit", "0", "--title", "better").exit_code == 0
    assert exported(database)[0][1]["uid"] == first[0][1]["uid"]


async def test_an_open_run_has_no_documents_yet(store: SqliteRunStore, database: Path) -> None:
    """Asked for by number it is refused, with nothing written; among others it is left out, which is said."""
    await odd_runs(store)
    result = invoke(database, "export", "--format", "bluesky", "0", "4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "run 4 is running, but must have ended" in result.stderr
    assert "run 4 is running: it is left out" in invoke(database, "export", "--format", "bluesky").stderr


async def test_only_the_observables_asked_for(store: SqliteRunStore, database: Path) -> None:
    """The others have no stream, no baseline and no statistics."""
    await odd_runs(store)
    [run] = runs_of(exported(database, "0", "--observable", "count"))
    assert list(events_of(run)) == ["baseline", "count_monitor", "statistics", "files", "graw"]
    assert list(events_of(run)["baseline"][0]["data"]) == ["count"]


async def test_a_redefined_observable_has_two_streams(store: SqliteRunStore, database: Path) -> None:
    """Samples before and after a change of units in a run do not share a stream."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    store.add_samples("e1", run, [reading(1.0, BEGAN)])
    await store.flush()
    await store.define_observables("e1", [PRESSURE.model_copy(update={"units": "mbar"})])
    store.add_samples("e1", run, [reading(2.0, BEGAN + 1)])
    await store.flush()
    execute(database, "UPDATE runs SET state = 'complete'")
    [documents] = runs_of(exported(database))
    assert {name: events[0]["data"] for name, events in events_of(documents).items()} == {
        "pressure_monitor": {"pressure": 2.0, "pressure_severity": 0, "pressure_status": "NO_ALARM"},
        "pressure_2_monitor": {"pressure_2": 1.0, "pressure_2_severity": 0, "pressure_2_status": "NO_ALARM"},
    }


async def test_a_long_run_comes_in_pages(store: SqliteRunStore, database: Path) -> None:
    """100,000 samples are in pages of 1,000, none lost or doubled."""
    await store.define_observables("e1", [PRESSURE])
    run = (await store.reserve_run("e1", "", RunClass.Beam, "")).run
    for first in range(0, 100_000, 10_000):
        store.add_samples("e1", run, [reading(float(n), BEGAN + n / 1000) for n in range(first, first + 10_000)])
        await store.flush()
    execute(database, "UPDATE runs SET state = 'complete'")
    pages = [document for name, document in exported(database) if name == "event_page"]
    assert [len(page["seq_num"]) for page in pages] == [1000] * 100
    assert [value for page in pages for value in page["data"]["pressure"]] == list(map(float, range(100_000)))
    assert [number for page in pages for number in page["seq_num"]] == list(range(1, 100_001))


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a server takes connections."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "bluesky.md").read_text()
_, SAMPLES, TILED = re.findall(r"^```python\n(.*?)^```", HOW_TO, re.DOTALL | re.MULTILINE)


async def test_the_example_that_prints_samples(store: SqliteRunStore, database: Path) -> None:
    """The program of the how-to prints run, time and value of each sample."""
    await odd_runs(store)
    file = database.parent / "runs.jsonl"
    assert invoke(database, "export", "--format", "bluesky", "--output", str(file)).exit_code == 0
    command = [sys.executable, "-c", SAMPLES, file, "pressure"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    values = ("1.5", "None", "2.5", "None", "None")
    assert done.stdout.splitlines() == [f"0 {BEGAN + at} {value}" for at, value in enumerate(values)]


INTO_TILED = """
import json, sys
from bluesky.callbacks.tiled_writer import TiledWriter
from tiled.catalog import in_memory
from tiled.client import Context, from_context
from tiled.server.app import build_app

folder = sys.argv[1]
catalog = in_memory(writable_storage=[f"file://localhost{folder}/files", f"sqlite:///{folder}/tables.db"])
with Context.from_app(build_app(catalog)) as context:
    client = from_context(context)
    writer = TiledWriter(client)
    for line in sys.stdin:
        writer(*json.loads(line))
    runs = {run.metadata["start"]["scan_id"]: run for run in client.values()}
    first = runs[0]
    pressure = first["pressure_monitor"].read()
    read = {
        "exits": {number: run.metadata["stop"]["exit_status"] for number, run in runs.items()},
        "streams": {number: list(run) for number, run in runs.items()},
        "title": first.metadata["start"]["title"],
        "pressure": [value if value == value else None for value in pressure["pressure"].values.tolist()],
        "time": pressure["time"].values.tolist(),
        "count": first["count_monitor"].read()["count"].values.tolist(),
        "gas": first["target_gas_monitor"].read()["target_gas"].values.tolist(),
        "mean": first["statistics"].read()["mean"].values.tolist()[0],
        "bytes": first["files"].read()["bytes"].values.tolist(),
        "graw": [each.shape for each in first["graw"].values()],
    }
print(json.dumps(read))
"""


@pytest.mark.skipif(find_spec("tiled") is None, reason="needs tiled[server,client], which takes CI a minute to install")
async def test_tiled_takes_the_documents(store: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """Bluesky's writer puts odd runs into a catalog of Tiled, and its client reads runs, streams and values back."""
    await odd_runs(store)
    documents = invoke(database, "export", "--format", "bluesky").stdout
    done = subprocess.run(
        [sys.executable, "-c", INTO_TILED, tmp_path],
        input=documents,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "exits": {"0": "success", "1": "success", "2": "fail", "3": "abort"},
        "streams": {
            "0": [
                *("baseline", "pressure_monitor", "target_gas_monitor", "count_monitor", "obs_time_monitor"),
                *("obs_ts_pressure_monitor", "statistics", "files", "graw"),
            ],
            "1": [],
            "2": [],
            "3": ["baseline", "statistics"],
        },
        "title": TITLE,
        "pressure": [1.5, None, 2.5, None, None],
        "time": [BEGAN + at for at in range(5)],
        "count": [5, 2**60],
        "gas": ["P10", "=1\n+1"],
        "mean": 1.75,
        "bytes": [5_000_000, 5_000_001],
        "graw": [[5_000_000], [5_000_001]],
    }


@pytest.mark.skipif(find_spec("tiled") is None, reason="needs tiled[server,client], which takes CI a minute to install")
async def test_the_example_that_loads_into_tiled(store: SqliteRunStore, database: Path, tmp_path: Path) -> None:
    """The program of the how-to fills a server of Tiled, started as the page shows it."""
    await odd_runs(store)
    file = tmp_path / "runs.jsonl"
    assert invoke(database, "export", "--format", "bluesky", "--output", str(file)).exit_code == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    [shown] = re.findall(r"^tiled (serve catalog .*)$", HOW_TO, re.MULTILINE)
    server = [sys.executable, "-c", "from tiled.commandline.main import main; main()", *shown.split(), "--port", port]
    log = tmp_path / "log"
    with log.open("w") as stream, subprocess.Popen(server, stdout=stream, stderr=stream) as process:
        try:
            wait_for(process, int(port), log)
            command = [sys.executable, "-c", TILED, file, f"http://127.0.0.1:{port}", "secret"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        finally:
            process.terminate()
    assert done.returncode == 0, done.stderr + log.read_text()
    assert "run 0 of e18008: baseline, pressure_monitor, target_gas_monitor, count_monitor" in done.stdout
    assert "run 2 of e18008: \n" in done.stdout
