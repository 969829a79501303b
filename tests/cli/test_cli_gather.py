"""``attpc-ioc runs gather``: what it makes can be merged, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ioc.cli.main import main
from ioc.model import DocumentState, FiledFile, RunClass
from ioc.rundb import SqliteRunStore
from ioc.rundb.formats import local_time
from ioc.sim.frames import Board
from tests.merger import COBOS, merge
from tests.sshd import SshServer

COMMAND = Path(sys.executable).parent / "attpc-ioc"
ROOT = Path(__file__).parents[2]
STAMP = "2026-11-27T09:17:39.123"
HERE, THERE = "127.0.0.1", "127.0.0.2"
"""A host that is this machine, and one that is reached by SSH."""
UNKNOWN = "192.0.2.7"
DIRECTORIES = {*(f"mm{cobo}" for cobo in COBOS), "mutant"}


@dataclass
class Detector:
    """A detector of some CoBos and a MuTAnT whose runs are over: its files, its database and its topology."""

    directory: Path
    store: SqliteRunStore
    remote: Mapping[str, Any] | None
    """SSH settings of the host THERE, on which every other router is; None: all are here."""
    cobos: int = 3
    files: dict[Path, bytes] = field(default_factory=dict[Path, bytes])

    @property
    def topology(self) -> Path:
        routers = [*(f"data{cobo}" for cobo in range(self.cobos)), "mutant"]
        text = {
            "prefix": "T:",
            "experiment": "e1",
            "database": str(self.directory / "runs.db"),
            "ssh": "local",
            "timeouts": {"ssh": 5},
            "ecc_servers": [{"name": "ECC", "role": "cobo", "host": HERE, "port": 9}],
            "data_routers": [
                {"name": name, "host": self.host(name), "port": port, **self._ssh(name)}
                for port, name in enumerate(routers, 10)
            ],
            "data_sources": [
                *(
                    {"id": f"CoBo[{cobo}]", "ecc_server": "ECC", "data_routers": [f"data{cobo}"]}
                    for cobo in range(self.cobos)
                ),
                {"id": "Mutant[master]", "ecc_server": "ECC", "data_routers": ["mutant"]},
            ],
        }
        path = self.directory / "topology.yaml"
        path.write_text(yaml.safe_dump(text))
        return path

    def host(self, router: str) -> str:
        return THERE if self.remote and router[-1] in "13579" else HERE

    def _ssh(self, router: str) -> dict[str, Any]:
        return {"ssh": {**self.remote}} if self.remote and self.host(router) == THERE else {}

    async def take_run(
        self,
        *names: tuple[str, str, bytes],
        experiment: str = "e1",
        state: DocumentState = DocumentState.Complete,
    ) -> int:
        """Record a run with these files (router, name, content); returns its number."""
        record = await self.store.reserve_run(experiment, "", RunClass.Beam, "")
        for router, name, content in names:
            path = self.directory / router / record.run.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.files[path] = content
            file = FiledFile(router, self.host(router), str(path), len(content), time.time())
            await self.store.add_files(record.run, file)
        await self.store.save_run(replace(record, state=state))
        await self.store.flush()
        return record.run.number

    def events(self, events: int = 3, parts: int = 1) -> list[tuple[str, str, bytes]]:
        """The files of a run: each AsAd has `parts` of them, as the router splits them."""
        found: list[tuple[str, str, bytes]] = []
        for cobo in range(self.cobos):
            frames = [Board(f"CoBo[{cobo}]", 4).event(number) for number in range(events * parts)]
            for asad, part in itertools.product(range(4), range(parts)):
                own = (frame[512 * asad : 512 * (asad + 1)] for frame in frames[part * events : (part + 1) * events])
                found.append((f"data{cobo}", f"CoBo{cobo}_AsAd{asad}_{STAMP}_{part:04d}.graw", b"".join(own)))
        found.append(("mutant", f"MuTanT_{STAMP}_0000.graw", Board("Mutant[master]", 0).event(0)))
        return found

    def arguments(self, numbers: object, place: Path, *options: str) -> list[str]:
        return ["runs", "gather", str(numbers), str(place), "--topology", str(self.topology), *options]

    def gather(self, numbers: object, place: Path, *options: str) -> tuple[int, str, str]:
        """Run the command; returns exit code, output and errors."""
        command = [str(COMMAND), *self.arguments(numbers, place, *options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRunStore]:
    opened = await SqliteRunStore.open(tmp_path / "runs.db")
    yield opened
    await opened.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshServer]:
    directory = tmp_path / "ssh"
    directory.mkdir()
    server = SshServer(directory)
    server.address = THERE
    server.trust()
    with server:
        yield server


@pytest.fixture
def here(tmp_path: Path, store: SqliteRunStore) -> Detector:
    """A detector whose hosts are all this machine."""
    return Detector(tmp_path, store, None)


@pytest.fixture
def two(tmp_path: Path, store: SqliteRunStore, sshd: SshServer) -> Detector:
    """A detector on this machine and another one."""
    return Detector(tmp_path, store, sshd.settings().model_dump())


def tree(place: Path) -> dict[str, bytes]:
    """Content of all files below, hidden ones too."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def check_merged(place: Path, number: int, cobos: int, events: int) -> None:
    """The merger finds every frame of every AsAd."""
    merged = merge(place, number)
    boards = {(cobo, asad) for cobo in range(cobos) for asad in range(4)}
    assert {event: set(frames) for event, frames in merged.items()} == dict.fromkeys(range(events), boards)


