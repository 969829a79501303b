"""The configuration files in use: copied at Configure, at the start and at the end of a run, and compared."""

from __future__ import annotations

from ioc.model import ConfigBackup, ConfigChoice, Severity
from ioc.runlogic import jobs, memory
from ioc.runlogic.effects import BackUp, ProbeRouters
from ioc.runlogic.events import Ended
from ioc.runlogic.state import About, Phase
from ioc.runlogic.subject import ecc
from ioc.runlogic.troubles import mend, report, trouble
from ioc.runlogic.turn import Turn, listing

AT_START = 0
AT_CONFIGURE = -1
"""Used instead of a job number for copies that nothing waits for."""


def at_configure(turn: Turn, name: str) -> None:
    """After Configure, copy the files into the directory of the open or the next run."""
    state = turn.state
    config = turn.server(name).in_use
    if turn.plan.servers[name].backs_up and config is not None:
        run = turn.record.run if state.run.open else state.next_run
        turn.emit(BackUp(AT_CONFIGURE, name, run, config))


def remember(turn: Turn, name: str) -> None:
    """Keep what a server had when it was configured."""
    server = turn.server(name)
    had = memory.Configured(server.given, server.config_digest, server.files)
    turn.emit(memory.CONFIGURED.save(had, name))


def at_start(turn: Turn) -> None:
    """Copy the files at the start of a run, so that they are kept even if the run never ends properly."""
    for name, config in _configs_to_copy(turn).items():
        turn.emit(BackUp(AT_START, name, turn.record.run, config))


def begin_backup(turn: Turn) -> None:
    """Copy the configuration files in use beside the run, on each server's host; meanwhile look at all routers."""
    wanted = _configs_to_copy(turn)
    turn.set_job(waiting=frozenset((*wanted, jobs.ROUTERS)))
    turn.emit(ProbeRouters(turn.job.id))
    for name, config in wanted.items():
        turn.emit(BackUp(turn.job.id, name, turn.record.run, config))


def _configs_to_copy(turn: Turn) -> dict[str, ConfigChoice]:
    return {
        name: server.in_use
        for name, server in turn.state.servers.items()
        if server.in_use is not None and turn.plan.servers[name].backs_up
    }


def backup_ended(turn: Turn, event: Ended[BackUp, ConfigBackup]) -> None:
    """The configuration files of one server were copied, or could not be; report those that changed since Configure."""
    name, job_id, backup = event.effect.server, event.effect.job, event.result
    failure = f"configuration of ECC server {name} is not backed up: {event.error}" if event.error else ""
    if failure:
        turn.say(ecc(name), failure, Severity.MINOR)
    if not _is_of_present_run(turn, event.effect):
        pass  # a copy that hung until the next run was open: only the files at Configure matter still
    elif failure:
        trouble(turn, About.Backup, name, failure, Severity.MINOR)
    elif job_id != AT_CONFIGURE:
        mend(turn, About.Backup, name, f"configuration of ECC server {name} is backed up")
    digests = backup.digests if backup is not None else ()
    if job_id == AT_CONFIGURE:
        turn.set_server(name, files=digests)
        remember(turn, name)
        if backup is not None and backup.missing:
            text = f"configuration files that do not exist: {listing(backup.missing)}"
            turn.log(ecc(name), text)
        return
    if digests and _is_of_present_run(turn, event.effect):
        _compare(turn, name, {digest for _, digest in digests})
    job = turn.state.job
    if job is not None and job.id == job_id and job.stage is Phase.Backup:
        jobs.arrived(turn, name, failure)


def _is_of_present_run(turn: Turn, effect: BackUp) -> bool:
    record = turn.state.run.record
    return record is not None and record.run == effect.run


def _compare(turn: Turn, name: str, now: set[str]) -> None:
    changed = [file for file, digest in turn.server(name).files if digest not in now]
    if changed:
        text = (
            f"ECC server {name}: {', '.join(changed)} changed after Configure: the electronics still have the old file"
        )
        report(turn, ecc(name), About.Configuration, name, text)
