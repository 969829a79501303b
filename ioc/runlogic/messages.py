"""Messages about an earlier state get their time in front, so that nobody takes them for the current state."""

from __future__ import annotations

from ioc.model import PartnerState, Severity
from ioc.runlogic import permits
from ioc.runlogic.state import Note, State
from ioc.runlogic.turn import Turn, local

_PASSING_SECONDS = 10.0


def mark_past(turn: Turn, before: State) -> None:
    """Mark each message that is older than the last state change of its object, or a refusal without its reasons."""
    state = turn.state
    moved, read = state.servers is not before.servers, state.restored and not before.restored
    if moved and state.job is None and state.whole is not before.whole and state.message is before.message:
        turn.set(message=_past(state.message, Severity.NO_ALARM))
    if read and state.message is before.message:
        turn.set(message=_past(state.message, Severity.NO_ALARM))
    if read and state.auto_message is before.auto_message:
        turn.set(auto_message=_past(state.auto_message, Severity.NO_ALARM))
    run = state.run
    if (read or _no_longer_true(turn, before)) and run.message is before.run.message:
        turn.set_run(message=_past(run.message, run.message.severity))
    for name, router in state.routers.items() if run.number != before.run.number else ():
        if router.message is before.routers[name].message:
            turn.set_router(name, message=_past(router.message, router.message.severity))
    for name, server in state.servers.items() if moved else ():
        was = before.servers[name]
        if server.state is not was.state and server.message is was.message:
            turn.set_server(name, message=_past(server.message, server.message.severity))
    closed = before.run.open and not run.open
    for name, partner in state.partners.items():
        was = before.partners[name]
        over = closed and partner.state is PartnerState.Halted and partner.message.severity
        if (partner.state is not was.state or over) and partner.message is was.message:
            turn.set_partner(name, message=_past(partner.message, Severity.NO_ALARM))


def _no_longer_true(turn: Turn, before: State) -> bool:
    """Whether the run has moved on, or a refused start would be refused for other reasons now, or for none.

    What refused it in passing, for example a hook, may do so still: that is believed for a short time.
    """
    run, reasons = turn.state.run, turn.state.run.message.reasons
    moved_on = (run.state, run.number) != (before.run.state, before.run.number)
    old = run.message.in_passing and turn.now - run.message.at > _PASSING_SECONDS
    return moved_on or old or bool(reasons and permits.blocked_by(turn.plan, turn.state) != reasons)


def _past(note: Note, severity: Severity) -> Note:
    if not note.text or note.past:
        return Note(note.text, severity, note.at, note.past)
    day, _, clock = local(note.at)[:19].partition("T")
    return Note(f"at {day} {clock}: {note.text}", severity, note.at, past=True)