@pytest.mark.parametrize("option", ["--link", "--copy"])
async def test_a_run_can_be_merged(two: Detector, tmp_path: Path, option: str) -> None:
    """Files of both hosts are where the merger finds all frames, in order; again, nothing changes; each has its own."""
    number = await two.take_run(*two.events(3, parts=3))
    place = tmp_path / "merge"
    for _ in range(2):
        size = f"{sum(map(len, two.files.values())) / 1000:.1f} kB"
        assert two.gather(number, place, option) == (0, f"run 0: 37 files, {size}, in {place}/run_0000\n", "")
        check_merged(place, number, 3, 9)
        assert {path.name for path in (place / "run_0000").iterdir()} == DIRECTORIES
        assert sorted(tree(place).values()) == sorted(two.files.values())
    for path in two.files:
        linked = path.stat().st_nlink == 2
        assert linked == (option == "--link" and two.host(path.parts[-4]) == HERE)


async def test_every_router_has_its_directory_in_every_run(here: Detector, tmp_path: Path) -> None:
    """Of a run in which only one CoBo had data, all others have an empty directory, without which the merger stops."""
    only = [file for file in here.events() if file[0] == "data1"]
    numbers = [await here.take_run(*files) for files in (only, here.events(), only[:1])]
    code, output, errors = here.gather(f"{numbers[0]}-{numbers[-1]}", tmp_path / "merge")
    assert (code, errors, len(output.splitlines())) == (0, "", 3)
    for number in numbers:
        place = tmp_path / "merge" / f"run_{number:04d}"
        assert {path.name for path in place.iterdir()} == DIRECTORIES
        assert merge(tmp_path / "merge", number)


async def test_runs_that_the_merger_must_leave_out(here: Detector, tmp_path: Path) -> None:
    """A run without files gets no directory, an open one is refused, missing numbers are counted; others are done."""
    await here.take_run(*here.events())
    await here.take_run(state=DocumentState.Failed)
    await here.take_run(*here.events(), state=DocumentState.Running)
    await here.take_run(*here.events()[-1:])
    await here.take_run(*here.events())
    place = tmp_path / "merge"
    code, output, errors = here.gather("0-9", place)
    assert code == 1
    assert errors == "error: run 2 is running: gather it when it is complete\n"
    assert output.splitlines() == [
        f"run 0: 13 files, 18.7 kB, in {place}/run_0000",
        "run 1 has no files, so it gets no directory: the merger skips it",
        f"run 3: 1 files, 256 B, in {place}/run_0003",
        "run 3 has no file of a CoBo: the merger would stop there, so exclude this run",
        f"run 4: 13 files, 18.7 kB, in {place}/run_0004",
        "5 of these numbers are not runs of experiment e1",
    ]
    assert sorted(path.name for path in place.iterdir()) == ["run_0000", "run_0003", "run_0004"]
    for number in (0, 4):
        check_merged(place, number, 3, 3)


