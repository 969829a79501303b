"""The whole state of the core: frozen, replaced at each step, and passed to the PVs unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from ioc.model import (
    Client,
    ConfigChoice,
    DocumentState,
    EccState,
    FiledFile,
    InterlockState,
    Operation,
    PartnerState,
    Reading,
    RouterFacts,
    RunClass,
    RunId,
    RunInterval,
    RunRecord,
    RunState,
    Scalar,
    Severity,
    SystemState,
    Transition,
    Window,
)
from ioc.runlogic.events import Command, RunCommand, SetExperiment
from ioc.runlogic.memory import Interlocked, Worked
from ioc.runlogic.sequence import Auto
from ioc.states import IN_PROGRESS, RUNNING, aggregate


@dataclass(frozen=True)
class Note:
    """The text of a Message PV."""

    text: str = ""
    severity: Severity = Severity.NO_ALARM
    at: float = 0.0
    past: bool = False
    """`text` begins with its time, because its subject has moved on since."""
    reasons: tuple[str, ...] = ()
    """What forbade the start that `text` refuses; the text is true as long as they are."""
    in_passing: bool = False
    """What refused it, for example a hook, can be asked only by another start."""


class About(Enum):
    """The kind of a trouble in a run."""

    Start = auto()
    Pause = auto()
    Server = auto()
    Router = auto()
    Directory = auto()
    """The working directory of a router cannot be determined."""
    Link = auto()
    """A router was restarted, so no source is connected to it."""
    Data = auto()
    """A source sends nothing."""
    Filing = auto()
    Configuration = auto()
    """A file that changed after Configure."""
    Backup = auto()
    Observable = auto()
    Recording = auto()
    Interlock = auto()
    Partner = auto()
    Restart = auto()
    Continued = auto()
    """The IOC was restarted while the run was ended: what it said before that may be mended since."""
    Hook = auto()


class Cause(Enum):
    """Identifies a trouble where its text cannot, because numbers in the text change."""

    Unreachable = auto()
    Incomplete = auto()
    StillRunning = auto()
    """An ECC server still takes data."""
    StillSent = auto()
    """No server takes data, but data still arrive."""
    NoDirectory = auto()


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong in a run, kept permanently with the run."""

    about: About
    name: str
    """Server, router, source or observable; empty for the run as a whole."""
    at: float
    text: str
    severity: Severity
    cause: Cause | None = None
    """None: the text identifies it."""
    standing: bool = True
    """It has not ended, as far as the IOC knows."""
    mended: str = ""
    """How it ended; empty while it lasts, and if another trouble of the same kind replaced it."""
    mended_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """The state of one ECC server."""

    state: EccState = EccState.Unknown
    transition: Transition = Transition.NoTransition
    online: bool = False
    seen: bool = False
    """It was read, or found unreadable, at least once since the start."""
    hangs: bool = False
    """While it is Offline: its program is there, but does not answer."""
    start_failed: bool = False
    """It failed Start and has been Ready since. It does not notice if one of its boards was restarted: then each Start
    fails, and so does Breakup, which leaves it Off."""
    changed_at: float = 0.0
    """When `state` became true."""
    sending: bool = False
    """Its electronics may be sending data: it ran, and neither Stop nor Breakup has been seen since. A restart of the
    server ends no data, and Configure after that does not either."""
    pending: Operation | None = None
    """The operation that the IOC sent and whose outcome is not known yet."""
    wanted: EccState | None = None
    """The state that `pending` leads to."""
    command: Command | None = None
    """The command to this server alone that waits for `pending`; None if a job of the whole system sent it."""
    restart: Command | None = None
    """The command that restarts its program now."""
    config: ConfigChoice | None = None
    """Selected by the operator: what the next transition carries."""
    given: ConfigChoice | None = None
    """The configurations sent with the successful transitions since Idle, as far as the IOC saw them."""
    offers: tuple[ConfigChoice, ...] = ()
    """The configurations that the server lists."""
    list_read: bool = False
    """The list was read after the server came Online."""
    list_failed: bool = False
    """The last attempt to read the list failed, and `message` reports it."""
    config_digest: str = ""
    """Digest of what the last Configure gave the electronics."""
    files: tuple[tuple[str, str], ...] = ()
    """Its .xcfg files when it was configured: (file name, SHA-256 in hex)."""
    message: Note = Note()

    @property
    def in_use(self) -> ConfigChoice | None:
        """The configuration of the electronics; the selected one if theirs is not known."""
        return self.config if self.state is EccState.Idle or self.given is None else self.given

    @property
    def doing(self) -> Transition:
        """The transition under way: the one we sent, else the one the server reports."""
        return IN_PROGRESS[self.pending] if self.pending else self.transition

    @property
    def busy(self) -> bool:
        return self.doing is not Transition.NoTransition

    @property
    def takes_data(self) -> bool:
        return self.state in RUNNING


