"""The rules that must hold at every single step of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ioc.model import (
    Action,
    DocumentState,
    EccState,
    HookPoint,
    InterlockState,
    Operation,
    PartnerState,
    RunRecord,
    RunState,
    Severity,
    Transition,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import memory
from ioc.runlogic.permits import blocked_by
from ioc.runlogic.runs import config_name
from ioc.runlogic.state import JobKind, Phase
from ioc.runlogic.subject import Subject, ecc
from ioc.runlogic.turn import listing
from ioc.states import aggregate
from tests.runlogic.peers import TABLE

if TYPE_CHECKING:
    from tests.runlogic.world import World

HALTING = {JobKind.Step, JobKind.Start, JobKind.Pause, JobKind.Resume}


def check(world: World, effects: tuple[ef.Effect, ...]) -> None:
    """Assert the rules of a step that has just been made and has asked for these effects."""
    state = world.state
    if any(isinstance(effect, ef.Answer) and effect.refused for effect in effects):
        changing = (ef.SendTransition, ef.SaveRun, ef.SaveSetting, ef.ReserveRun, ef.FileRouter, ef.SaveRunConfigs)
        changing = (*changing, ef.BeginPartner, ef.EndPartner)
        assert not [effect for effect in effects if isinstance(effect, changing)], "a refusal changes something"
    for effect in effects:
        match effect:
            case ef.SendTransition(server=name, operation=operation):
                _check_transition(world, name, operation)
            case ef.RestartUnit(subject=subject):
                run = state.run
                assert state.job is None, f"{subject} is restarted during a {state.job}"
                assert not run.open or run.state is RunState.Filing, f"{subject} is restarted in a run"
            case ef.ReserveRun():
                _check_interlocks(world)
                assert not _restarts(world), "a run starts while a program is being restarted"
                wrong = [name for name, server in state.servers.items() if server.state is not EccState.Ready]
                assert not wrong, f"a run starts although {wrong} are not Ready"
                assert all(router.online and router.clean for router in state.routers.values())
                wrong = [name for name, each in state.partners.items() if each.state is not PartnerState.Halted]
                assert not wrong, f"a run starts although {wrong} are not Halted"
            case ef.BeginPartner(partner=name, number=number):
                assert state.job is not None
                assert state.job.kind is JobKind.Start
                assert state.run.number == number
                assert memory.PARTNER.save(number, name) in effects, "a restart would not know of it"
            case ef.EndPartner(partner=name):
                assert state.partners[name].run == state.run.number, f"{name} is ended, which was not begun"
            case ef.SaveRun(record=RunRecord(state=DocumentState.Running, started_at=at)) if (
                at == world.now and state.run.state is RunState.Running  # it may have been stopped in the same step
            ):
                _check_partners(world)
            case ef.RunHook(point=point, record=record):
                _check_hook(world, point, record)
            case ef.Answer(error=error, refused=refused):
                assert error == error.strip()
                assert not error.endswith(":")
                assert error or not refused, "a refusal gives its reason"
            case ef.Log(text=text) | ef.SaveRun(record=RunRecord(message=text)):
                assert "None" not in text
            case _:
                pass
    _check_stopping(world)
    _check_hurry(world)
    _check_told(world)
    _render(world)


def _check_hook(world: World, point: HookPoint, record: RunRecord) -> None:
    """A hook is told about a run only at the occasion that it is for."""
    match point:
        case HookPoint.BeforeStart:
            assert not world.state.run.open, "a run is open before it starts"
            assert record.run.number == world.state.run.next_number
        case HookPoint.AfterStart:
            assert all(server.state is EccState.Running for server in world.state.servers.values())
        case HookPoint.BeforeStop:
            assert record.state is DocumentState.Stopping
        case HookPoint.AfterStop:
            assert record.started_at is not None
            assert record.stopped_at is not None
        case HookPoint.AfterFiling:
            assert record.state in {DocumentState.Complete, DocumentState.Orphaned}
            assert not world.state.run.unfiled
        case HookPoint.Failed:
            assert record.started_at is None


def _check_interlocks(world: World) -> None:
    """A start is not against an interlock; judged by the sources themselves, so only what the core was told counts."""
    for name, plan in world.plan.interlocks.items():
        now = world.state.interlocks[name]
        if plan.action is not Action.Alarm and now.state is not InterlockState.Bypassed and not plan.in_run_only:
            assert now.state is not InterlockState.Tripped, f"a run starts against interlock {name}"
            assert plan.watches in world.state.readings, f"a run starts although {plan.what} has no value"


def _check_stopping(world: World) -> None:
    """A tripped stop leaves no run running, whatever the order of events; a start under way is not continued."""
    state = world.state
    if (
        not state.restored
        or state.undecided
        or state.run.state not in {RunState.Starting, RunState.Running, RunState.Paused}
    ):
        return
    for name, plan in world.plan.interlocks.items():
        stops = plan.action is Action.Stop and state.interlocks[name].state is InterlockState.Tripped
        assert not stops, f"a run is {state.run.state.name} against interlock {name}"


def _check_hurry(world: World) -> None:
    """A tripped stop waits neither for hooks nor for partners before the servers stop."""
    state, job = world.state, world.state.job
    if not state.restored or state.undecided or job is None or job.stage not in {Phase.BeforeStop, Phase.EndAfter}:
        return
    assert job.stage is Phase.BeforeStop, f"the servers wait for {job.waiting}"
    for name, plan in world.plan.interlocks.items():
        stops = plan.action is Action.Stop and state.interlocks[name].state is InterlockState.Tripped
        assert not stops, f"the stop of interlock {name} waits for {job.waiting}"


def _check_partners(world: World) -> None:
    """No run becomes Running without its partners."""
    for name, each in world.state.partners.items():
        assert each.state is PartnerState.Active, f"a run starts although {name} is {each.state.name}"
        assert each.run == world.state.run.number
        assert world.partners[name].number == each.run, f"{name} has another run number"


def _check_told(world: World) -> None:
    """No run takes data without having told each partner to begin, also after a restart."""
    state = world.state
    if state.undecided or state.run.state not in {RunState.Running, RunState.Paused}:
        return
    for name, each in state.partners.items():
        assert each.run == state.run.number, f"a run is {state.run.state.name}, but {name} was not told to begin"


def _check_transition(world: World, name: str, operation: Operation) -> None:
    state, server = world.state, world.state.servers[name]
    assert server.transition is Transition.NoTransition, f"{operation} is sent to {name}, which is busy"
    assert (operation, server.state) in TABLE, f"{operation} is sent to {name}, which is {server.state.name}"
    assert server.pending is operation
    assert ecc(name) not in _restarts(world), f"{operation} is sent to {name}, which is being restarted"
    assert not [
        effect for effect in world.pending if isinstance(effect, ef.SendTransition) and effect.server == name
    ], f"{name} gets a second transition while the first is under way"
    assert operation is not Operation.Resume or world.plan.servers[name].supports_resume
    job = state.job
    if job is not None and job.kind in HALTING and server.command is None:
        assert job.id not in world.failed_jobs, f"{name} is touched although an earlier group failed"


def _restarts(world: World) -> list[Subject]:
    return [effect.subject for effect in world.pending if isinstance(effect, ef.RestartUnit)]


def _render(world: World) -> None:
    """Everything that is published can be made from the state, whatever it is."""
    state = world.state
    reasons = blocked_by(world.plan, state)
    assert all(reason and "None" not in reason for reason in reasons)
    assert aggregate(server.state for server in state.servers.values()).name
    assert config_name(state) is not None
    assert all(server.doing.label for server in state.servers.values())
    assert state.run.number >= -1
    assert listing(sorted(state.run.unfiled)) is not None
    assert state.run.state is not RunState.Failed or state.run.message.severity is Severity.MAJOR
    assert state.run.state is not RunState.Failed or state.run.message.text