async def test_a_host_that_is_off(two: Detector, sshd: SshServer, tmp_path: Path) -> None:
    """The files of the others are gathered, those of the host are missing and named; a later gathering has them."""
    numbers = [await two.take_run(*two.events()) for _ in range(2)]
    sshd.stop()
    place = tmp_path / "merge"
    code, output, errors = two.gather("0-1", place)
    assert code == 1
    assert output == "".join(f"run {n}: 4 of 13 files are missing, in {place}/run_{n:04d}\n" for n in numbers)
    for line, number in zip(errors.splitlines(), numbers, strict=True):
        assert line.startswith(
            f"error: run {number}: 4 files of router data1 on {THERE}, the first {tmp_path}/data1/e1"
        )
        assert f"{THERE} port {sshd.port}" in line
    assert len(tree(place)) == 18
    sshd.start()
    assert two.gather("0-1", place)[0] == 0
    for number in numbers:
        check_merged(place, number, 3, 3)


async def test_another_experiment(here: Detector, tmp_path: Path) -> None:
    """--experiment chooses it; into a directory that has runs of another one, nothing of the same number is mixed."""
    await here.take_run(*here.events(2))
    await here.take_run(*here.events(4), experiment="e2")
    assert here.gather(0, tmp_path / "of e2", "--experiment", "e2")[0] == 0
    check_merged(tmp_path / "of e2", 0, 3, 4)
    assert here.gather(0, tmp_path / "of e1")[0] == 0
    check_merged(tmp_path / "of e1", 0, 3, 2)
    other = [(router, name.replace("39.123", "40.000"), content) for router, name, content in here.events()]
    await here.take_run(*other, experiment="e3")
    before = tree(tmp_path / "of e1")
    code, output, errors = here.gather(0, tmp_path / "of e1", "--experiment", "e3")
    assert (code, output) == (1, "")
    assert "is not a file of this run, but would be merged with it" in errors
    assert tree(tmp_path / "of e1") == before
    assert here.gather(0, tmp_path / "none", "--experiment", "e9")[0] == 1
    code, _, errors = here.gather(7, tmp_path / "none")
    assert (code, "run 7 is not in experiment e1" in errors) == (1, True)


async def test_files_that_the_merger_must_not_take(here: Detector, tmp_path: Path) -> None:
    """Second files of a name, also as version 0.1 named them, and those of a second router, are gathered beside."""
    files = here.events()
    router, name, content = files[0]
    files += [(router, name.replace(".graw", ".duplicate-1"), content)]
    files += [(router, name.replace(".graw", "_duplicate-2.graw"), content)]
    await here.take_run(*files)
    place = tmp_path / "merge"
    assert here.gather(0, place)[0] == 0
    check_merged(place, 0, 3, 3)
    stem = f"run_0000/mm0/CoBo0_AsAd0_{STAMP}_0000"
    assert {path for path in tree(place) if path.startswith(stem)} == {
        f"{stem}.graw",
        f"{stem}.duplicate-1",
        f"{stem}.duplicate-2",
    }


async def test_two_files_of_one_name(here: Detector, tmp_path: Path) -> None:
    """Files of one name in two places of a host get two names, of which the merger takes one, and it is said."""
    files = here.events()
    _, name, content = files[0]
    await here.take_run(*files, ("mutant", name, content))
    code, output, errors = here.gather(0, tmp_path / "merge")
    assert (code, len(output.splitlines())) == (1, 1)
    assert f"two files are called {tmp_path}/merge/run_0000/mm0/{name}" in errors
    check_merged(tmp_path / "merge", 0, 3, 3)
    assert len(tree(tmp_path / "merge")) == 14