@dataclass(frozen=True, kw_only=True)
class Router:
    """The state of one data router."""

    last: RouterFacts | None = None
    """The last report of its host."""
    lost: bool = False
    """Its host cannot be reached, and `message` reports it."""
    checked: bool = False
    """Since the database was read, a look has asked for the directory of the next run."""
    rate: float = 0.0
    """Growth of the staged files in bytes per second."""
    mean_rate: float = 0.0
    """The same, averaged over a minute, or over the run if that is shorter."""
    rate_age: float = 0.0
    """Seconds over which it is averaged."""
    grew_at: float = 0.0
    """When they last grew, on the monotonic clock."""
    strayed_at: float = -math.inf
    """When they last grew although no run was open, on the same clock."""
    silent: bool = False
    """It writes nothing although the run takes data."""
    written: int = 0
    """Bytes by which its files have grown in the open run, or grew in the last one."""
    directories: tuple[str, ...] = ()
    """Its working directories during the open or last run, in order."""
    worked: Worked = field(default_factory=Worked)
    """The last of them, and those that may be gone."""
    linked_at: float | None = None
    """When Configure connected a source to it, on the monotonic clock; None if none is or the IOC did not see it."""
    linked: str = ""
    """The process that the source was connected to then; empty if not known."""
    deaf: bool = False
    """It takes no data until it is restarted: it neither listens for them nor is connected."""
    unseen_since: float | None = None
    """When the data of the open run ended, on the monotonic clock; None once a look that began later has come back."""
    disk_filling: bool = False
    """Its disk will be full within the hour."""
    filing: bool = False
    asked_at: float = 0.0
    """When filing last began, on the monotonic clock."""
    tried_at: float = 0.0
    """When filing last ended, on the monotonic clock."""
    command: Command | None = None
    """The Organize that waits for `filing`."""
    restart: Command | None = None
    """The command that restarts its program now."""
    message: Note = Note()

    @property
    def facts(self) -> RouterFacts | None:
        """None until its host has answered, and while the host cannot be reached."""
        return None if self.lost else self.last

    @property
    def online(self) -> bool:
        return self.facts is not None and self.facts.online

    @property
    def clean(self) -> bool:
        return self.facts is not None and self.facts.clean

    @property
    def restarted(self) -> bool:
        """The process is not the one to which a source was connected: the connection is lost."""
        return bool(self.facts and self.facts.process and self.linked and self.facts.process != self.linked)


@dataclass(frozen=True, kw_only=True)
class Interlock:
    """What is known of one interlock; times on the monotonic clock."""

    window: Window = field(default_factory=Window)
    """Its limits now."""
    state: InterlockState = InterlockState.Ok
    reason: str = ""
    """Why it tripped; empty unless it is Tripped."""
    value: Scalar | None = None
    """The value that tripped it."""
    was_read: bool = False
    """There was a reading since it is watched."""
    outside_since: float | None = None
    """Since when it has been outside; None while it is inside, not checked or bypassed."""
    judged_from: float = -math.inf
    """When it was added, its limits changed or its bypass ended: it is outside since then at the earliest."""
    inside_since: float | None = None
    """While it is Tripped: since when it has been inside again."""
    bypass_ends: float = 0.0
    bypassed_until: float = 0.0
    """The same in POSIX seconds; 0 while it is not bypassed."""
    interval: RunInterval | None = None
    """The bad time of the open run that has not ended."""
    paused: int = -1
    """The run that was paused for it since it tripped."""
    saved: Interlocked = field(default_factory=Interlocked)
    """What is stored of it."""
    message: Note = Note()


