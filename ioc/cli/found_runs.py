"""Finds runs on the disks of this machine: the directories ``EXPERIMENT/run_NNNN`` that filing makes.

Each router has one for each run, with the .graw files that it wrote; the ECC servers' backups have another one with the
.xcfg files. Those of the same number are one run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ioc.cli.output import reason
from ioc.model import LARGEST_RUN_NUMBER, FiledFile, RunId
from ioc.model.graw import is_filed_data
from ioc.rundb.adopt import FoundRun

_RUN = re.compile(r"run_(\d{4,10})")
_BEGAN = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)_")
"""Local time in the name of a .graw file: when the router began it (dataRouter of GET release 20210208)."""
_BOARD = re.compile(r"CoBo(\d+)_")
_CONFIG = re.compile(r"(describe|prepare|configure)-(.+)\.xcfg")


@dataclass
class Found:
    """The runs found, and all errors."""

    runs: list[FoundRun]
    problems: list[str]


@dataclass
class _Collected:
    """The files of one run, from all its directories."""

    directories: list[str] = field(default_factory=list[str])
    files: list[FiledFile] = field(default_factory=list[FiledFile])
    times: list[float] = field(default_factory=list[float])
    began: list[float] = field(default_factory=list[float])
    configs: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


def experiment_of(directory: Path) -> str:
    """Name of the experiment that a directory of runs, or of one run, belongs to."""
    place = Path(os.path.realpath(directory))
    return place.parent.name if _RUN.fullmatch(place.name) else place.name


def find_runs(experiment: str, directories: Iterable[Path], host: str, routers: Mapping[str, str]) -> Found:
    """Look for the runs of an experiment in its directories, or in directories of single runs.

    `host` is the name of this machine; `routers` gives the router of each data source, as far as it is known.
    """
    problems: list[str] = []
    collected: dict[int, _Collected] = {}
    for place in dict.fromkeys(Path(os.path.realpath(each)) for each in directories):
        try:
            for each in _well_named([place] if _RUN.fullmatch(place.name) else _runs_in(place, problems), problems):
                number = int(each.name.removeprefix("run_"))
                _collect(collected.setdefault(number, _Collected()), each, host, routers)
        except OSError as error:
            problems.append(f"{error.filename or place} cannot be read: {reason(error)}")
    found = [_found(RunId(experiment, number), each) for number, each in sorted(collected.items())]
    return Found(found, problems)


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
