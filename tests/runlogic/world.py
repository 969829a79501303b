"""A whole world for the core: performs its effects against the fakes of `peers`, in any order, with any failure.

Effects that take time wait in `pending` until they are performed; what touches the database or answers a command is
done at once and in order, as the engine promises. After every single step the rules of `rules` are asserted, so that
every test of the core checks them.
"""

from __future__ import annotations

from typing import cast

from ioc.model import (
    Client,
    ConfigBackup,
    ConfigChoice,
    DocumentState,
    EccState,
    HookOutcome,
    Operation,
    PartnerReading,
    Reading,
    RunOperation,
    RunRecord,
    Scalar,
    Severity,
    SystemOperation,
    chosen_experiment,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.permits import blocked_by
from ioc.runlogic.plan import Plan
from ioc.runlogic.readings import watched
from ioc.runlogic.state import State
from ioc.runlogic.step import initial, step, wake_at
from ioc.runlogic.subject import Kind, Subject
from ioc.topology.schema import Interlock, Topology
from tests.runlogic.installation import OBSERVABLES, topology
from tests.runlogic.peers import TABLE, UNFINISHED, Database, DataRouter, EccServer, Partner
from tests.runlogic.rules import check

OPERATOR = Client("ana", "192.168.41.2")
FILES = (("describe-front.xcfg", "ab"), ("prepare-e20.xcfg", "cd"))
TICK = 2.0**-30
"""A monotonic clock never stands still: nothing that the core counts by it may happen twice at once."""
TAKING_DATA = {DocumentState.Starting, DocumentState.Running, DocumentState.Stopping}


class World:
    """An installation and the core that runs it."""

    def __init__(self, installation: Topology | None = None, *, fresh: bool = True, tick: float = 0.0) -> None:
        self.topology = installation or topology()
        self.plan = Plan.of(self.topology)
        self.servers = {name: EccServer() for name in self.plan.servers}
        self.routers = {name: DataRouter() for name in self.plan.routers}
        self.partners = {name: Partner() for name in self.plan.partners}
        self.database = Database()
        self.files: dict[str, tuple[tuple[str, str], ...]] = {}
        self.now = 1000.0
        self.steady = 50.0
        """A clock that nobody sets. It stands still but for what a test lets pass, and `tick` with every event."""
        self.tick = tick
        self.last_duration: float | None = None
        """How long the open run had lasted, as an earlier process left it."""
        self.state: State = initial(self.plan)
        self.pending: list[ef.Effect] = []
        self.sent: list[ef.SendTransition] = []
        self.hooked: list[ef.RunHook] = []
        """Every hook that has ended."""
        self.effects: list[ef.Effect] = []
        self.answers: dict[ev.Command, ef.Answer] = {}
        self.asked: set[ev.Command] = set()
        self.log: list[ef.Log] = []
        self.faults: dict[tuple[str, str], str] = {}
        self.failed_jobs: set[int] = set()
        self.manual: dict[str, Scalar] = {}
        """Values of manual observables."""
        self.values: dict[str, Scalar | None] = {}
        """The sources of observables, as far as they were ever there."""
        self._next_file = 0
        if fresh:
            self.restart()

    # What happens to the core

    def feed(self, event: ev.Event) -> tuple[ef.Effect, ...]:
        """Let one event happen; returns what the core wants done for it."""
        self.now += 1.0
        self.steady += self.tick
        if isinstance(event, ev.Command):
            self.asked.add(event)
        before = self.state
        self.state, effects = step(self.plan, before, event, self.now, self.steady)
        check(self, effects)
        self.effects += effects
        for effect in effects:
            match effect:
                case ef.Log():
                    self.log.append(effect)
                case ef.Answer(command=command):
                    assert command in self.asked, f"{effect} answers nothing"
                    assert command not in self.answers, f"{command} is answered twice"
                    self.answers[command] = effect
                case ef.SaveRun(record=record):
                    self._save(record)
                case ef.SaveVerdict(run=run, comment=comment, quality=quality):
                    self.database.judge(run, comment, quality)
                case ef.SaveSetting(name=name, value=value):
                    self.database.settings[name] = value
                case ef.SaveRunConfigs(run=run):
                    assert run in self.database.runs
                case ef.SaveInterval(interval=interval):
                    self.database.save_interval(interval)
                case ef.AbortHook(point=point, name=name):
                    asked = [each for each in self.pending if isinstance(each, ef.RunHook)]
                    assert any((each.point, each.name) == (point, name) for each in asked), "no such hook is under way"
                case ef.SendTransition():
                    self.sent.append(effect)
                    self.pending.append(effect)
                case _:
                    self.pending.append(effect)
        return effects

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and wake the core as the engine does."""
        until = self.steady + seconds
        while (at := wake_at(self.plan, self.state)) is not None and at <= until:
            assert at > self.steady, "the core is woken again and again"
            self.now += at - self.steady
            self.steady = at
            self.feed(ev.TimePassed())
        self.now += until - self.steady
        self.steady = until
        self.feed(ev.TimePassed())

    def read(
        self, name: str, value: Scalar | None, severity: Severity = Severity.NO_ALARM, *, late: float = 0.0
    ) -> None:
        """A watched observable has a new value, with a time stamp of `late` seconds ago."""
        self.values[name] = value
        status = "disconnected" if value is None else "NO_ALARM"
        self.feed(ev.ObservablesRead((Reading(name, value, severity, status, self.now + 1.0 - late),)))

    def change_interlocks(self, sections: tuple[Interlock, ...]) -> None:
        """The topology is reloaded with other interlocks; PVs that are new are connected."""
        before = self.plan
        self.plan = Plan.of(self.topology.model_copy(update={"interlocks": sections, "observables": OBSERVABLES}))
        self.feed(ev.PlanChanged(before, tuple(self.state.readings.values())))
        for name in watched(self.plan, self.state):
            self.read(name, self.values.get(name, 6))

    def interlocks_clear(self) -> None:
        """All limits are those of the tests, all values inside, and have been for long."""
        for name in self.plan.interlocks:
            self.feed(ev.SetLimits(OPERATOR, name, low=5))
            self.feed(ev.SetBypass(OPERATOR, name, bypassed=False))
        for name in watched(self.plan, self.state):
            self.read(name, 6)
        self.pass_time(10)
        self.settle()

    def ask(self, command: ev.Command) -> ev.Command:
        """Give a command; returns it, to look for its answer."""
        self.feed(command)
        return command

    def system(self, name: str) -> ev.Command:
        return self.ask(ev.SystemCommand(OPERATOR, cast(SystemOperation, Operation(name))))

    def server(self, server: str, name: str) -> ev.Command:
        return self.ask(ev.ServerCommand(OPERATOR, server, Operation(name)))

    def run(self, name: str) -> ev.Command:
        return self.ask(ev.RunCommand(OPERATOR, cast(RunOperation, Operation(name))))

    def organize(self, router: str) -> ev.Command:
        return self.ask(ev.Organize(OPERATOR, router))

    def restart_program(self, subject: Subject) -> ev.Command:
        return self.ask(ev.RestartProgram(OPERATOR, subject))

    def title(self, title: str) -> ev.Command:
        return self.ask(ev.SetTitle(OPERATOR, title))

    def experiment(self, name: str) -> ev.Command:
        return self.ask(ev.SetExperiment(OPERATOR, name))

    def select(self, server: str, config: str) -> ev.Command:
        return self.ask(ev.SelectConfig(OPERATOR, server, ConfigChoice.parse(config)))

    def copy_previous(self, previous: RunRecord | None) -> ev.Command:
        return self.ask(ev.CopyPrevious(OPERATOR, previous))

    # What the world does

    def poll_server(self, name: str) -> None:
        server = self.servers[name]
        if server.hangs:
            self.feed(ev.ServerLost(name, f"ECC server {name} did not answer GetState within 5 s", hangs=True))
        elif server.reachable:
            self.feed(ev.ServerRead(name, server.reading(self.now)))
        else:
            self.feed(ev.ServerLost(name, f"ECC server {name} at 127.0.0.1:8083 does not answer"))

    def poll_router(self, name: str) -> None:
        router = self.routers[name]
        if router.reachable:
            self.feed(ev.RoutersRead({name: router.facts(self.state.next_run.directory, self.now, self.steady)}))
        else:
            self.feed(ev.RoutersLost((name,), f"host of {name} does not answer"))

    def poll_partner(self, name: str) -> None:
        """While it is told something, nothing else is asked: there is one connection."""
        partner, now = self.partners[name], self.state.partners[name]
        if now.beginning or now.ending:
            return
        if partner.reachable:
            self.feed(ev.PartnerRead(name, PartnerReading(partner.active, partner.controlled)))
        else:
            self.feed(ev.PartnerLost(name, f"partner {name} at 127.0.0.1:1 does not answer"))

    def poll(self) -> None:
        for name in self.servers:
            self.poll_server(name)
        for name in self.routers:
            self.poll_router(name)
        for name in self.partners:
            self.poll_partner(name)

    def settle(self) -> None:
        """Perform all that is pending, oldest first, until nothing is left to do."""
        for _ in range(500):
            if not self.pending:
                self.assert_at_rest()
                return
            self.perform()
        raise AssertionError("the system does not come to rest")

    def perform(self, index: int = 0, fault: str = "") -> None:
        """Perform one pending effect and report what came of it.

        A fault is ``error``, ``ignored``, ``lost`` (done, but the reply is lost), ``unread`` (done, but nothing can be
        read afterwards), ``unread undone`` or ``slow`` (given up, but goes on) for a transition; ``error`` or ``lost``
        for all others; ``incomplete`` for filing; ``never`` (not done, and nobody can know) for a partner. Without one,
        the fault scripted in `faults` is taken, once.
        """
        effect = self.pending.pop(index)
        match effect:
            case ef.SendTransition(server=name, operation=operation):
                self._transition(effect, fault or self.faults.pop((name, operation.value), ""))
            case ef.ProbeRouters():
                for name in self.routers:
                    self.poll_router(name)
                self._probed(effect)
            case ef.ReserveRun():
                self._reserve(effect, fault or self.faults.pop(("database", "reserve"), ""))
            case ef.BeginPartner(partner=name):
                self._begin_partner(effect, fault or self.faults.pop((name, "begin"), ""))
            case ef.EndPartner(partner=name):
                self._end_partner(effect, fault or self.faults.pop((name, "end"), ""))
            case ef.FileRouter(router=name):
                self._file(effect, fault or self.faults.pop((name, "file"), ""))
            case ef.RunHook(name=name):
                fault = fault or self.faults.pop(("hook", name), "")
                self.hooked.append(effect)
                self.feed(ev.Ended(effect, HookOutcome("exit status 1", "HV is off") if fault else HookOutcome()))
            case ef.RestartUnit(subject=subject):
                self._restart(effect, fault or self.faults.pop((subject.name, "restart"), ""))
            case _:
                self._perform_small(effect, fault)

    def _perform_small(self, effect: ef.Effect, fault: str) -> None:
        match effect:
            case ef.TakeSnapshot(which=which):
                fault = fault or self.faults.pop(("database", which.name), "")
                if which is not ef.Snapshot.Resume:
                    self.feed(ev.Ended(effect, error="the database is locked" if fault else ""))
            case ef.BackUp(server=name):
                backup = ConfigBackup(self.files.get(name, FILES))
                if fault or self.faults.pop((name, "backup"), ""):
                    self.feed(ev.Ended(effect, error="no space left on device"))
                else:
                    self.feed(ev.Ended(effect, backup))
            case ef.SetManual(values=values):
                if fault or self.faults.pop(("database", "manual"), ""):
                    self.feed(ev.Ended(effect, error="the database is locked"))
                else:
                    self.manual |= dict(values)
                    self.feed(ev.Ended(effect))
            case ef.OpenExperiment(name=name):
                if fault or self.faults.pop(("database", "experiment"), ""):
                    self.feed(ev.Ended(effect, error="the database is locked"))
                else:
                    self.feed(ev.Ended(effect, self.database.last_run(name)))
            case _:
                raise AssertionError(effect)

    def _restart(self, effect: ef.RestartUnit, fault: str) -> None:
        """A new process; what the electronics do is another matter."""
        subject = effect.subject
        if fault:
            self.feed(ev.Ended(effect, error="no unit of this name"))
            return
        if subject.kind is Kind.Server:
            self.servers[subject.name].reachable = True
            self.servers[subject.name].state = EccState.Idle
            self.poll_server(subject.name)
        else:
            self.routers[subject.name].start_again()
        self.feed(ev.Ended(effect))

    def restart(self, *, poll: bool = True, restore: bool = True) -> None:
        """Throw away all that the core knows, as a crash does; the world stays as it is.

        Without `restore`, the peers are read before the database, which `restore` then reads.
        """
        self.pending.clear()
        self.failed_jobs.clear()
        self.asked = set(self.answers)
        self.state = initial(self.plan)
        for partner in self.partners.values():
            partner.cut()
        if restore:
            self.restore()
        if poll:
            self.feed(ev.ObservablesMissing(frozenset()))
            self.poll()
            for name, value in self.values.items():
                self.read(name, value)

    def restore(self) -> None:
        settings = self.database.settings
        number = self.database.unfinished()[-1].run.number if self.database.unfinished() else 0
        alive = f"{self.now - 5.0}" if self.last_duration is None else f"{self.now - 5.0} {self.last_duration} {number}"
        last_run = self.database.last_run(chosen_experiment(settings, self.plan.experiment))
        self.feed(ev.Restored({**settings, "last_alive": alive}, last_run, self.database.unfinished()))

    def put_servers(self, state: EccState, *names: str) -> None:
        """Let somebody else bring servers (all, if none is named) into a state."""
        for name in names or self.servers:
            self.servers[name].state = state
            self.poll_server(name)

    def ready(self) -> None:
        self.put_servers(EccState.Ready)

    def start_run(self) -> None:
        """A run that runs."""
        self.ready()
        token = self.run("Start")
        self.settle()
        assert self.answers[token] == ef.Answer(token)

    def write(self, server: str) -> None:
        """Every router of a server gets a file."""
        run = next((record.run for record in self.database.runs.values() if record.state in TAKING_DATA), None)
        for link in self.plan.servers[server].links:
            self._next_file += 1
            self.routers[link.router].staged.append((f"{server}_{self._next_file:04d}.graw", run))

    def finish_under_way(self, server: str) -> None:
        """What nobody waited for comes to its end."""
        peer = self.servers[server]
        operation, peer.under_way = peer.under_way, None
        if operation is not None and peer.does(operation):
            self.write(server)

    # What came of it, and whether it was allowed

    def operations(self) -> list[tuple[str, str]]:
        """(operation, server) of every transition sent, in order."""
        return [(effect.operation.value, effect.server) for effect in self.sent]

    @property
    def record(self) -> RunRecord:
        """The newest run in the database."""
        return list(self.database.runs.values())[-1]

    def blocked_by(self) -> tuple[str, ...]:
        return blocked_by(self.plan, self.state)

    def assert_at_rest(self) -> None:
        """Nothing is pending: then nothing waits, and every command has its answer."""
        assert self.state.job is None
        assert self.state.opening is None
        assert not any(each.restart for each in (*self.state.servers.values(), *self.state.routers.values()))
        assert not any(server.pending for server in self.state.servers.values())
        assert not any(router.filing for router in self.state.routers.values())
        assert not any(partner.beginning or partner.ending for partner in self.state.partners.values())
        left = [name for name, partner in self.partners.items() if partner.active and partner.controlled]
        assert self.state.run.open or not left, f"{left} were begun for a run that is over, and are not ended"
        assert set(self.answers) == self.asked

    def _transition(self, effect: ef.SendTransition, fault: str) -> None:
        name, operation = effect.server, effect.operation
        peer, job = self.servers[name], self.state.job
        error = ""
        if not peer.reachable:
            fault, error = "unread undone", f"ECC server {name} refused the connection"
        elif peer.under_way is not None:
            fault, error = "busy", f"ECC server {name} failed {operation}: The ECC state machine is busy!"
        elif fault == "error":
            error = f"ECC server {name} failed {operation}: no CoBo answers"
        elif fault == "slow":
            peer.under_way, error = operation, f"ECC server {name} did not answer {operation} within 180 s"
        elif fault not in {"ignored", "unread undone"}:
            error = (
                f"ECC server {name} closed the connection without an answer to {operation}" if fault == "lost" else ""
            )
            if peer.does(operation):
                self.write(name)
        reading = None if fault.startswith("unread") else peer.reading(self.now)
        alone = self.state.servers[name].command is not None
        # Another client may have brought it there unseen: only the state that is read counts.
        targets = {target for (each, _), target in TABLE.items() if each is operation}
        failed = reading is None or reading.state not in targets
        if job is not None and not alone and failed:
            self.failed_jobs.add(job.id)
        self.feed(ev.TransitionEnded(name, operation, error, reading, config_digest="d1g35t"))

    def _probed(self, effect: ef.ProbeRouters) -> None:
        effects = self.feed(ev.Ended(effect))
        if any(isinstance(effect, ef.ReserveRun) for effect in effects):
            for name, router in self.routers.items():
                assert router.reachable, f"a run starts although the host of {name} does not answer"
                assert router.online, f"a run starts although {name} is offline"
                assert not router.staged, f"a run starts although {name} is dirty"

    def _reserve(self, effect: ef.ReserveRun, fault: str) -> None:
        if fault == "error":
            self.feed(ev.Ended(effect, error="the database is locked"))
            return
        assert fault == "lost" or not [record for record in self.database.unfinished() if record.started_at], (
            "a run is reserved while another is open"
        )
        record = self.database.reserve(
            effect.experiment, effect.title, effect.run_class, effect.config_name, self.now, at_least=effect.at_least
        )
        self.feed(ev.Ended(effect, error="no answer") if fault else ev.Ended(effect, record))

    def _begin_partner(self, effect: ef.BeginPartner, fault: str) -> None:
        partner = self.partners[effect.partner]
        refused = fault == "error" or not partner.reachable or partner.active
        if not refused and fault != "never":
            partner.begin(effect.number, effect.title)
        if refused:
            self.feed(ev.Ended(effect, f"partner {effect.partner} refused: State must be halted"))
        elif fault:
            self.feed(ev.Ended(effect, error=f"partner {effect.partner} did not answer begin within 30 s"))
        else:
            self.feed(ev.Ended(effect, ""))

    def _end_partner(self, effect: ef.EndPartner, fault: str) -> None:
        name = effect.partner
        partner = self.partners[name]
        for other in [each for each in self.pending if isinstance(each, ef.BeginPartner) and each.partner == name]:
            self.perform(self.pending.index(other), "lost")  # it is given up, and may have begun
        if partner.reachable and not partner.active:
            error = ""
        elif not partner.reachable or not partner.controlled or fault in {"error", "never"}:
            error = f"partner {name} still runs: press End in its ReadoutGUI"
            partner.cut()
        else:
            partner.active = partner.controlled = False
            error = f"partner {name} closed the connection without an answer to end" if fault else ""
        self.feed(ev.Ended(effect, error=error))

    def _file(self, effect: ef.FileRouter, fault: str) -> None:
        name, run = effect.router, effect.run
        router = self.routers[name]
        if fault == "error" or not router.reachable:
            self.feed(ev.Ended(effect, error=f"host of {name} does not answer"))
            return
        leave = 1 if fault == "incomplete" and router.staged else 0
        report = router.file(name, run, self.now, leave=leave)
        if fault == "lost":
            self.feed(ev.Ended(effect, error="the connection was reset"))
        else:
            self.feed(ev.Ended(effect, report))

    def _save(self, record: RunRecord) -> None:
        runs = self.database.runs
        assert record.run in runs, f"{record.run} was never reserved"
        was = runs[record.run].state
        assert was in UNFINISHED or record.state is was, f"{record.run} was {was} and becomes {record.state} again"
        if record.state not in UNFINISHED and "later run" not in record.message:
            for name, router in self.routers.items():
                left = [file for file, run in router.staged if run == record.run]
                assert not left, f"{record.run} is {record.state} while {name} still has {left}"
        if record.state is DocumentState.Complete:
            assert record.started_at is not None
            assert record.stopped_at is not None
        self.database.save(record)