async def test_purged_files(here: Detector, tmp_path: Path) -> None:
    """What was gathered before they were removed is whole; otherwise the purge is named, not a missing file."""
    await here.take_run(*here.events())
    before, after = tmp_path / "before", tmp_path / "after"
    assert here.gather(0, before)[0] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as db, db:
        db.execute("UPDATE files SET purged_at = '2026-11-22T12:00:00.000000Z'")
    for file in here.files:
        file.unlink()
    assert here.gather(0, before)[0] == 0
    code, output, errors = here.gather(0, after)
    assert (code, output.splitlines()[0]) == (1, f"run 0: 13 of 13 files are missing, in {after}/run_0000")
    assert f"purged at {local_time('2026-11-22T12:00:00Z')}; take it from a safe copy" in errors
    assert "gone" not in errors


async def test_what_is_wrong_with_files_is_said(here: Detector, tmp_path: Path) -> None:
    """Gone, grown since it was filed, another one in its place, on a host that nobody knows: others are gathered."""
    files = here.events()
    await here.take_run(*files)
    run = await here.store.last_run("e1")
    assert run is not None
    await here.store.add_files(run.run, FiledFile("data0", UNKNOWN, "/d/CoBo0_AsAd3_x.graw", 5, time.time()))
    await here.store.flush()
    gone, grown, replaced = list(here.files)[:3]
    gone.unlink()
    grown.write_bytes(grown.read_bytes() * 2)
    target = tmp_path / "merge/run_0000/mm0" / replaced.name
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    code, output, errors = here.gather(0, tmp_path / "merge")
    assert (code, output) == (1, f"run 0: 3 of 14 files are missing, in {tmp_path}/merge/run_0000\n")
    assert sorted(errors.splitlines()) == sorted(
        f"error: run 0: {problem}"
        for problem in (
            f"{grown} on {HERE} has 3072 bytes, but had 1536 when it was filed",
            f"{gone} on {HERE}: it is gone",
            f"{replaced} on {HERE}: {target} is another file, which stays: move it away to gather this one",
            f"/d/CoBo0_AsAd3_x.graw on {UNKNOWN}: the topology has no router and no ECC server on {UNKNOWN}",
        )
    )
    assert target.read_bytes() == b"mine"
    assert len(tree(tmp_path / "merge")) == 12


async def test_files_of_adopted_runs(here: Detector, tmp_path: Path) -> None:
    """They have the name of this machine as host, and perhaps no router."""
    await here.take_run(*here.events())
    run = await here.store.last_run("e1")
    assert run is not None
    path = tmp_path / "old" / f"CoBo9_AsAd0_{STAMP}_0000.graw"
    path.parent.mkdir()
    path.write_bytes(Board("CoBo[9]", 1).event(0))
    for name in (path, path.with_name("strange.graw")):
        name.write_bytes(path.read_bytes())
        await here.store.add_files(run.run, FiledFile("", socket.gethostname(), str(name), 512, time.time()))
    await here.store.flush()
    assert here.gather(0, tmp_path / "merge")[0] == 0
    assert (9, 0) in merge(tmp_path / "merge", 0)[0]
    assert (tmp_path / "merge/run_0000/other/strange.graw").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.graw.d", "must be UTF-8, with neither '.graw' nor 'CoBo<k>_AsAd<a>' in it"),
        ("CoBo0_AsAd0", "with neither"),
        ("file/below", "cannot be created"),
    ],
)
async def test_directories_that_cannot_be_used(here: Detector, tmp_path: Path, name: str, problem: str) -> None:
    """One in whose path the merger would find its patterns, or that cannot be made: nothing is done."""
    await here.take_run(*here.events())
    (tmp_path / "file").touch()
    code, output, errors = here.gather(0, tmp_path / name)
    assert (code, output) == (1, "")
    assert problem in errors
    assert not (tmp_path / name / "run_0000").exists()


