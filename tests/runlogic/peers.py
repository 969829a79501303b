"""Named fakes of everything around the core: ECC servers, data routers, the run database. In memory, no clock.

The ECC server's table is written here a second time, from the protocol's description, so that one slip in
``ioc/states.py`` cannot satisfy both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ioc.model import (
    DocumentState,
    EccReading,
    EccState,
    FiledFile,
    FilingReport,
    Operation,
    RouterFacts,
    RunClass,
    RunId,
    RunInterval,
    RunQuality,
    RunRecord,
    Transition,
)

_TABLE = """
Describe:  Idle -> Described
Prepare:   Described -> Prepared
Configure: Prepared -> Ready
Start:     Ready -> Running
Stop:      Running -> Ready, Paused -> Ready
Pause:     Running -> Paused
Resume:    Paused -> Running
Breakup:   Ready -> Prepared, Running -> Prepared, Paused -> Prepared
Undo:      Described -> Idle, Prepared -> Described
"""


def _parsed() -> dict[tuple[Operation, EccState], EccState]:
    table: dict[tuple[Operation, EccState], EccState] = {}
    for line in _TABLE.strip().splitlines():
        operation, moves = line.split(":")
        for move in moves.split(","):
            before, after = move.split("->")
            table[Operation(operation), EccState[before.strip()]] = EccState[after.strip()]
    return table


TABLE = _parsed()
"""What a real ECC server does; everything that is not in it is ignored with error code 0."""

UNFINISHED = {DocumentState.Starting, DocumentState.Running, DocumentState.Stopping, DocumentState.Filing}


@dataclass
class EccServer:
    """An ECC server and the electronics behind it."""

    state: EccState = EccState.Idle
    reachable: bool = True
    hangs: bool = False
    """It accepts connections and does not answer."""
    under_way: Operation | None = None
    """A transition that goes on without anybody waiting for it."""

    def does(self, operation: Operation) -> bool:
        """Perform a transition; whether the server starts to write data by it."""
        before, self.state = self.state, TABLE.get((operation, self.state), self.state)
        return self.state is EccState.Running and before is not EccState.Running

    def reading(self, now: float) -> EccReading:
        transition = Transition(list(Operation).index(self.under_way) + 1) if self.under_way else Transition(0)
        return EccReading(self.state, transition, now)


@dataclass
class DataRouter:
    """A dataRouter and the disk of its host."""

    reachable: bool = True
    online: bool = True
    disk_free: int = 500_000_000_000
    disk_total: int = 1_000_000_000_000
    work_dir: str = "/data"
    process: str = ""
    """Tells this process from the one before it."""
    written: int = 0
    """Bytes of the staged files, if they matter."""
    deaf: bool = False
    """It neither listens for data nor is connected."""
    unread: int = 0
    """Bytes that arrived and that it has not read."""
    staged: list[tuple[str, RunId | None]] = field(default_factory=list)
    """File names in the working directory, each with the run that it belongs to."""
    directories: dict[str, list[str]] = field(default_factory=dict)
    """Run directories and what lies in them."""

    def facts(self, run_directory: str, now: float, steady: float) -> RouterFacts:
        return RouterFacts(
            online=self.online,
            work_dir=self.work_dir,
            file_count=len(self.staged),
            staged_bytes=1000 * len(self.staged) + self.written,
            disk_free=self.disk_free,
            disk_total=self.disk_total,
            run_dir_exists=run_directory in self.directories,
            read_at=now,
            asked_at=steady,
            answered_at=steady,
            process=self.process,
            run_directory=run_directory,
            unread=self.unread,
            deaf=self.deaf,
        )

    def start_again(self) -> None:
        """Its process is another one, without a source."""
        self.online = True
        self.process += "+"
        self.deaf = False

    def file(self, name: str, run: RunId, now: float, *, leave: int = 0) -> FilingReport:
        """Move the staged files, but for the last `leave` of them, to the directory of the run."""
        moved = self.staged[: len(self.staged) - leave]
        self.staged = self.staged[len(moved) :]
        earlier = len(self.directories.get(run.directory, ()))
        if moved:
            self.directories.setdefault(run.directory, []).extend(file for file, _ in moved)
        files = self.directories.get(run.directory, ())
        return FilingReport(
            tuple(FiledFile(name, name, f"/data/{run.directory}/{file}", 1000, now) for file in files),
            "1 file cannot be moved: permission denied" if leave else "",
            complete=not leave,
            earlier=earlier,
        )


@dataclass
class Partner:
    """Another data acquisition with its own run control, and our connection to it."""

    reachable: bool = True
    active: bool = False
    controlled: bool = False
    """We have begun it, and the connection has lasted since."""
    number: int = -1
    title: str = ""

    def begin(self, number: int, title: str) -> None:
        self.active, self.controlled, self.number, self.title = True, True, number, title

    def cut(self) -> None:
        """Our connection ends: it controls itself and goes on."""
        self.controlled = False


@dataclass
class Database:
    """The run database: survives a restart."""

    runs: dict[RunId, RunRecord] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    experiments: set[str] = field(default_factory=set)
    intervals: dict[tuple[RunId, str, float], RunInterval] = field(default_factory=dict)

    def last_run(self, experiment: str) -> RunRecord | None:
        self.experiments.add(experiment)
        numbers = [run.number for run in self.runs if run.experiment == experiment]
        return self.runs[RunId(experiment, max(numbers))] if numbers else None

    def reserve(
        self, experiment: str, title: str, run_class: RunClass, config_name: str, now: float, *, at_least: int = 0
    ) -> RunRecord:
        last = self.last_run(experiment)
        run = RunId(experiment, max(at_least, last.run.number + 1 if last else 0))
        assert run not in self.runs, "a run number is never used twice"
        self.runs[run] = RunRecord(run, DocumentState.Starting, run_class, title, now, config_name=config_name)
        return self.runs[run]

    def save(self, record: RunRecord) -> None:
        """Comment and quality stay as they are, as the run database has it."""
        known = self.runs.get(record.run, record)
        self.runs[record.run] = replace(record, comment=known.comment, quality=known.quality)

    def judge(self, run: RunId, comment: str | None, quality: RunQuality | None) -> None:
        known = self.runs[run]
        comment = known.comment if comment is None else comment
        self.runs[run] = replace(known, comment=comment, quality=known.quality if quality is None else quality)

    def save_interval(self, interval: RunInterval) -> None:
        """Store a bad time or its end; it lies in its run. One that ends where it began was none."""
        record = self.runs[interval.run]
        key = interval.run, interval.interlock, interval.began_at
        known = self.intervals.get(key)
        assert known is None or replace(known, ended_at=interval.ended_at) == interval, "an interval changes"
        assert record.started_at is not None, "a run that does not run has no bad time"
        assert interval.began_at >= record.started_at
        if interval.ended_at is not None and interval.ended_at <= interval.began_at:
            assert interval.ended_at == interval.began_at
            self.intervals.pop(key, None)
            return
        for each in self.intervals.values():
            if (each.run, each.interlock) == key[:2] and each is not known:
                assert each.ended_at is not None, "two intervals are open"
                assert each.ended_at <= interval.began_at, "two intervals overlap"
        self.intervals[key] = interval

    def unfinished(self) -> tuple[RunRecord, ...]:
        return tuple(record for record in self.runs.values() if record.state in UNFINISHED)
