"""``attpc-ioc runs adopt``: enters runs whose files are found on the disks of this machine.

Filing makes a directory ``EXPERIMENT/run_NNNN`` for each router, with the .graw files that it wrote; the ECC servers'
backups have another one with the .xcfg files. Those of the same number are one run.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import click

from ioc.cli.options import PathName, database_option, topology_option
from ioc.cli.output import count, reason, say_error
from ioc.cli.runs import CLASS, dry_run_option, this_client
from ioc.cli.texts import adopted_list
from ioc.errors import Refused
from ioc.model import LARGEST_RUN_NUMBER, FiledFile, RunClass, RunId, check_experiment
from ioc.model.graw import is_filed_data
from ioc.rundb.adopt import FoundRun, adopt, known_already, next_number
from ioc.topology.load import load

_RUN = re.compile(r"run_(\d{4,10})")
_BEGAN = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)_")
"""Local time in the name of a .graw file: when the router began it (dataRouter of GET release 20210208)."""
_BOARD = re.compile(r"CoBo(\d+)_")
_CONFIG = re.compile(r"(describe|prepare|configure)-(.+)\.xcfg")


@click.command("adopt")
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the name of the directory above the runs.")
@click.option(
    "--class",
    "class_name",
    type=CLASS,
    default=RunClass.Testing.name,
    show_default=True,
    help="Class of these runs.",
)
@dry_run_option
def adopt_command(
    directories: tuple[Path, ...],
    topology: Path,
    database: Path | None,
    experiment: str | None,
    class_name: str,
    *,
    dry_run: bool,
) -> None:
    """Add runs to the database from their files.

    DIRECTORY is that of an experiment, with run_NNNN directories in it, or that of one run. Give those of all routers
    and of the configuration backups: directories with the same number are one run. Stop the IOC first. If there is any
    error, nothing is added.
    """
    routers: dict[str, str] = {}
    if database is None:
        loaded = load(topology)
        database = Path(loaded.database)
        routers = {source.id: source.data_routers[0] for source in loaded.data_sources}
    name, problems = _experiment(directories, experiment)
    found = _find_runs(name, directories, routers, problems)
    if dry_run or problems:
        problems += known_already(database, found)
    else:
        problems += adopt(database, found, RunClass[class_name], this_client())
    if problems:
        for problem in problems:
            say_error(problem)
        sys.exit(1)
    number = max(next_number(database, name), found[-1].run.number + 1)
    click.echo(adopted_list(found))
    done = "would be added" if dry_run else "added"
    click.echo(f"{count(len(found), 'run')} of {name} {done} to {database}; the next run is {number}")


def _experiment(directories: Sequence[Path], chosen: str | None) -> tuple[str, list[str]]:
    """Return the experiment, and what is wrong with it."""
    names = list(dict.fromkeys(map(_experiment_of, directories))) if chosen is None else [chosen]
    problems: list[str] = []
    if len(names) > 1:
        problems.append(f"the directories are of experiments {', '.join(names)}, but must be of one: --experiment")
    try:
        check_experiment(names[0])
    except Refused as error:
        problems.append(f"{error}: give its name with --experiment")
    return names[0], problems


@dataclass
class _Collected:
    """The files of one run, from all its directories."""

    directories: list[str] = field(default_factory=list[str])
    files: list[FiledFile] = field(default_factory=list[FiledFile])
    times: list[float] = field(default_factory=list[float])
    began: list[float] = field(default_factory=list[float])
    configs: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


def _experiment_of(directory: Path) -> str:
    """Name of the experiment that a directory of runs, or of one run, belongs to."""
    place = Path(os.path.realpath(directory))
    return place.parent.name if _RUN.fullmatch(place.name) else place.name


def _find_runs(
    experiment: str, directories: Iterable[Path], routers: Mapping[str, str], problems: list[str]
) -> list[FoundRun]:
    """Look for the runs of an experiment in its directories, or in directories of single runs.

    `routers` gives the router of each data source, as far as it is known; `problems` gets everything that is wrong.
    """
    host = socket.gethostname()
    collected: dict[int, _Collected] = {}
    for place in dict.fromkeys(Path(os.path.realpath(each)) for each in directories):
        try:
            for each in _well_named([place] if _RUN.fullmatch(place.name) else _runs_in(place, problems), problems):
                number = int(each.name.removeprefix("run_"))
                _collect(collected.setdefault(number, _Collected()), each, host, routers)
        except OSError as error:
            problems.append(f"{error.filename or place} cannot be read: {reason(error)}")
    return [_found(RunId(experiment, number), each) for number, each in sorted(collected.items())]


def _runs_in(place: Path, problems: list[str]) -> list[Path]:
    named = sorted(each for each in place.iterdir() if each.name.startswith("run_") and each.is_dir())
    if not named:
        problems.append(f"{place} has no directory run_NNNN: name the directory of an experiment, or that of a run")
    return named


def _well_named(runs: Iterable[Path], problems: list[str]) -> Iterator[Path]:
    for each in runs:
        match = _RUN.fullmatch(each.name)
        number = int(match[1]) if match else -1
        if 0 <= number <= LARGEST_RUN_NUMBER and each.name == f"run_{number:04d}":
            yield each
        else:
            problems.append(f"{each} must be named run_NNNN after its number, such as run_0012: rename or move it")


def _collect(into: _Collected, place: Path, host: str, routers: Mapping[str, str]) -> None:
    into.directories.append(str(place))
    into.times.append(place.stat().st_mtime)
    for path in sorted(place.iterdir()):
        if config := _CONFIG.fullmatch(path.name):
            into.configs.setdefault(config[1], set()).add(config[2])
        status = path.lstat()
        if not is_filed_data(os.fsencode(path.name)) or not stat.S_ISREG(status.st_mode):
            continue
        source = _source(path.name, routers)
        router = routers.get(source, "")
        into.files.append(FiledFile(router, host, str(path), status.st_size, status.st_mtime, source))
        into.times.append(status.st_mtime)
        if (began := _began(path.name)) is not None:
            into.began.append(began)


def _began(name: str) -> float | None:
    """When the router began a file; None if its name does not tell, or tells a time that does not exist."""
    stamp = _BEGAN.search(name)
    if stamp is None:
        return None
    try:
        return datetime.fromisoformat(stamp[1]).astimezone().timestamp()
    except (ValueError, OverflowError):
        return None


def _source(name: str, routers: Mapping[str, str]) -> str:
    if board := _BOARD.match(name):
        return f"CoBo[{int(board[1])}]"
    if name.lower().startswith("mutant_"):
        return next((source for source in routers if source.lower().startswith("mutant")), "")
    return ""


def _found(run: RunId, collected: _Collected) -> FoundRun:
    started_at = min(collected.began, default=None)
    # A file has the time of its last write, unless it was copied without its time.
    stopped_at = max((file.moved_at for file in collected.files), default=None)
    if started_at is not None and stopped_at is not None and stopped_at < started_at:
        stopped_at = None
    configs = [collected.configs.get(step, set[str]()) for step in ("describe", "prepare", "configure")]
    return FoundRun(
        run=run,
        directories=tuple(collected.directories),
        files=tuple(collected.files),
        seen_at=min([*collected.times, *collected.began]),
        started_at=started_at,
        stopped_at=stopped_at,
        config_name="/".join(next(iter(each)) for each in configs) if all(len(each) == 1 for each in configs) else "",
    )
