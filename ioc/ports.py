"""The Protocols between the engine and the adapters that talk to the outside world.

Every method may raise `ioc.errors.PeerError` (`PeerTimeout`, `PeerRejected`), whose text is fit for an operator, and
nothing else. Every awaitable ends within the time-outs of its adapter, whatever the peer does.
Cancelling one abandons the wait; it does not undo what was sent. All methods are called on the event loop and never
block it. Only what the engine calls is here; `app` starts and closes the adapters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from ioc.model import (
    ConfigBackup,
    ConfigChoice,
    DataLink,
    DocumentState,
    EccReading,
    FiledFile,
    FilingReport,
    HookOutcome,
    HookPoint,
    Operation,
    PartnerReading,
    Reading,
    RouterFacts,
    RunClass,
    RunConfig,
    RunId,
    RunInterval,
    RunQuality,
    RunRecord,
    Scalar,
    TransitionReply,
)


class EccClient(Protocol):
    """One ECC server."""

    async def get_state(self) -> EccReading:
        """Read state and transition; also answers while a transition runs."""
        ...

    async def get_configs(self) -> tuple[ConfigChoice, ...]:
        """Read the list of configurations that the server offers, in its order."""
        ...

    async def transition(
        self, operation: Operation, config: ConfigChoice, links: Sequence[DataLink]
    ) -> TransitionReply:
        """Send one transition and wait for its reply.

        A return is *not* success: the state has changed only when `get_state` says so.

        Raises:
            PeerRejected: the server answered an ErrorCode other than 0; the text is its message in full.
        """
        ...


class Host(Protocol):
    """One machine reached by SSH (or this one), with all its routers and ECC servers."""

    @property
    def name(self) -> str:
        """Address of the machine as the topology has it, for messages and the database."""
        ...

    @property
    def routers(self) -> tuple[str, ...]:
        """Names of its routers."""
        ...

    @property
    def servers(self) -> tuple[str, ...]:
        """Names of its ECC servers."""
        ...

    async def router_facts(self, run_directory: str) -> Mapping[str, RouterFacts]:
        """Look at every router of this host in one round trip; keyed by the router's name.

        `run_directory` (``EXPERIMENT/run_NNNN``) is what `RouterFacts.run_dir_exists` answers for.
        """
        ...

    async def file_run(
        self,
        router: str,
        run: RunId,
        record: Callable[[FiledFile], Awaitable[None]],
        directories: Sequence[str] = (),
        may_be_gone: Sequence[str] = (),
    ) -> FilingReport:
        """Wait until the router's staged files have stopped growing, then move them to the run's directory.

        `directories` are the router's working directories of this run (`RouterFacts.work_dir`): each is filed, and also
        the current one; one that is gone makes the report incomplete, unless it is in `may_be_gone`. The run's
        directory is made in each even if there is no file. `record` is awaited after each file that is in place, and
        again for files that an interrupted attempt had moved: recording must be idempotent. Never overwrites. Safe to
        repeat after a crash at any point.
        """
        ...

    async def backup_configs(self, server: str, run: RunId, config: ConfigChoice) -> ConfigBackup:
        """Copy the .xcfg files that `server` uses into its backup root under the run's directory."""
        ...

    async def restart_unit(self, unit: str) -> None:
        """Restart a program through its unit or agent, which has this fixed name; returns when it runs again."""
        ...


class HookRunner(Protocol):
    """Runs the hooks of the topology."""

    async def run(self, point: HookPoint, name: str, record: RunRecord) -> HookOutcome:
        """Run one hook. Returns at its time-out at the latest; a failure is in the result.

        Cancelling it ends the hook.
        """
        ...

    def abort(self, point: HookPoint, name: str) -> None:
        """End a hook wherever it is under way; its `run` returns at once."""
        ...


