"""``attpc-ioc runs gather``: puts the files of runs where attpc_merger expects them.

A run that has no data gets no directory: the merger stops at a run without files, and leaves out one without a
directory. Any other run has all directories of the layout, because the merger also stops if one is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from ioc.cli.options import PathName, database_option, run_range, topology_option
from ioc.cli.output import progress, reason, say_error
from ioc.cli.runs import experiment_option
from ioc.errors import PeerError, Refused
from ioc.hosts.build import Way, connect, way_to
from ioc.hosts.gather import DestinationError, Gatherer
from ioc.hosts.transport import from_shown, shown
from ioc.model import DocumentState
from ioc.model.graw import cobo_of, gathered_name, is_in_the_way, is_merged, names
from ioc.ports import FINISHED
from ioc.rundb.formats import local_time, size
from ioc.rundb.queries import Row, RunBook
from ioc.topology.load import load
from ioc.topology.merger import MergerLayout
from ioc.topology.schema import Topology

_Machine = tuple[str, Way]
"""Address, and how it is reached."""
_SHOWN = 5
"""Problems of a run that are named."""


@click.command()
@click.argument("numbers", metavar="N[-M]", type=run_range)
@click.argument("directory", type=PathName(file_okay=False))
@topology_option
@database_option
@experiment_option
@click.option(
    "--link/--copy",
    default=True,
    show_default=True,
    help="Use hard links to the files on this machine, or copies; files on other hosts are always copied.",
)
def gather(
    numbers: range, directory: Path, topology: Path, database: Path | None, experiment: str | None, *, link: bool
) -> None:
    """Collect the files of runs as attpc_merger expects them.

    The files of run N go into DIRECTORY/run_NNNN/mmK, where K is the number of their CoBo, from this machine by hard
    link, from other hosts by SSH. Nothing is overwritten. Existing files stay, so if the command was interrupted or
    could not reach a host, run it again to complete the run. The exit code is 1 if anything is missing.
    """
    loaded = load(topology)
    with RunBook(database or Path(loaded.database), experiment, loaded.experiment) as book:
        found = [row for row in book.runs() if row["run_number"] in numbers]
        if not found:
            book.run(numbers[0])  # says what there is
            raise Refused(f"experiment {book.experiment} has no run from {numbers[0]} to {numbers[-1]}")
        place = _checked(directory)
        with contextlib.closing(_Gathering(loaded, MergerLayout.of(loaded), place, link)) as gathering:
            whole = [gathering.run(row, book.page(row["run_number"]).files) for row in found]
        if len(found) < len(numbers):
            click.echo(f"{len(numbers) - len(found)} of these numbers are not runs of experiment {book.experiment}")
    sys.exit(0 if all(whole) else 1)


def _checked(directory: Path) -> Path:
    """Make the directory, and return its absolute path; the merger looks for its patterns in all of a path."""
    place = directory.absolute()
    if is_in_the_way(os.fsencode(place)):
        raise Refused(
            f"{place} must be UTF-8, with neither '.graw' nor 'CoBo<k>_AsAd<a>' in it: the merger reads the whole path"
        )
    _make(place)
    return place


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DestinationError(f"{place} cannot be created: {reason(error)}") from None


@contextlib.contextmanager
def _only_one(place: Path) -> Generator[None]:
    """Refuse the directory of a run that another process gathers now."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Refused(f"another program is gathering it into {place}") from None
    except OSError:
        pass  # a file system that locks no directories
    try:
        yield
    finally:
        os.close(descriptor)


