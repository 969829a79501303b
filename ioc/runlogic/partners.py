"""Partners: other data acquisitions that are begun and ended with each run and have its number (FRIBDAQ).

Theory of operation. A start begins them in two of its phases, before and after the ECC servers, and fails if one does
not become Active; a stop ends them in two of its phases, and continues whatever they do. Those that began last are told
to end just before the servers, but a stop waits for partners only after these have stopped. `Partner.run` says for
which run one was told to begin. It is stored before the command is sent and erased only when the partner has ended, or
has certainly not begun: so a partner whose answer was lost, or that was begun before a restart of the IOC, is ended
too.

A partner that loses its connection controls itself from then on and goes on taking data. Nobody but its operator can
end it then, so the run's message says that, and a stop does not wait for it.

`decide` compares partners with the run at the end of each step: one that does not take data in a run is a trouble of
the run, and stops it if the topology wants that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ioc.model import PartnerState, RunState, Severity
from ioc.runlogic import jobs, memory, runs
from ioc.runlogic.effects import BeginPartner, EndPartner
from ioc.runlogic.events import Ended, PartnerLost, PartnerRead
from ioc.runlogic.state import About, Cause, Job, Partner
from ioc.runlogic.subject import partner as subject
from ioc.runlogic.troubles import mend, trouble
from ioc.runlogic.turn import Turn, listing

_TAKING = frozenset({RunState.Running, RunState.Paused})
_BEFORE_ENDED = frozenset({RunState.Starting, RunState.Running, RunState.Paused, RunState.Stopping})
"""States of a run in which its partners have not been ended yet."""
GRACE_SECONDS = 10.0
"""A partner that cannot be asked for so long counts as ended; before that, it may only be busy. Polls wake the core."""
BY_HAND = "press End in its ReadoutGUI"


def _member(name: str) -> str:
    """What a job waits for: a server or a router may have the same name."""
    return f"partner {name}"


# The phases of a start and of a stop


def _begin(turn: Turn, job: Job, *, before: bool) -> None:
    record, names = turn.record, turn.plan.partners_of(before=before)
    turn.set_job(waiting=frozenset(map(_member, names)))
    for name in names:
        _set_run(turn, name, record.run.number)
        turn.set_partner(name, beginning=True)
        turn.emit(BeginPartner(job.id, name, record.run.number, record.title))


def end_after(turn: Turn, job: Job) -> None:
    """Tell those that began last to end. One that hangs must not delay the servers, so nothing waits for them yet."""
    del job
    _end(turn, before=False)


def end_before(turn: Turn, job: Job) -> None:
    """Tell the others to end; the run is over when all have answered."""
    del job
    _end(turn, before=True)
    turn.set_job(waiting=frozenset(_member(name) for name, each in turn.state.partners.items() if each.ending))


def _end(turn: Turn, *, before: bool) -> None:
    number = turn.record.run.number
    for name in turn.plan.partners_of(before=before):
        if turn.state.partners[name].run == number:
            turn.set_partner(name, ending=True)
            turn.emit(EndPartner(name))


begin_before: Callable[[Turn, Job], None] = partial(_begin, before=True)
begin_after: Callable[[Turn, Job], None] = partial(_begin, before=False)


def _set_run(turn: Turn, name: str, number: int) -> None:
    if turn.state.partners[name].run != number:
        turn.set_partner(name, run=number)
        turn.emit(memory.PARTNER.save(number, name))


def begun(turn: Turn, event: Ended[BeginPartner, str]) -> None:
    """A partner is Active, has refused, or may be either."""
    effect, job = event.effect, turn.state.job
    name, failure = effect.partner, event.result or event.error
    turn.set_partner(name, beginning=False)
    if event.result:
        _set_run(turn, name, -1)
    if failure:
        turn.say(subject(name), failure, Severity.MAJOR)
    else:
        turn.set_partner(name, read=PartnerState.Active, controlled=True)
        turn.say(subject(name), f"run {effect.number} has begun")
    if job is not None and job.id == effect.job:
        jobs.arrived(turn, _member(name), failure)


def ended(turn: Turn, event: Ended[EndPartner, None]) -> None:
    """A partner has ended, or may still run: the stop continues."""
    name, job, failure = event.effect.partner, turn.state.job, event.error
    number = turn.state.partners[name].run
    turn.set_partner(name, ending=False)
    if failure:
        turn.say(subject(name), failure, Severity.MAJOR)
        trouble(turn, About.Partner, name, failure)
    else:
        turn.set_partner(name, read=PartnerState.Halted, controlled=False)
        _set_run(turn, name, -1)
        turn.say(subject(name), f"run {number} has ended")
        mend(turn, About.Partner, name, f"partner {name} has ended")
    if job is not None:  # it cannot be aborted; its stage may still be that of the servers
        failures = (*job.failures, failure) if failure else job.failures
        turn.set_job(waiting=job.waiting - {_member(name)}, failures=failures)


# Readings


def read(turn: Turn, event: PartnerRead) -> None:
    """Take a new reading and report a change that the IOC did not request."""
    name = event.partner
    before = turn.state.partners[name]
    now = PartnerState.Active if event.reading.active else PartnerState.Halted
    turn.set_partner(name, read=now, controlled=event.reading.controlled)
    if before.beginning or before.ending:
        return
    to_be_ended = _has_run(turn, before) and turn.state.run.state in _BEFORE_ENDED
    if before.read is PartnerState.Offline:
        turn.say(subject(name), f"Online again, {now.name}", _severity(turn, name))
    elif before.read not in {now, PartnerState.Unknown}:
        text = f"changed from {before.read.name} to {now.name} without a command of this IOC"
        if now is PartnerState.Halted and before.run >= 0 and not to_be_ended:
            text = f"run {before.run} has ended"  # it was told to, but did not at once
        turn.say(subject(name), text, _severity(turn, name))
    if now is PartnerState.Halted and turn.state.restored and not to_be_ended:
        _set_run(turn, name, -1)  # ended by hand
        mend(turn, About.Partner, name, f"partner {name} is Halted")


def _severity(turn: Turn, name: str) -> Severity:
    partner = turn.state.partners[name]
    good = partner.controlled and partner.read is PartnerState.Active
    wrong = _has_run(turn, partner) and turn.state.run.state in _TAKING and not good
    return Severity.MAJOR if wrong else Severity.NO_ALARM


def _has_run(turn: Turn, partner: Partner) -> bool:
    return turn.state.run.open and partner.run == turn.state.run.number


def lost(turn: Turn, event: PartnerLost) -> None:
    """A partner cannot be asked. Reported once, whatever the later reasons are."""
    name = event.partner
    before = turn.state.partners[name]
    turn.set_partner(name, read=PartnerState.Offline, controlled=False)
    if before.read is not PartnerState.Offline:
        turn.set_partner(name, lost_at=turn.steady)
        turn.say(subject(name), event.reason, Severity.MAJOR)
    elif before.message.text != event.reason:
        turn.set_partner(name, message=turn.note(event.reason, Severity.MAJOR))


# What follows from them


def decide(turn: Turn) -> None:
    """Report each partner that does not take part in the run; stop the run if one has ended that must not."""
    if not turn.state.restored or turn.state.undecided or turn.state.run.state not in _TAKING:
        return
    gone: list[str] = []
    for name, partner in turn.state.partners.items():
        if not _has_run(turn, partner):
            continue
        match partner.read:
            case PartnerState.Halted:
                trouble(turn, About.Partner, name, f"partner {name} has ended its run by itself")
                gone.append(name)
            case PartnerState.Offline:
                text = f"partner {name} is Offline: {partner.message.text}"
                trouble(turn, About.Partner, name, text, cause=Cause.Unreachable)
                if turn.is_due(partner.lost_at + GRACE_SECONDS):
                    gone.append(name)
            case PartnerState.Active if partner.controlled:
                mend(turn, About.Partner, name, f"partner {name} is Active again")
            case PartnerState.Active:
                text = f"partner {name} takes data under its own control since its connection was lost"
                trouble(turn, About.Partner, name, f"{text}: {BY_HAND} after Stop", Severity.MINOR)
            case _:
                pass  # not asked yet
    if stopping := [name for name in gone if turn.plan.partners[name].stops]:
        runs.stop(turn, why=f"partner {listing(stopping)}")
