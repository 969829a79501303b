"""The life of a run: Start with all its permits, Pause, Resume, Stop, and the roll-back of a failed start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ioc.errors import Refused
from ioc.model import (
    Client,
    DocumentState,
    EccState,
    HookPoint,
    Operation,
    PartnerState,
    Role,
    RunConfig,
    RunRecord,
    RunState,
    Severity,
)
from ioc.runlogic import backup, filing, hooks, jobs, memory, permits
from ioc.runlogic.automatic_shown import waits_for
from ioc.runlogic.effects import ProbeRouters, ReserveRun, SaveRunConfigs, Snapshot, TakeSnapshot
from ioc.runlogic.events import Ended, RunCommand
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Job, JobKind, Move, Phase, Stage, State
from ioc.runlogic.subject import RUN
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, listing

DATABASE = "database"


def command(turn: Turn, event: RunCommand) -> None:
    """Begin the requested operation of the run.

    Raises:
        Refused: if the run is not in the state for it, or a start is not permitted, with every reason that is known.
            The facts about the routers may be old: if nothing else blocks a start, all routers are checked again.
    """
    match event.operation:
        case Operation.Start:
            start(turn, event)
        case Operation.Stop:
            stop(turn, event)
        case Operation.Pause | Operation.Resume:
            pause_or_resume(turn, event.operation, event)


def _moves(turn: Turn, operation: Operation) -> tuple[Move, ...]:
    return tuple(Move(operation, group) for group in turn.plan.groups(operation))


def _partners(turn: Turn, phase: Phase, *, before: bool) -> tuple[Stage, ...]:
    return (phase,) if turn.plan.partners_of(before=before) else ()


def start(turn: Turn, command: RunCommand | None = None, *, probe: bool = True) -> None:
    """Begin the start of a run; without a command, the core itself starts it.

    `probe` is False if all routers have just been checked.

    Raises:
        Refused: it is not permitted, with every reason.
    """
    if reasons := permits.blocked_by(turn.plan, turn.state):
        raise Refused(f"run {turn.state.run.next_number} cannot start: {'; '.join(reasons)}")
    reset: tuple[Stage, ...] = ()
    if turn.plan.reset_mutant_before_start:
        mutants = turn.plan.of_role(Role.MuTAnT)
        reset = (Move(Operation.Breakup, mutants), Move(Operation.Configure, mutants)) if mutants else ()
    look: tuple[Stage, ...] = (Phase.Probe,) if probe else ()
    first, last = _partners(turn, Phase.BeginBefore, before=True), _partners(turn, Phase.BeginAfter, before=False)
    stages = (
        *look,
        Phase.BeforeStart,
        Phase.Reserve,
        *reset,
        *first,
        Phase.Begin,
        *_moves(turn, Operation.Start),
        *last,
        Phase.Opened,
    )
    jobs.launch(turn, JobKind.Start, "Start of a run", stages, command=command)


def begin_probe(turn: Turn) -> None:
    turn.set_job(waiting=frozenset({jobs.ROUTERS}))
    turn.emit(ProbeRouters(turn.job.id))


def _is_of_present_job(turn: Turn, effect: ProbeRouters | ReserveRun | TakeSnapshot) -> bool:
    """Whether a result belongs to the current job, not to an abandoned one."""
    return turn.state.job is not None and turn.state.job.id == effect.job


def probed(turn: Turn, event: Ended[ProbeRouters, None]) -> None:
    """All routers were checked: before a start, this decides whether it is permitted."""
    turn.set(looked_at=turn.steady)
    if not _is_of_present_job(turn, event.effect):
        return
    jobs.arrived(turn, jobs.ROUTERS)
    job = turn.job
    if job.kind is not JobKind.Start:
        return
    _permit_again(turn, job)


def _permit_again(turn: Turn, job: Job) -> None:
    """Refuse a start that something has come up against; one without a command also waits for what its plan says."""
    turn.set(job=None)
    judge = permits.blocked_by if job.command is not None else waits_for
    if reasons := judge(turn.plan, turn.state):
        refuse_start(turn, job, "; ".join(reasons))
    else:
        turn.set(job=job)


def refuse_start(turn: Turn, job: Job, why: str) -> None:
    """End a start that has no number yet."""
    text = f"run {turn.state.run.next_number} cannot start: {why}"
    turn.set(job=None)
    note = turn.note(text, turn.state.run.message.severity)
    reasons = permits.blocked_by(turn.plan, turn.state)
    turn.set_run(message=replace(note, reasons=reasons, in_passing=not reasons))
    turn.log(RUN, text, Severity.MINOR, job.client)
    hooks.log_remarks(turn, job)
    turn.answer(job.command, text, refused=True)


def begin_before_start(turn: Turn) -> None:
    state, run = turn.state, turn.state.run
    if turn.plan.hooks[HookPoint.BeforeStart]:
        turn.set_run(message=turn.note(hooks_awaited(turn.plan, state), run.message.severity))
    record = RunRecord(
        state.next_run,
        DocumentState.Starting,
        run.run_class,
        state.auto.expanded(run.title, run.next_number),
        turn.now,
        config_name=config_name(state),
    )
    hooks.wait_for(turn, HookPoint.BeforeStart, record)


def begin_reserve(turn: Turn) -> None:
    """Reserve a run number: from here on a run is open. While hooks ran, something may have come up that forbids it."""
    state, run = turn.state, turn.state.run
    if turn.plan.hooks[HookPoint.BeforeStart]:
        _permit_again(turn, turn.job)
        if turn.state.job is None:
            return
    title = state.auto.expanded(run.title, run.next_number)
    turn.set_job(waiting=frozenset({DATABASE}))
    turn.emit(ReserveRun(turn.job.id, state.experiment, title, run.run_class, config_name(state), run.least_number))


def config_name(state: State) -> str:
    """Return the distinct configurations in use, as the PV ``Run:Configs`` shows them."""
    return ", ".join(sorted({str(server.in_use) for server in state.servers.values() if server.in_use}))


def reserved(turn: Turn, event: Ended[ReserveRun, RunRecord]) -> None:
    """The number is reserved, or the database could not reserve it."""
    if not _is_of_present_job(turn, event.effect):
        return
    job, record = turn.job, event.result
    if record is None:
        refuse_start(turn, job, f"no run number could be reserved: {event.error}")
        turn.answer(job.stop)
        return
    run = turn.state.run
    title = turn.state.auto.expanded(run.title, record.run.number)
    turn.set_run(
        state=RunState.Starting,
        record=record,
        title=title,
        unfiled=frozenset(),
        running_since=0.0,
        troubles=(),
        left_out=False,
        earlier="",
        files=(),
    )
    _begin_of_routers(turn)
    if (title, run.run_class) != (record.title, record.run_class):
        turn.save_run(title=title, run_class=run.run_class)  # typed while the number was being reserved
    turn.say(RUN, f"{record.run} is starting", client=job.client)
    hooks.add_remarks(turn, job)
    turn.emit(
        SaveRunConfigs(
            record.run,
            tuple(
                RunConfig(
                    name,
                    server.in_use,
                    server.config_digest,
                    " ".join(f"{file}={digest}" for file, digest in server.files),
                )
                for name, server in turn.state.servers.items()
                if server.in_use is not None
            ),
        )
    )
    jobs.arrived(turn, DATABASE)
    if job.given_up:
        stop(turn, job.stop, job.given_up)


def _begin_of_routers(turn: Turn) -> None:
    """Nothing is written yet; each router writes the files of the run into its current working directory."""
    for name, router in turn.state.routers.items():
        facts = router.facts
        directories = (facts.work_dir,) if facts is not None and facts.work_dir else ()
        if directories != router.directories:
            turn.emit(memory.DIRECTORIES.save(directories, name))
        worked = memory.Worked(facts.process, facts.work_dir) if facts is not None else memory.Worked()
        if worked != router.worked:
            turn.emit(memory.WORKED.save(worked, name))
        turn.set_router(name, written=0, directories=directories, worked=worked, mean_rate=0.0, rate_age=0.0)


def begin_snapshot(turn: Turn) -> None:
    turn.set_job(waiting=frozenset({DATABASE}))
    turn.emit(TakeSnapshot(turn.job.id, turn.record.run, Snapshot.Begin))


def opened(turn: Turn) -> None:
    """All servers and partners take data, so the run is Running. The start fails if one has stopped again since."""
    for name, server in turn.state.servers.items():
        if server.state is not EccState.Running:
            jobs.arrived(turn, name, f"ECC server {name} is {server.state.name}, but must be Running")
    for name, partner in turn.state.partners.items():
        if partner.state is not PartnerState.Active:
            jobs.arrived(turn, name, f"partner {name} is {partner.state.name}, but must be Active")
    if turn.job.failures:
        return
    record = turn.save_run(state=DocumentState.Running, started_at=turn.now)
    turn.set_run(state=RunState.Running, running_since=turn.steady, taking_since=turn.steady)
    turn.say(RUN, f"{record.run} is Running", client=turn.job.client)
    backup.at_start(turn)
    hooks.tell(turn, HookPoint.AfterStart)


def roll_back(turn: Turn, job: Job) -> None:
    """A start failed: stop the servers that had started, file their data, keep the number."""
    record = turn.save_run(state=DocumentState.Stopping)
    turn.set_run(state=RunState.Stopping, ending=DocumentState.Failed)
    trouble(turn, About.Start, "", "; ".join(job.failures), client=job.client)
    turn.show(RUN, f"{record.run} failed to start", Severity.MAJOR)
    stages = (*_stop_all(turn), Phase.End, Phase.File, Phase.Probe, Phase.Close)
    name = f"roll-back of {record.run}"
    jobs.launch(turn, JobKind.RollBack, name, stages, command=job.command, failures=job.failures)


def stop(turn: Turn, command: RunCommand | None = None, why: str = "Stop requested") -> None:
    """Begin the end of the open run, and abort what is under way; without a command, the core itself stops it.

    `why` is the answer to the command that is aborted.

    Raises:
        Refused: no run is open, or it is being stopped already.
    """
    client = command.client if command is not None else Client()
    run, job = turn.state.run, turn.state.job
    if opens_later(turn.state):
        give_up_start(turn, command, why)
        return
    if not run.open:
        running = [name for name, server in turn.state.servers.items() if server.state is EccState.Running]
        aside = f"; {listing(running)} can be stopped one by one or with Reset" if running else ""
        raise Refused(f"no run is open: there is nothing to stop{aside}")
    if job is not None and job.goes_on_after_failure:
        raise Refused(f"run {run.number} is being stopped already")
    if job is not None and job.command is not None:
        text = f"run {run.number}: {job.name} aborted: {why}"
        turn.log(RUN, text, Severity.MINOR, job.client)
        turn.answer(job.command, text)
    if run.state is RunState.Filing:
        _stop_again(turn, command)
        return
    turn.save_run(state=DocumentState.Stopping)
    if turn.state.undecided:
        go_on_recording(turn)
    turn.set(undecided=False)
    turn.set_run(state=RunState.Stopping, ending=DocumentState.Complete)
    mend(turn, About.Pause, "", "the run is stopped")
    if turn.record.started_at is None:
        turn.set_run(ending=DocumentState.Failed)
        if not turn.record.message:
            trouble(turn, About.Start, "", "it was stopped before it was Running", client=client)
    turn.say(RUN, f"run {run.number} is stopping", client=client)
    jobs.launch(turn, JobKind.Stop, f"Stop of run {run.number}", stop_stages(turn), command=command)


def opens_later(state: State) -> bool:
    """Whether a start is under way whose run is not open yet."""
    return state.job is not None and state.job.kind is JobKind.Start and not state.run.open


def awaits_hooks(state: State) -> bool:
    """Whether a start is under way that has no number yet, and waits for hooks."""
    return state.job is not None and state.job.stage is Phase.BeforeStart


def hooks_awaited(plan: Plan, state: State) -> str:
    """Return what a start that has no number yet waits for."""
    names = [hook.name for hook in plan.hooks[HookPoint.BeforeStart]]
    return f"run {state.run.next_number} waits for {'hook' if len(names) == 1 else 'hooks'} {listing(names)}"


def can_stop(state: State) -> bool:
    """Whether Stop would be accepted now."""
    job = state.job
    if opens_later(state):
        return job is not None and not job.given_up
    return state.run.open and not (job is not None and job.goes_on_after_failure)


def give_up_start(turn: Turn, command: RunCommand | None, why: str) -> None:
    """End a start whose run is not open yet; a run whose number is being reserved is stopped when it is open.

    Raises:
        Refused: it is already cancelled.
    """
    job, run = turn.job, turn.state.run
    if job.given_up:
        raise Refused(f"run {run.next_number} is being stopped already")
    if job.stage is Phase.Reserve:
        turn.set_job(given_up=why, stop=command)
        return
    text = f"run {run.next_number} does not start: {why}"
    turn.set(job=None)
    turn.set_run(message=turn.note(text, run.message.severity))
    turn.log(RUN, text, Severity.MINOR, command.client if command is not None else job.client)
    if job.stage is Phase.BeforeStart:
        hooks.abort(turn, job)
    turn.answer(job.command, text)
    turn.answer(command)


def _stop_again(turn: Turn, command: RunCommand | None) -> None:
    """The run is stopped, but not filed: stop servers that still run, and file again."""
    client = command.client if command is not None else Client()
    run = turn.state.run
    left = {
        name
        for name, router in turn.state.routers.items()
        if (router.facts is not None and router.facts.file_count)
        or any(turn.server(each).takes_data for each in turn.plan.servers_of(name))
    }
    turn.set_run(unfiled=run.unfiled | left)
    turn.say(RUN, f"run {run.number}: stopping servers that still run, then filing again", client=client)
    stages = (*_stop_all(turn), *filing.STAGES)
    jobs.launch(turn, JobKind.Stop, f"Stop of run {run.number}", stages, command=command)


def stop_stages(turn: Turn) -> tuple[Stage, ...]:
    """Return all phases of the end of a run."""
    return (Phase.BeforeStop, *_stop_all(turn), Phase.End, *filing.STAGES)


def _stop_all(turn: Turn) -> tuple[Stage, ...]:
    first, last = end_partners(turn)
    return (*first, *_moves(turn, Operation.Stop), *last)


def end_partners(turn: Turn) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Return the phases that end partners: before the servers stop, and after that."""
    return _partners(turn, Phase.EndAfter, before=False), (Phase.EndBefore,) if turn.plan.partners else ()


