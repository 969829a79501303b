"""The configuration files in use: copied beside each run, and compared with what was configured."""

from __future__ import annotations

from ioc.model import ConfigChoice, Severity
from ioc.runlogic import jobs
from ioc.runlogic.effects import BackUp
from ioc.runlogic.events import BackupEnded, ConfigsDigested
from ioc.runlogic.state import Job, Phase
from ioc.runlogic.turn import Turn

NO_JOB = 0
"""Of copies that nothing waits for."""


def digested(turn: Turn, event: ConfigsDigested) -> None:
    """Remember what the files of a server were when it was configured."""
    turn.set_server(event.server, files=event.digests)
    if event.error:
        turn.say_server(event.server, f"Configure done, but {event.error}", Severity.MINOR)


def at_start(turn: Turn) -> None:
    """Copy the files when a run has started, so that what it began with is kept even if it never ends."""
    for name, config in _wanted(turn).items():
        turn.emit(BackUp(NO_JOB, name, turn.record.run, config))


def begin_backup(turn: Turn, job: Job) -> None:
    """Copy the configuration files in use beside the run, on each server's host."""
    wanted = _wanted(turn)
    turn.set_job(job, waiting=frozenset(wanted))
    for name, config in wanted.items():
        turn.emit(BackUp(job.id, name, turn.record.run, config))


def _wanted(turn: Turn) -> dict[str, ConfigChoice]:
    return {
        name: server.in_use
        for name, server in turn.state.servers.items()
        if server.in_use is not None and turn.plan.servers[name].backs_up
    }


def backup_ended(turn: Turn, event: BackupEnded) -> None:
    """The configuration files of one server are copied, or could not be; one that changed since Configure is named."""
    name = event.server
    failure = f"configuration of ECC server {name} is not backed up: {event.error}" if event.error else ""
    known = turn.server(name).files
    if event.backup is not None and known:
        now = {digest for _, digest in event.backup.digests}
        changed = [file for file, digest in known if digest not in now]
        if changed:
            files = ", ".join(changed)
            text = f"ECC server {name}: {files} changed after Configure: the electronics have the old one"
            turn.set_server(name, files=())
            turn.say_server(name, text, Severity.MAJOR)
            turn.say_run(f"run {turn.state.run.number}: {text}", Severity.MAJOR)
    if failure:
        turn.say_server(name, failure, Severity.MINOR)
    job = turn.state.job
    if job is not None and job.id == event.job and job.stage is Phase.Backup:
        jobs.arrived(turn, name, failure)