@dataclass(frozen=True, kw_only=True)
class Partner:
    """The state of one partner."""

    read: PartnerState = PartnerState.Unknown
    """What was read last: Unknown, Offline, Halted or Active."""
    controlled: bool = False
    """It takes commands from us."""
    lost_at: float = 0.0
    """While it is Offline: since when, on the monotonic clock."""
    run: int = -1
    """The run for which it was told to begin, until it has ended; -1 if there is none."""
    beginning: bool = False
    ending: bool = False
    message: Note = Note()

    @property
    def state(self) -> PartnerState:
        """What it does: what we told it last, else what was read."""
        if self.ending:
            return PartnerState.Ending
        return PartnerState.Beginning if self.beginning else self.read


@dataclass(frozen=True, kw_only=True)
class Run:
    """The open run, else the last one; title, class and number of the next one."""

    state: RunState = RunState.Stopped
    record: RunRecord | None = None
    """None before the first run of the experiment."""
    title: str = ""
    run_class: RunClass = RunClass.Testing
    unfiled: frozenset[str] = frozenset()
    """Routers whose files of this run are not all in place."""
    ending: DocumentState = DocumentState.Complete
    """The run's state in the database once it is filed."""
    running_since: float = 0.0
    """When it started, on the monotonic clock; 0 if it did not."""
    taking_since: float = 0.0
    """When it was last started or resumed, on that clock: from then on data are expected."""
    troubles: tuple[Trouble, ...] = ()
    """What went wrong in it, in order; if that was much, the first ones, those that last, and the last ones."""
    left_out: bool = False
    """Whether there were others."""
    earlier: str = ""
    """The message that an earlier process stored."""
    files: tuple[FiledFile, ...] = ()
    """Number of filed files, as far as this process knows."""
    held: bool = False
    """An interlock has paused it and will resume it."""
    least_number: int = 0
    """The number that the operator set for the next run; earlier runs may require a higher one."""
    message: Note = Note()

    @property
    def open(self) -> bool:
        """A number is reserved and the run is not closed."""
        return self.state not in {RunState.Stopped, RunState.Failed}

    @property
    def takes_data(self) -> bool:
        """It has started, and Stop was not requested."""
        return self.state in {RunState.Running, RunState.Paused}

    @property
    def may_write(self) -> bool:
        """Routers may be writing its files, and partners have not been ended."""
        return self.open and self.state is not RunState.Filing

    @property
    def number(self) -> int:
        return self.record.run.number if self.record else -1

    @property
    def next_number(self) -> int:
        return max(self.number + 1, self.least_number)

    @property
    def standing(self) -> tuple[Trouble, ...]:
        """The troubles that have not ended."""
        return tuple(trouble for trouble in self.troubles if trouble.standing)

    @property
    def by_urgency(self) -> tuple[Trouble, ...]:
        """The same: servers that wait for a Stop, then the worst; a message has room for a few troubles only."""

        def rank(trouble: Trouble) -> tuple[bool, int]:
            waits_for_stop = trouble.about is About.Server and trouble.cause is Cause.StillRunning
            return not waits_for_stop, -trouble.severity

        return tuple(sorted(self.standing, key=rank))

    def duration(self, steady: float) -> float:
        """Seconds that the run has lasted; `steady` is now, on the monotonic clock."""
        if self.record is None or self.record.started_at is None:
            return 0.0
        if self.record.duration is not None:
            return self.record.duration
        if self.record.stopped_at is not None:
            return max(0.0, self.record.stopped_at - self.record.started_at)
        return max(0.0, steady - self.running_since) if self.open else 0.0