def begin_end(turn: Turn) -> None:
    """All servers have stopped: end-of-run snapshot, stop time (unless it ended while the IOC was down)."""
    known = turn.record.stopped_at
    duration = turn.state.run.duration(turn.steady)
    began_at = turn.record.started_at
    stopped_at = known if known is not None else turn.now if began_at is None else began_at + duration
    record = turn.save_run(
        state=DocumentState.Filing, stopped_at=stopped_at, duration=None if began_at is None else duration
    )
    turn.set_run(state=RunState.Filing, unfiled=frozenset(turn.plan.routers))
    for name in turn.state.routers:
        turn.set_router(name, unseen_since=turn.steady)
    turn.set_job(waiting=frozenset({DATABASE}))
    turn.emit(TakeSnapshot(turn.job.id, record.run, Snapshot.End, known))


def go_on_recording(turn: Turn) -> None:
    """Record the observables of the run that an earlier process began."""
    turn.emit(TakeSnapshot(0, turn.record.run, Snapshot.Resume, turn.state.last_alive))


def snapshot_taken(turn: Turn, event: Ended[TakeSnapshot, None]) -> None:
    """The observables are recorded; if not, the run continues with a trouble."""
    text = f"observables not recorded: {event.error}"
    if event.effect.which is Snapshot.Resume and event.error:
        turn.log(RUN, f"{event.effect.run}: {text}", Severity.MINOR)
    if not _is_of_present_job(turn, event.effect):
        return
    if event.error:
        trouble(turn, About.Recording, "", text)
    if event.effect.which is Snapshot.End:
        failed = turn.state.run.ending is DocumentState.Failed
        hooks.tell(turn, HookPoint.Failed if failed else HookPoint.AfterStop)
    jobs.arrived(turn, DATABASE)