@dataclass
class _Gathering:
    """Owns the connections to the hosts."""

    topology: Topology
    layout: MergerLayout
    place: Path
    link: bool
    gatherers: dict[_Machine, Gatherer] = field(default_factory=dict[_Machine, Gatherer])
    lost: dict[_Machine, str] = field(default_factory=dict[_Machine, str])
    """Hosts that did not answer, and why; they are not asked again."""

    def close(self) -> None:
        for gatherer in self.gatherers.values():
            gatherer.transport.close()

    def run(self, row: Row, files: Sequence[Row]) -> bool:
        """Gather one run; returns whether nothing is missing."""
        number = row["run_number"]
        if DocumentState(row["state"]) not in FINISHED:
            say_error(f"run {number} is {row['state']}: gather it when it is complete")
            return False
        if not files:
            click.echo(f"run {number} has no files, so it gets no directory: the merger skips it")
            return True
        directory = self.place / f"run_{number:04d}"
        _make(directory)
        try:
            with _only_one(directory):
                return self._run(number, directory, files)
        except Refused as error:
            say_error(f"run {number} is not gathered: {error}")
            return False

    def _run(self, number: int, directory: Path, files: Sequence[Row]) -> bool:
        tasks, problems = self._plan(directory, files)
        if extra := self._extra(directory, tasks.keys()):
            raise Refused(f"{extra} is not a file of this run, but would be merged with it")
        used = (os.fsdecode(target.rpartition(b"/")[0]) for target in tasks)
        for each in dict.fromkeys((*(directory / name for name in self.layout.directories), *map(Path, used))):
            _make(each)
        missing: dict[tuple[str, str, str], list[Row]] = {}
        total = 0
        with progress(tasks.items(), len(tasks), f"run {number}") as items:
            for target, row in items:
                try:
                    found = self._gather(row, target)
                except (Refused, PeerError) as error:
                    missing.setdefault((row["router"], row["host"], str(error)), []).append(row)
                    continue
                total += found
                if found != row["bytes"]:
                    where = f"{row['path']} on {row['host']}"
                    problems.append(f"{where} has {found} bytes, but had {row['bytes']} when it was filed")
        problems += [_lack(its, why) for (_, _, why), its in missing.items()]
        lacking = sum(map(len, missing.values()))
        state = f"{lacking} of {len(tasks)} files are missing" if lacking else f"{len(tasks)} files, {size(total)}"
        click.echo(f"run {number}: {state}, in {directory}")
        if all(cobo_of(target.rpartition(b"/")[2]) is None for target in tasks):
            click.echo(f"run {number} has no file of a CoBo: the merger would stop there, so exclude this run")
        for problem in problems[:_SHOWN]:
            say_error(f"run {number}: {problem}")
        if len(problems) > _SHOWN:
            say_error(f"run {number}: and {len(problems) - _SHOWN} more problems")
        return not problems

    def _plan(self, directory: Path, files: Sequence[Row]) -> tuple[dict[bytes, Row], list[str]]:
        """Return the files by where they go, and what is wrong with that."""
        tasks: dict[bytes, Row] = {}
        problems: list[str] = []
        for row in files:
            name = gathered_name(from_shown(row["path"]).rpartition(b"/")[2])
            below = os.fsencode(directory / self.layout.directory_of(row["router"], name)) + b"/"
            target = next(below + each for each in names(name) if below + each not in tasks)
            if target != below + name:
                problems.append(f"two files are called {shown(below + name)}: {row['path']} is {shown(target)}")
            tasks[target] = row
        return tasks, problems

    def _extra(self, directory: Path, expected: Collection[bytes]) -> str:
        """Return a file in a directory of a CoBo that does not belong there; empty if there is none."""
        for each in self.layout.cobo_directories:
            place = os.fsencode(directory / each)
            with contextlib.suppress(FileNotFoundError):
                for name in sorted(os.listdir(place)):  # noqa: PTH208 - bytes
                    if is_merged(name) and place + b"/" + name not in expected:
                        return shown(place + b"/" + name)
        return ""

    def _gather(self, row: Row, target: bytes) -> int:
        """Gather one file; returns its size.

        Raises:
            Refused, PeerError: it cannot be gathered.
        """
        if row["purged_at"] is not None:  # by `runs purge`
            with contextlib.suppress(OSError):
                if os.stat(target).st_size == row["bytes"]:  # noqa: PTH116 - bytes
                    return row["bytes"]  # it was gathered before
            raise Refused(f"purged at {local_time(row['purged_at'])}; take it from a safe copy")
        way = way_to(self.topology, row["host"], row["router"])
        if way is None:
            raise PeerError(f"the topology has no router and no ECC server on {row['host']}")
        machine = row["host"], way
        if machine in self.lost:
            raise PeerError(self.lost[machine])
        if machine not in self.gatherers:
            self.gatherers[machine] = Gatherer(connect(self.topology, *machine), self.link)
        try:
            return self.gatherers[machine].gather(from_shown(row["path"]), target)
        except PeerError as error:
            self.lost[machine] = str(error)
            raise


def _lack(files: Sequence[Row], why: str) -> str:
    first = files[0]
    if len(files) == 1:
        return f"{first['path']} on {first['host']}: {why}"
    whose = f" of router {first['router']}" if first["router"] else ""
    return f"{len(files)} files{whose} on {first['host']}, the first {first['path']}: {why}"
