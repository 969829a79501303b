"""No order of commands, failures, restarts and changes by others breaks the rules that `World` asserts at every step.

They are: a run number is never used twice; no run starts with a router that is dirty or away or a server that is not
Ready; every command is answered exactly once; a later group is not touched after an earlier one failed; a refusal
changes nothing; a run is closed only when no router has files of it; a transition is sent only to a server at rest, in
a state for which the table has it, one at a time; no run starts against a tripped interlock, none goes on against a
tripped stop; hooks run at their occasions; no run becomes Running without its partners, and none keeps one from
stopping; the system comes to rest; the state can always be shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ioc.model import (
    Action,
    DocumentState,
    EccState,
    Operation,
    RunOperation,
    RunQuality,
    RunState,
    SystemOperation,
    Transition,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.readings import watched
from ioc.runlogic.subject import Subject, data_router, ecc
from ioc.topology.schema import Hooks, Interlock, Partner
from tests.runlogic.installation import HOOKS, PARTNERS, topology
from tests.runlogic.peers import TABLE, UNFINISHED
from tests.runlogic.world import OPERATOR, TICK, World

SERVERS = st.sampled_from(["CoBo0", "CoBo1", "MuTAnT"])
ROUTERS = st.sampled_from(["data0", "data1", "mutant"])
PROGRAMS = st.sampled_from([*map(ecc, ("CoBo0", "MuTAnT")), *map(data_router, ("data0", "mutant"))])
READABLE = st.sampled_from([state for state in EccState if state is not EccState.Unknown])
TRANSITION_FAULTS = st.sampled_from(["error", "ignored", "lost", "unread", "unread undone", "slow"])
PARTNER_NAMES = st.sampled_from([each.name for each in PARTNERS])
PARTNER_FAULTS = st.sampled_from(["error", "lost", "never"])
FILING_FAULTS = st.sampled_from(["error", "lost", "incomplete"])
RUN_STATES = {
    DocumentState.Starting: {RunState.Starting},
    DocumentState.Running: {RunState.Running, RunState.Paused},
    DocumentState.Stopping: {RunState.Stopping},
    DocumentState.Filing: {RunState.Filing},
}


@st.composite
def interlocks(draw: st.DrawFn) -> tuple[Interlock, ...]:
    """Up to three interlocks, of the pressure or of a PV of their own."""
    sections: list[Interlock] = []
    for name in draw(st.sampled_from([(), ("p",), ("p", "q"), ("p", "q", "r")])):
        source = draw(st.sampled_from([("pressure", None), (None, "BEAM:I")]))
        times = draw(st.sampled_from([(0, 0), (2, 3), (0, 5)]))
        sections.append(
            Interlock(
                name=name,
                low=5,
                high=7,
                action=draw(st.sampled_from(list(Action))),
                when=draw(st.sampled_from(["always", "always", "run"])),
                for_seconds=times[0],
                clear_seconds=times[1],
                bypass_minutes=1,
                observable=source[0],
                pv=source[1],
            )
        )
    return tuple(sections)


INTERLOCKS = interlocks()


class Operating(RuleBasedStateMachine):
    """Operators, peers and accidents, in any order."""

    @initialize(
        resume=st.booleans(),
        reset_mutant=st.booleans(),
        state=READABLE,
        interlocks=INTERLOCKS,
        hooks=st.booleans(),
        partners=st.sampled_from([(), PARTNERS[:1], PARTNERS]),
    )
    def installation(
        self,
        *,
        resume: bool,
        reset_mutant: bool,
        state: EccState,
        interlocks: tuple[Interlock, ...],
        hooks: bool,
        partners: tuple[Partner, ...],
    ) -> None:
        self.world = World(
            topology(
                resume=resume,
                reset_mutant=reset_mutant,
                interlocks=interlocks,
                hooks=HOOKS if hooks else Hooks(),
                partners=partners,
                units="systemd",
            ),
            tick=TICK,
        )
        for name in watched(self.world.plan, self.world.state):
            self.world.read(name, 6)
        self.world.put_servers(state)
        if state is EccState.Running:
            self.start_a_run_from_ready(performed=8, then="", after=0)

    @rule(step=st.sampled_from(get_args(SystemOperation)))
    def command_the_system(self, step: SystemOperation) -> None:
        self.world.system(step)

    @rule(server=SERVERS, action=st.sampled_from(list(Operation)))
    def command_one_server(self, server: str, action: Operation) -> None:
        self.world.server(server, action)

    @rule(action=st.sampled_from([*get_args(RunOperation), Operation.Start, Operation.Stop]))
    def command_the_run(self, action: RunOperation) -> None:
        self.world.run(action)

    @rule(performed=st.integers(0, 8), then=st.sampled_from(["", "", "Stop", "Pause"]), after=st.integers(0, 3))
    def start_a_run_from_ready(self, performed: int, then: str, after: int) -> None:
        """Random commands alone would seldom get all servers to Ready."""
        self.world.settle()
        if not self.world.state.run.open:
            self.mend_all()
            self.world.ready()
        self.world.run("Start")
        self.perform_some(performed)
        if then:
            self.world.run(then)
            self.perform_some(after)

    def mend_all(self) -> None:
        """Every peer is well and at rest, nothing lies on a router, no interlock is tripped: a start is possible."""
        world = self.world
        world.interlocks_clear()
        for name, server in world.servers.items():
            server.reachable = True
            world.finish_under_way(name)
        for router in world.routers.values():
            router.reachable = router.online = True
            router.staged.clear()
            router.directories.clear()
        self.mend_partners()
        world.feed(ev.ObservablesMissing(frozenset()))
        world.poll()

    def configure(self) -> None:
        """Bring all servers to Ready as an operator does, which also connects them to routers that were restarted."""
        self.world.put_servers(EccState.Prepared)
        self.world.system("Configure")
        self.world.settle()
        self.world.poll()

    def mend_partners(self) -> None:
        """None has a run of its own; those of ours go on."""
        for partner in self.world.partners.values():
            partner.reachable = True
            partner.active = partner.active and self.world.state.run.open

    def perform_some(self, count: int) -> None:
        for _ in range(count):
            if self.world.pending:
                self.world.perform()

    @rule(router=ROUTERS, fault=FILING_FAULTS, again=st.booleans())
    def a_router_is_not_filed(self, router: str, fault: str, again: bool) -> None:
        """The Stop of a run fails for one router, and perhaps Organize after it."""
        if not self.world.state.run.open:
            self.start_a_run_from_ready(performed=8, then="", after=0)
        self.world.faults[router, "file"] = fault
        self.world.run("Stop")
        self.world.settle()
        if again:
            self.world.faults[router, "file"] = fault
            self.world.organize(router)
            self.world.settle()

    @rule(router=ROUTERS)
    def organize(self, router: str) -> None:
        self.world.organize(router)

    @rule(subject=PROGRAMS, fault=st.sampled_from(["", "", "error"]), performed=st.integers(0, 3))
    def a_program_is_restarted(self, subject: Subject, fault: str, performed: int) -> None:
        if fault:
            self.world.faults[subject.name, "restart"] = fault
        self.world.restart_program(subject)
        self.perform_some(performed)

    @rule(subject=PROGRAMS, performed=st.integers(0, 4))
    def a_start_while_a_program_is_restarted(self, subject: Subject, performed: int) -> None:
        """Before the Start, or while its routers are looked at."""
        self.world.settle()
        if self.world.state.run.open:
            return
        self.mend_all()
        self.world.ready()
        self.world.restart_program(subject)
        self.world.run("Start")
        self.perform_some(performed)

    @rule(title=st.sampled_from(["alpha", "beam on target"]), previous=st.booleans())
    def write_down(self, title: str, previous: bool) -> None:
        if previous:
            self.world.copy_previous(self.world.database.last_run(self.world.state.experiment))
        else:
            self.world.title(title)

    @rule(verdict=st.sampled_from(["all is well", "a\nb", "", *RunQuality]))
    def judge(self, verdict: str | RunQuality) -> None:
        if isinstance(verdict, RunQuality):
            self.world.ask(ev.SetQuality(OPERATOR, verdict))
        else:
            self.world.ask(ev.SetComment(OPERATOR, verdict))

    @rule(quality=st.sampled_from(RunQuality), title=st.sampled_from(["alpha", "corrected"]))
    def somebody_edits_the_last_run(self, quality: RunQuality, title: str) -> None:
        """`runs edit` refuses an open run; the IOC is told about it, and may ask for what it knows already."""
        record = self.world.database.last_run(self.world.state.experiment)
        if record is not None and record.state not in UNFINISHED:
            self.world.database.runs[record.run] = record = replace(record, quality=quality, title=title)
        if record is not None and self.world.state.restored:
            self.world.feed(ev.RunEdited(record))

    @rule(name=st.sampled_from(["e20", "e21", "../e22"]))
    def change_the_experiment(self, name: str) -> None:
        self.world.experiment(name)

    @rule(server=SERVERS, config=st.sampled_from(["a/b/c", "d/e/f"]))
    def select_a_configuration(self, server: str, config: str) -> None:
        self.world.select(server, config)

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data())
    def perform(self, data: st.DataObject) -> None:
        self.world.perform(data.draw(st.integers(0, len(self.world.pending) - 1)))

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data())
    def perform_and_fail(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.world.pending) - 1))
        match self.world.pending[index]:
            case ef.SendTransition():
                fault = data.draw(TRANSITION_FAULTS)
            case ef.FileRouter():
                fault = data.draw(FILING_FAULTS)
            case ef.BeginPartner() | ef.EndPartner():
                fault = data.draw(PARTNER_FAULTS)
            case _:
                fault = "error"
        self.world.perform(index, fault)

    @rule(server=SERVERS, operation=st.sampled_from(list(Operation)), fault=TRANSITION_FAULTS)
    def the_next_transition_fails(self, server: str, operation: Operation, fault: str) -> None:
        self.world.faults[server, operation.value] = fault

    @rule(router=ROUTERS, fault=FILING_FAULTS)
    def the_next_filing_fails(self, router: str, fault: str) -> None:
        self.world.faults[router, "file"] = fault

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule()
    def poll(self) -> None:
        self.world.poll()

    @rule(server=SERVERS, state=READABLE, seen=st.booleans())
    def another_client_changes_a_server(self, server: str, state: EccState, seen: bool) -> None:
        """Not while a transition of ours is on its way: the real server is busy then."""
        if self.world.state.servers[server].pending is None:
            self.world.servers[server].state = state
            if state is EccState.Running:
                self.world.write(server)
            if seen:
                self.world.poll_server(server)

    @rule(server=SERVERS, reachable=st.booleans())
    def a_server_goes_or_comes(self, server: str, reachable: bool) -> None:
        self.world.servers[server].reachable = reachable
        self.world.poll_server(server)

    @precondition(lambda self: self.world.partners)
    @rule(name=PARTNER_NAMES, reachable=st.booleans(), active=st.booleans(), seen=st.booleans())
    def a_partner_goes_or_comes(self, name: str, reachable: bool, active: bool, seen: bool) -> None:
        """Its operator begins or ends it, or the network or the program dies."""
        if (partner := self.world.partners.get(name)) is not None:
            if not reachable or active is not partner.active:
                partner.cut()
            partner.reachable, partner.active = reachable, active
            if seen:
                self.world.poll_partner(name)

    @precondition(lambda self: self.world.partners)
    @rule(name=PARTNER_NAMES, verb=st.sampled_from(["begin", "end"]), fault=PARTNER_FAULTS)
    def a_partner_will_fail(self, name: str, verb: str, fault: str) -> None:
        self.world.faults[name, verb] = fault

    @precondition(lambda self: self.world.partners)
    @rule(
        name=PARTNER_NAMES,
        reachable=st.booleans(),
        then=st.sampled_from(["", "crash", "Stop"]),
        performed=st.sampled_from([4, 6, 8, 20]),
    )
    def a_partner_ends_in_a_run(self, name: str, reachable: bool, then: str, performed: int) -> None:
        """Random events alone would seldom meet a start under way, or a run that takes data."""
        if (partner := self.world.partners.get(name)) is None:
            return
        self.start_a_run_from_ready(performed, then="", after=0)
        partner.cut()
        partner.reachable = reachable
        partner.active = not reachable
        self.world.poll_partner(name)
        if then == "crash":
            self.world.restart()
        elif then:
            self.world.run(then)

    @rule(server=SERVERS)
    def what_nobody_waits_for_ends(self, server: str) -> None:
        self.world.finish_under_way(server)

    @rule(router=ROUTERS, reachable=st.booleans(), online=st.booleans(), seen=st.booleans())
    def a_router_goes_or_comes(self, router: str, reachable: bool, online: bool, seen: bool) -> None:
        self.world.routers[router].reachable = reachable
        self.world.routers[router].online = online
        if seen:
            self.world.poll_router(router)

    @rule(router=ROUTERS)
    def a_file_appears(self, router: str) -> None:
        self.world.routers[router].staged.append(("stray.graw", None))

    @rule(router=ROUTERS)
    def somebody_moves_the_files_away(self, router: str) -> None:
        self.world.routers[router].staged.clear()

    @rule(router=ROUTERS, there=st.booleans())
    def a_run_directory_is_there_already(self, router: str, there: bool) -> None:
        if there:
            experiment, number = self.world.state.experiment, self.world.state.run.next_number
            self.world.routers[router].directories[f"{experiment}/run_{number:04d}"] = []
        else:
            self.world.routers[router].directories.clear()

    @rule(missing=st.booleans())
    def an_observable_goes_or_comes(self, missing: bool) -> None:
        self.world.feed(ev.ObservablesMissing(frozenset({"pressure"} if missing else ())))

    @precondition(lambda self: self.world.plan.interlocks)
    @rule(data=st.data(), value=st.sampled_from([6, 6, 3, 9, None]))
    def a_value_changes(self, data: st.DataObject, value: float | None) -> None:
        name = data.draw(st.sampled_from(sorted(watched(self.world.plan, self.world.state))))
        self.world.read(name, value)

    @precondition(lambda self: self.world.plan.interlocks)
    @rule(
        performed=st.sampled_from([None, 0, 1, 2, 3, 5, 8]),
        value=st.sampled_from([3, 9, None]),
        after=st.integers(0, 4),
        then=st.sampled_from(["", "crash", "Start", "Stop", "Resume"]),
    )
    def an_interlock_trips(self, performed: int | None, value: float | None, after: int, then: str) -> None:
        """Random values alone would seldom be outside for long enough, at a point of a start or in a run."""
        if performed is not None:
            self.start_a_run_from_ready(performed, then="", after=0)
        for name in watched(self.world.plan, self.world.state):
            self.world.read(name, value)
        self.world.pass_time(6.0)
        self.perform_some(after)
        if then == "crash":
            self.world.restart()
        elif then:
            self.world.run(then)
            self.perform_some(after)

    @precondition(lambda self: self.world.plan.interlocks and not self.world.state.run.open)
    @rule(before=st.booleans(), crash=st.booleans())
    def a_start_against_interlocks(self, before: bool, crash: bool) -> None:
        """All is ready but for the interlocks, which trip before the Start or while the routers are looked at."""
        self.world.settle()
        if self.world.state.run.open:
            return
        self.mend_all()
        self.world.ready()
        if not before:
            self.world.run("Start")
        for name in watched(self.world.plan, self.world.state):
            self.world.read(name, None)
        self.world.pass_time(6.0)
        if crash:
            self.world.restart()
        if before:
            self.world.run("Start")
        self.perform_some(3)

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.plan.interlocks)
    @rule(data=st.data(), bypassed=st.booleans())
    def an_interlock_is_bypassed(self, data: st.DataObject, bypassed: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.plan.interlocks)))
        self.world.ask(ev.SetBypass(OPERATOR, name, bypassed))

    @precondition(lambda self: self.world.plan.interlocks)
    @rule(data=st.data(), low=st.sampled_from([2.0, 5.0, 8.0]))
    def a_limit_changes(self, data: st.DataObject, low: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.plan.interlocks)))
        self.world.ask(ev.SetLimits(OPERATOR, name, low=low))

    @rule(interlocks=INTERLOCKS)
    def the_topology_is_reloaded(self, interlocks: tuple[Interlock, ...]) -> None:
        self.world.change_interlocks(interlocks)

    @rule(data=st.data(), poll=st.booleans())
    def crash(self, data: st.DataObject, poll: bool) -> None:  # noqa: PLR0912 - one for each kind of effect
        """Each transition on its way was done, was never begun, or goes on; a reservation may have been made."""
        for effect in self.world.pending:
            match effect:
                case ef.SendTransition(server=name, operation=operation):
                    fate = data.draw(st.sampled_from(["done", "never", "goes on"]))
                    peer = self.world.servers[name]
                    if peer.under_way is None and (operation, peer.state) in TABLE:
                        peer.under_way = None if fate == "never" else operation
                    if fate == "done":
                        self.world.finish_under_way(name)
                case ef.ReserveRun():
                    if data.draw(st.booleans()):
                        world = self.world
                        world.database.reserve(effect.experiment, effect.title, effect.run_class, "", world.now)
                case ef.BeginPartner(partner=name, number=number, title=title):
                    if data.draw(st.booleans()):
                        self.world.partners[name].begin(number, title)
                case ef.EndPartner(partner=name):
                    if data.draw(st.booleans()):
                        self.world.partners[name].active = False
                case ef.FileRouter(router=name, run=run):
                    if data.draw(st.booleans()):
                        self.world.routers[name].file(name, run, self.world.now)
                case _:
                    pass
        self.world.restart(poll=poll)

    @rule(state=READABLE)
    def crash_while_the_servers_change(self, state: EccState) -> None:
        self.world.pending.clear()
        for server in self.world.servers.values():
            server.state, server.under_way = state, None
        self.world.restart()

    def teardown(self) -> None:
        """Whatever happened: with healthy peers, Stop and Organize lead back to where a run can start."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.interlocks_clear()
        world.faults.clear()
        for name, server in world.servers.items():
            server.reachable = True
            world.finish_under_way(name)
        for router in world.routers.values():
            router.reachable = router.online = True
            router.directories.clear()
        for partner in world.partners.values():
            partner.reachable = True
        world.feed(ev.ObservablesMissing(frozenset()))
        world.steady += 10.0
        world.poll()
        world.settle()
        if world.state.run.open:
            stop = world.run("Stop")
            world.settle()
            assert not world.answers[stop].refused
        assert not world.state.run.open
        self.mend_partners()
        for name, server in world.servers.items():
            server.state = EccState.Ready
            world.poll_server(name)
        world.poll()
        for name, router in world.routers.items():
            if router.staged and world.state.run.record is None:
                router.staged.clear()
            elif router.staged:
                world.pass_time(world.plan.silent_seconds)  # files that have just grown are left
                organize = world.organize(name)
                world.settle()
                assert world.answers[organize] == ef.Answer(organize)
        for router in world.routers.values():
            router.directories.clear()
        self.configure()
        assert world.blocked_by() == ()
        start = world.run("Start")
        world.settle()
        assert world.answers[start] == ef.Answer(start)

    @invariant()
    def the_database_agrees(self) -> None:
        """The open run is the one the database has as unfinished, in the same state."""
        state = self.world.state
        record = state.run.record
        if not state.run.open:
            return
        assert record is not None
        stored = self.world.database.runs[record.run]
        assert stored == record
        assert stored.state in UNFINISHED
        if not state.undecided and state.job is None:
            assert state.run.state in RUN_STATES[stored.state]

    @invariant()
    def the_verdict_is_the_one_in_the_database(self) -> None:
        """Whatever else happens to a run, what the shift said about it is not lost."""
        record = self.world.state.run.record
        if record is not None:
            stored = self.world.database.runs[record.run]
            assert (stored.comment, stored.quality) == (record.comment, record.quality)

    @invariant()
    def a_run_is_running_only_when_it_was_seen_running(self) -> None:
        """Every start that was answered with success had all servers Running."""
        state = self.world.state
        if state.run.state is RunState.Running and not state.undecided:
            assert state.run.record is not None
            assert state.run.record.started_at is not None

    @invariant()
    def what_is_under_way_is_waited_for(self) -> None:
        """A server that we sent something has exactly that on its way; so has a router that is filed."""
        on_the_way = {effect.server for effect in self.world.pending if isinstance(effect, ef.SendTransition)}
        assert {name for name, server in self.world.state.servers.items() if server.pending} == on_the_way
        filed = {effect.router for effect in self.world.pending if isinstance(effect, ef.FileRouter)}
        assert {name for name, router in self.world.state.routers.items() if router.filing} == filed
        told = {each.partner for each in self.world.pending if isinstance(each, ef.BeginPartner | ef.EndPartner)}
        assert {n for n, each in self.world.state.partners.items() if each.beginning or each.ending} == told
        for server in self.world.state.servers.values():
            assert server.state is not EccState.Unknown or server.transition is Transition.NoTransition


TestOperating = Operating.TestCase
TestOperating.settings = settings(
    max_examples=140,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    # Its metaclass leaves out deprecated checks, which must not be named.
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
)
