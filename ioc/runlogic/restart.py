"""After a restart: what happened to the run that was open when the IOC ended.

The database shows that a run was open; only the servers show whether it still is. Until each was found at rest or
unreadable the run is `undecided`: nothing is sent, and a start is refused. Then the run's last record in the database
decides:

- it was being stopped: it is stopped, whatever state the servers are in;
- no server runs, and all can be read: it ended meanwhile, and is closed as orphaned with the last known time. While a
  server cannot be read it may still run: the decision waits, and a message names the server. Stop ends the wait;
- it was starting, and some servers do not run or some partner was not told to begin: the start failed with the IOC,
  the others are stopped;
- otherwise it continues, and servers that do not run are recorded as its troubles.

A run that was being filed is filed again from the beginning; files that were already filed stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ioc.model import DocumentState, EccState, RunId, RunRecord, RunState, Severity, chosen_experiment
from ioc.runlogic import automatic, filing, interlock_records, jobs, memory, permits, runs
from ioc.runlogic.effects import ProbeRouters, SaveRun
from ioc.runlogic.events import Restored
from ioc.runlogic.state import About, JobKind, Phase
from ioc.runlogic.subject import RUN
from ioc.runlogic.troubles import trouble
from ioc.runlogic.turn import Turn, listing, local


def restored(turn: Turn, event: Restored) -> None:
    """Restore from the database. An open run stays undecided until the servers show whether it still runs."""
    settings, newest = event.settings, _open_run(event)
    for record in event.unfinished:
        if record is newest:
            continue
        text = f"{local(turn.now)} found open although a later run exists"
        message = "\n".join(filter(None, (record.message, text)))
        turn.emit(SaveRun(record.changed(state=DocumentState.Orphaned, message=message)))
    record = newest or event.last_run
    experiment = record.run.experiment if newest and record else chosen_experiment(settings, turn.plan.experiment)
    alive = memory.ALIVE.read(settings)
    turn.set(
        restored=True,
        experiment=experiment,
        last_alive=alive.at,
        last_duration=alive.duration if newest and newest.run.number == alive.number else None,
    )
    _take_over_peers(turn, settings)
    interlock_records.restored(turn, settings)
    earlier = record.message if record is not None else ""
    turn.set_run(record=record, run_class=memory.CLASS.read(settings), earlier=earlier)
    _take_over_notes(turn, settings)
    automatic.restored(turn, settings)
    _check_routers_for(turn, turn.state.next_run.directory)
    if record is not None and record.state is DocumentState.Failed:
        text = f"{record.run} failed to start: {record.message}"
        turn.set_run(state=RunState.Failed, message=turn.note(text, Severity.MAJOR))
    if newest is None:
        return
    turn.set_run(
        state=RunState[newest.state.name],
        title=newest.title,
        run_class=newest.run_class,
        held=memory.HELD.read(settings) == newest.run.number,
        running_since=turn.steady - _lasted(turn),
    )
    for name, server in turn.state.servers.items():
        # It ran in this run: whatever it is now, only Stop or Breakup show that its electronics send no data.
        turn.set_server(name, sending=server.state is not EccState.Ready)
    if newest.state is DocumentState.Filing:
        turn.say(RUN, f"{newest.run} was being filed before the restart: filing continues", Severity.MINOR)
        if newest.message:
            trouble(turn, About.Continued, "", "it was being filed when the IOC was restarted", Severity.MINOR)
        if memory.ORPHANED.read(settings) == newest.run.number:
            turn.set_run(ending=DocumentState.Orphaned)
        _recover(turn)
    else:
        turn.set(undecided=True)
        turn.say(RUN, f"{newest.run} was open before the restart: reading the ECC servers to see whether it still runs")


def _take_over_notes(turn: Turn, settings: Mapping[str, str]) -> None:
    """Title and number of the next run are restored only for the experiment for which they were set.

    An earlier version stored that only if the experiment was set by a PV, not taken from the topology.
    """
    default, experiment = turn.plan.experiment, turn.state.experiment
    if memory.NOTES_OF.read(settings):
        same = memory.NOTES_OF.read(settings) == experiment
    else:
        same = memory.EXPERIMENT_DEFAULT.read(settings) in {"", default}
    if same:
        turn.set_run(title=memory.TITLE.read(settings), least_number=memory.NEXT_NUMBER.read(settings))
    else:
        turn.emit(memory.TITLE.save(""), memory.NEXT_NUMBER.save(0))
    turn.emit(memory.NOTES_OF.save(experiment))


def _take_over_peers(turn: Turn, settings: Mapping[str, str]) -> None:
    for name in turn.state.servers:
        if config := memory.CONFIG.read(settings, name):
            turn.set_server(name, config=config)
        had = memory.CONFIGURED.read(settings, name)
        turn.set_server(name, given=had.given, config_digest=had.digest, files=had.files)
    for name in turn.state.partners:
        turn.set_partner(name, run=memory.PARTNER.read(settings, name))
    for name in turn.state.routers:
        process, worked = memory.LINK.read(settings, name), memory.WORKED.read(settings, name)
        # Where it was left, it may have written a file since that nobody saw.
        gone = tuple(each for each in worked.dispensable if each != worked.directory)
        turn.set_router(
            name,
            linked=process,
            linked_at=turn.steady if process else None,
            directories=memory.DIRECTORIES.read(settings, name),
            worked=replace(worked, dispensable=gone),
        )


def _check_routers_for(turn: Turn, directory: str) -> None:
    """Look at once unless the routers were asked for this directory: before the number was known, for that of run 0."""
    for name, router in turn.state.routers.items():
        turn.set_router(name, checked=router.last is not None and router.last.run_directory == directory)
    if directory != RunId(turn.plan.experiment, 0).directory:
        turn.emit(ProbeRouters(job=0))


def _open_run(event: Restored) -> RunRecord | None:
    """The newest unfinished run, unless a later one has finished: then its number was taken without our knowledge."""
    newest, last = event.unfinished[-1] if event.unfinished else None, event.last_run
    if newest and last and newest.run.experiment == last.run.experiment and newest.run.number < last.run.number:
        return None
    return newest


def decide(turn: Turn) -> None:
    """Decide what happened to the run, as soon as every server was found at rest or unreadable."""
    servers = turn.state.servers
    record = turn.state.run.record
    if (
        not turn.state.undecided
        or record is None
        or not all(server.seen and not server.busy for server in servers.values())
    ):
        return
    running = [name for name, server in servers.items() if server.takes_data]
    unknown = [name for name, server in servers.items() if server.state is EccState.Unknown]
    if unknown and not running and record.state is not DocumentState.Stopping:
        if turn.state.silent != frozenset(unknown):
            turn.set(silent=frozenset(unknown))
            turn.say(RUN, permits.system_reason(turn.state), Severity.MAJOR)
        return
    turn.set(undecided=False, silent=frozenset())
    others = [name for name in servers if name not in running]
    untold = [f"partner {name}" for name, each in turn.state.partners.items() if each.run != record.run.number]
    if record.state is DocumentState.Stopping:
        _stop_on(turn, "was being stopped when the IOC was restarted", About.Continued)
    elif not running:
        _close_orphan(turn)
    elif record.state is DocumentState.Starting and (missing := [*others, *untold]):
        turn.set_run(ending=DocumentState.Failed)
        _stop_on(turn, f"was starting when the IOC restarted, and {listing(missing)} did not start: stopping it")
    else:
        _go_on(turn, others)


def _go_on(turn: Turn, others: list[str]) -> None:
    record = turn.record
    started_at = record.started_at if record.started_at is not None else record.reserved_at
    record = turn.save_run(state=DocumentState.Running, started_at=started_at)
    paused = [server.state is EccState.Paused for server in turn.state.servers.values()]
    resuming = turn.state.run.held and not others and not interlock_records.holds(turn)
    is_paused = any(paused) if resuming else all(paused)
    turn.set_run(
        state=RunState.Paused if is_paused else RunState.Running,
        running_since=turn.steady - _lasted(turn),
        taking_since=turn.steady,
    )
    if turn.state.run.held and not is_paused:
        for name in turn.state.interlocks:
            turn.set_interlock(name, paused=-1)  # the IOC ended before their pause was complete
    for name in others:
        text = f"ECC server {name} is {turn.server(name).state.name} after the restart of the IOC"
        trouble(turn, About.Server, name, text)
    for name, router in turn.state.routers.items():
        if (router.last is not None or router.lost) and not router.online:
            trouble(turn, About.Router, name, f"router {name} is Offline: {router.message.text}")
    turn.say(RUN, f"{record.run} continues after a restart of the IOC")
    runs.go_on_recording(turn)


def _lasted(turn: Turn) -> float:
    """Return the run's duration in seconds: what an earlier process counted, and the time since then."""
    started_at, state = turn.record.started_at, turn.state
    if started_at is None:
        return 0.0
    if state.last_duration is not None:
        return state.last_duration + max(0.0, turn.now - state.last_alive)
    return max(0.0, turn.now - started_at)