class Phase(Enum):
    """The parts of a job that are not transitions."""

    Probe = auto()
    """Look at every router now; before a start, the permits are checked again with the result."""
    BeforeStart = auto()
    """Hooks that the start waits for; no number is reserved yet."""
    Reserve = auto()
    """Reserve a run number in the database."""
    Begin = auto()
    """Begin-of-run snapshot of the observables."""
    BeginBefore = auto()
    """Begin the partners that begin before the ECC servers."""
    BeginAfter = auto()
    """Begin the others."""
    Opened = auto()
    """All servers run: the run has its start time."""
    BeforeStop = auto()
    """Hooks that the stop waits for."""
    EndAfter = auto()
    """Begin to end the partners that began after the ECC servers: these wait for none of them."""
    EndBefore = auto()
    """End the others, and wait for all."""
    End = auto()
    """End-of-run snapshot; the run has its stop time."""
    File = auto()
    """File the files of the routers."""
    Backup = auto()
    """Copy the configuration files in use, and look at every router."""
    Close = auto()
    """The run is over."""


@dataclass(frozen=True)
class Move:
    """One group of servers does one operation, all at once."""

    operation: Operation
    servers: tuple[str, ...]


Stage = Move | Phase


class JobKind(Enum):
    """The current activity of the system."""

    Step = auto()
    Start = auto()
    RollBack = auto()
    """A start failed."""
    Stop = auto()
    Pause = auto()
    Resume = auto()
    Recover = auto()
    """Filing after a restart."""


@dataclass(frozen=True)
class Job:
    """What the system as a whole is doing; at most one job exists."""

    id: int
    """Distinguishes results of an abandoned job from those of the current one."""
    kind: JobKind
    name: str
    """For messages: ``Describe``, ``Start``…"""
    command: Command | None
    """The command that waits for its end; None if the core began it automatically."""
    stages: tuple[Stage, ...]
    """The remaining stages, the current one first."""
    begun: bool = False
    """The current stage was started."""
    waiting: frozenset[str] = frozenset()
    """Servers, routers, partners, hooks or "database" that the current stage waits for."""
    failures: tuple[str, ...] = ()
    """What went wrong, one sentence each."""
    remarks: tuple[tuple[str, str], ...] = ()
    """What else went wrong before the run opened: name and text of each trouble that it will have."""
    given_up: str = ""
    """Why its run is stopped as soon as it is open: that came while its number was being reserved."""
    stop: RunCommand | None = None
    """The Stop that gave it up, to be answered when that run is filed."""

    @property
    def client(self) -> Client:
        return self.command.client if self.command is not None else Client()

    @property
    def stage(self) -> Stage:
        return self.stages[0]

    @property
    def goes_on_after_failure(self) -> bool:
        """Stopping and filing continue with what can be done; everything else halts."""
        return self.kind in {JobKind.RollBack, JobKind.Stop, JobKind.Recover}


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything the core knows."""

    experiment: str = ""
    servers: Mapping[str, Server] = field(default_factory=dict[str, Server])
    routers: Mapping[str, Router] = field(default_factory=dict[str, Router])
    run: Run = Run()
    job: Job | None = None
    message: Note = Note()
    """Outcome of the last command of the system."""
    missing: frozenset[str] = frozenset()
    """Required observables that are not connected."""
    interlocks: Mapping[str, Interlock] = field(default_factory=dict[str, Interlock])
    partners: Mapping[str, Partner] = field(default_factory=dict[str, Partner])
    readings: Mapping[str, Reading] = field(default_factory=dict[str, Reading])
    """The latest reading of each watched observable; none until it has had a value."""
    restored: bool = False
    """The database was read."""
    undecided: bool = False
    """An open run was found at start-up, and the servers have not yet shown whether it still runs."""
    silent: frozenset[str] = frozenset()
    """Servers already reported to the operator as unreachable."""
    last_alive: float = 0.0
    """When an earlier process was last known to run; used to close a run that ended while the IOC was down."""
    last_duration: float | None = None
    """How long the open run had lasted then, if known."""
    database_problem: str = ""
    """Why the run database cannot be written now; empty if it can."""
    opening: SetExperiment | None = None
    """The put to Experiment that waits for the database."""
    looked_at: float = -math.inf
    """When the last look at all routers ended, on the monotonic clock."""
    next_job: int = 1
    auto: Auto = field(default_factory=Auto)
    auto_message: Note = Note()

    @property
    def whole(self) -> SystemState:
        """The state that all servers share."""
        return aggregate(server.state for server in self.servers.values())

    @property
    def next_run(self) -> RunId:
        """What a start would begin; known once the database was read."""
        return RunId(self.experiment, self.run.next_number)