async def test_a_run_is_gathered_by_one_program_at_a_time(here: Detector, tmp_path: Path) -> None:
    """A run that another one gathers now is refused; the others are gathered."""
    for _ in range(2):
        await here.take_run(*here.events())
    busy = tmp_path / "merge/run_0000"
    busy.mkdir(parents=True)
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    code, _, errors = here.gather("0-1", tmp_path / "merge")
    os.close(descriptor)
    assert (code, errors) == (1, f"error: run 0 is not gathered: another program is gathering it into {busy}\n")
    assert list(busy.iterdir()) == []
    check_merged(tmp_path / "merge", 1, 3, 3)


class Dying:
    """Drives ``dying_gather.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.dying_gather"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def gather(self, step: int, arguments: list[str]) -> str:
        """Gather; returns ``killed`` or the exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"step": step, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the program."""
        self._process.communicate(timeout=60)


@pytest.mark.parametrize("option", ["--link", "--copy"])
async def test_killed_at_any_step(two: Detector, tmp_path: Path, option: str) -> None:
    """Whenever it is killed, what the merger would take is whole; gathered again, all is there and nothing else."""
    two.cobos = 2
    files = [file for file in two.events() if "AsAd0" in file[1] or "MuTanT" in file[1]]
    await two.take_run(*files)
    with contextlib.closing(Dying()) as dying:
        for step in itertools.count(1):
            place = tmp_path / f"step{step}"
            outcome = dying.gather(step, two.arguments(0, place, option))
            made = {path: data for path, data in tree(place).items() if ".graw" in path} if place.exists() else {}
            assert set(made.values()) <= set(two.files.values())
            assert dying.gather(0, two.arguments(0, place, option)) == "0"
            assert sorted(tree(place).values()) == sorted(two.files.values())
            merged = merge(place, 0)
            assert {event: set(frames) for event, frames in merged.items()} == {n: {(0, 0), (1, 0)} for n in range(3)}
            if outcome != "killed":
                assert outcome == "0"
                break
        assert step > 12 + 3, "there were all directories and files"
    assert {path: path.read_bytes() for path in two.files} == two.files


async def test_killed_in_the_middle_of_a_copy(two: Detector, tmp_path: Path) -> None:
    """A copy of which a part is there when the program is killed is made anew; the merger never sees the part."""
    frame = Board("CoBo[1]", 1).event(0)
    name = f"CoBo1_AsAd0_{STAMP}_0000.graw"
    await two.take_run(*two.events(), ("data1", "large.graw", b""), ("data1", name.replace("AsAd0", "AsAd9"), frame))
    large = next(path for path in two.files if path.name == "large.graw")
    os.truncate(large, 150_000_000)
    place = tmp_path / "merge"
    gathering = subprocess.Popen(
        [str(COMMAND), *two.arguments(0, place)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    partial = place / "run_0000/data1/.large.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 0):
        assert gathering.poll() is None
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    gathering.send_signal(signal.SIGKILL)
    gathering.wait()
    assert partial.exists()
    code, _, errors = two.gather(0, place)
    assert (code, errors.count("error")) == (1, 1), "it has another size than when it was filed"
    assert not partial.exists()
    assert (place / "run_0000/data1/large.graw").stat().st_size == 150_000_000
    check_merged(place, 0, 3, 3)


@pytest.mark.parametrize("numbers", ["5-3", "x", "1-", "-1", "1_0", "9" * 30, "", "\u0663"])
def test_wrong_numbers(numbers: str) -> None:
    """One number, or two in order, and nothing else."""
    result = CliRunner().invoke(main, ["runs", "gather", "--", numbers, "d"])
    assert result.exit_code == 2
    assert "must be a run number, or two in order such as 12-20" in result.stderr