def set_held(turn: Turn, *, held: bool) -> None:
    """Remember whether an interlock has paused the run and will resume it, also over a restart."""
    if held != turn.state.run.held:
        turn.set_run(held=held)
        turn.emit(memory.HELD.save(turn.state.run.number if held else -1))


def pause_or_resume(
    turn: Turn, operation: Literal[Operation.Pause, Operation.Resume], command: RunCommand | None = None
) -> None:
    """Begin to pause or resume the run; without a command, the core itself does.

    Raises:
        Refused: it is not in the state for it, or a server cannot do it.
    """
    run, job = turn.state.run, turn.state.job
    paused, running = EccState.Paused, EccState.Running
    before, after = (running, paused) if operation is Operation.Pause else (paused, running)
    if not run.open:
        raise Refused(f"run cannot {operation}: no run is open")
    stays = operation is Operation.Pause and run.held and run.state is RunState.Paused and job is None
    if command is not None and stays:
        set_held(turn, held=False)
        turn.say(RUN, f"run {run.number} stays Paused until Resume is pressed", client=command.client)
        turn.answer(command)
        return
    if turn.state.undecided:
        raise Refused(f"run {run.number} cannot {operation}: {permits.system_reason(turn.state)}")
    if job is not None:
        raise Refused(f"run {run.number} cannot {operation}: {job.name} is under way")
    if run.state.name != before.name:
        raise Refused(f"run {run.number} cannot {operation}: it is {run.state.name}, but must be {before.name}")
    no_resume = [name for name, server in turn.plan.servers.items() if not server.supports_resume]
    if operation is Operation.Resume and no_resume:
        raise Refused(
            f"run {run.number} cannot Resume: it would crash {listing(no_resume)}, "
            "unless the topology says supports_resume: true"
        )
    rest = {name: each for name, each in turn.state.servers.items() if each.busy or each.state is not after}
    if reasons := [reason for name, server in rest.items() if (reason := jobs.cannot(name, server, operation))]:
        raise Refused(f"run {run.number} cannot {operation}: {'; '.join(reasons)}")
    moves = (tuple(name for name in group if name in rest) for group in turn.plan.groups(operation))
    stages = tuple(Move(operation, group) for group in moves)
    kind = JobKind.Pause if operation is Operation.Pause else JobKind.Resume
    jobs.launch(turn, kind, operation.value, stages, command=command)
    if command is not None:
        set_held(turn, held=False)


_REACHED: Mapping[JobKind, RunState] = {JobKind.Pause: RunState.Paused, JobKind.Resume: RunState.Running}


def finish(turn: Turn, job: Job) -> None:
    """Answer the run's command with how it ended."""
    run, failures = turn.state.run, "; ".join(job.failures)
    turn.set(job=None)
    if job.kind not in _REACHED:
        turn.answer(job.command, run.message.text if failures else "")
    elif failures:
        text = f"{job.name} failed: {failures}"
        trouble(turn, About.Pause, "", text, client=job.client)
        turn.answer(job.command, text)
        set_held(turn, held=False)  # else an interlock would resume it again and again
    else:
        turn.set_run(state=_REACHED[job.kind], taking_since=turn.steady)
        mend(turn, About.Pause, "", f"{job.name} done")
        turn.say(RUN, f"run {run.number} is {turn.state.run.state.name}", client=job.client)
        turn.answer(job.command)