class Partner(Protocol):
    """Another data acquisition that is begun and ended with our runs."""

    async def read(self) -> PartnerReading:
        """Read its state; waits for a begin or an end that is under way."""
        ...

    async def begin(self, number: int, title: str) -> None:
        """Begin its run with our number and title. When this returns, it takes data.

        Raises:
            PeerRejected: it has certainly not begun. After any other error it may have.
        """
        ...

    async def end(self) -> None:
        """End its run. When this returns, it takes no data. A begin in progress is cancelled, and ends first.

        Raises:
            PeerError: it may still run.
        """
        ...


class RunStore(Protocol):
    """The run database. When an awaited call returns, its record is on disk."""

    async def last_run(self, experiment: str) -> RunRecord | None:
        """The newest run of an experiment, or None."""
        ...

    async def get_run(self, run: RunId) -> RunRecord | None:
        """One run, or None if there is none with this number."""
        ...

    async def unfinished_runs(self) -> tuple[RunRecord, ...]:
        """Runs of any experiment whose state is starting, running, stopping or filing, oldest first."""
        ...

    async def reserve_run(
        self, experiment: str, title: str, run_class: RunClass, config_name: str, *, at_least: int = 0
    ) -> RunRecord:
        """Reserve the next number (latest + 1, from 0, or `at_least`) in one transaction; state is `starting`."""
        ...

    async def save_run(self, record: RunRecord) -> None:
        """Store every field of a reserved run except its comment and quality."""
        ...

    async def save_verdict(self, run: RunId, *, comment: str | None, quality: RunQuality | None) -> None:
        """Store comment and quality of a run; None leaves what is there."""
        ...

    def changes_elsewhere(self) -> int:
        """Return a number that is another one within two seconds after another program has changed the database."""
        ...

    async def save_run_configs(self, run: RunId, configs: Sequence[RunConfig]) -> None:
        """Store or replace the configuration of each ECC server."""
        ...

    async def save_interval(self, interval: RunInterval) -> None:
        """Store a bad time of a run, or its end; run, interlock and begin identify it.

        One that ends where it began was none, and is removed.
        """
        ...

    async def add_files(self, run: RunId, *files: FiledFile) -> None:
        """Record filed files, all or none; repeating host and path updates only a size. `runs.bytes` follows."""
        ...

    def problem(self) -> str:
        """Return in a sentence why the database cannot be written (known within 2 s); empty if it can."""
        ...

    async def load_settings(self) -> Mapping[str, str]:
        """The operator's settings, by name."""
        ...

    async def save_settings(self, settings: Mapping[str, str]) -> None:
        """Save all of them or none."""
        ...


class RunRecorder(Protocol):
    """Records the observables of a run; the engine calls it when a run begins and ends."""

    async def begin_run(self, run: RunId) -> None:
        """Take the begin-of-run snapshot of every observable; statistics restart."""
        ...

    async def end_run(self, run: RunId, ended_at: float | None = None) -> None:
        """Take the end-of-run snapshot and store the statistics.

        For a run that ended while no IOC was running, they are computed from the database; it ended at `ended_at`
        (POSIX seconds), or with its last sample if that is later. Safe to repeat.
        """
        ...

    async def copy_manual_from(self, run: RunId) -> None:
        """Set every manual observable to its value in `run`."""
        ...

    async def set_manual(self, name: str, value: Scalar) -> object:
        """Set one manual observable.

        Raises:
            Refused: the value does not fit, or there is no such manual observable.
        """
        ...

    async def change_experiment(self, experiment: str) -> None:
        """Record under another experiment from now on, which has its own manual values."""
        ...

    async def resume_run(self, run: RunId, last_alive: float) -> None:
        """Continue a run of an earlier process that was last known to run at `last_alive` (POSIX seconds).

        The time between is a gap; it begins with the last sample if that is later.
        """
        ...


ReadingsListener = Callable[[Sequence[Reading]], None]
"""Takes updates of observables in the order of their arrival, in the thread of the client; must not block or raise."""

FINISHED = frozenset({DocumentState.Complete, DocumentState.Failed, DocumentState.Orphaned})
"""Final states of a run."""