def _stop_on(turn: Turn, why: str, about: About = About.Restart) -> None:
    record = turn.record
    turn.save_run(state=DocumentState.Stopping)
    if record.started_at is None:
        turn.set_run(ending=DocumentState.Failed)
    turn.set_run(state=RunState.Stopping, running_since=turn.steady - _lasted(turn))
    trouble(turn, about, "", f"it {why}", Severity.MINOR)
    runs.go_on_recording(turn)
    stages = runs.stop_stages(turn)
    if record.started_at is None:  # a roll-back runs no hooks
        stages = tuple(stage for stage in stages if stage is not Phase.BeforeStop)
    jobs.launch(turn, JobKind.Stop, f"Stop of {record.run}", stages)


def _close_orphan(turn: Turn) -> None:
    record = turn.record
    began_at, duration = record.started_at, turn.state.last_duration
    stopped_at = max(turn.state.last_alive, began_at or record.reserved_at)
    if began_at is not None and duration is not None:
        stopped_at = began_at + duration
    turn.set_run(
        ending=DocumentState.Orphaned if began_at is not None else DocumentState.Failed,
        state=RunState.Filing,
    )
    turn.save_run(state=DocumentState.Filing, stopped_at=stopped_at)
    turn.emit(memory.ORPHANED.save(record.run.number))
    trouble(turn, About.Restart, "", "it ended while the IOC was down: closed with the last known time")
    _recover(turn)


def _recover(turn: Turn) -> None:
    """Do what belongs to the end of a run; repeating what was already done has no effect."""
    record = turn.record
    if record.started_at is None:
        turn.set_run(ending=DocumentState.Failed)
    first, last = runs.end_partners(turn)
    stages = (*first, *last, Phase.End, *filing.STAGES)
    jobs.launch(turn, JobKind.Recover, f"filing of {record.run}", stages)
    turn.set_run(unfiled=frozenset(turn.plan.routers))
