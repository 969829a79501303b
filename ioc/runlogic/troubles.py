"""What goes wrong in a run, kept with it for good in ``runs.message``: when, what, and how it ended.

A trouble is about one thing: a kind (`About`) and a name. It stands until it is mended; a newer one about the same
thing takes its place. The run's message names what stands, the database has all. Whoever finds something wrong reports
it each time it is seen: one that is known already changes nothing, so that nobody must remember what was reported.
"""

from __future__ import annotations

from ioc.model import Client, Severity
from ioc.runlogic.events import RunRecorded
from ioc.runlogic.state import About, Run, Trouble, Unfiled
from ioc.runlogic.subject import RUN
from ioc.runlogic.turn import Turn, local

MOST = 100
"""Lines in the message of a run; a peer that comes and goes all night would fill it. The log has them all."""


def trouble(
    turn: Turn,
    about: About,
    name: str,
    text: str,
    severity: Severity = Severity.MAJOR,
    *,
    client: Client = Client(),
    why: Unfiled | None = None,
) -> None:
    """Something went wrong in the open run; nothing if none is open, or if it is known already.

    Another trouble about the same thing takes the place of the one before; with the same `why` only its text changes.
    """
    run = turn.state.run
    known = standing(run, about, name)
    if not run.open or (known is not None and known.text == text):
        return
    if known is not None and why is not None and known.why is why:
        turn.set_run(troubles=tuple(each.renewed(text) if each is known else each for each in run.troubles))
        _show(turn)
        return
    _keep(turn, (*_without(run, about, name), Trouble(about, name, turn.now, text, severity, why)))
    turn.log(RUN, f"run {run.number}: {text}", severity, client)


def forget(turn: Turn, about: About, name: str) -> None:
    """Something else has become the trouble with it: the line stays with the run, but stands no more."""
    run = turn.state.run
    if run.open and standing(run, about, name):
        turn.set_run(troubles=_without(run, about, name))


def mend(turn: Turn, about: About, name: str, how: str) -> None:
    """What went wrong with something in the open or the last run is over; nothing if nothing is wrong with it.

    The row of a run that was closed stays as it is: what went wrong lasted until its end.
    """
    _mend(turn, about, name, how, save=turn.state.run.open)


def recorded(turn: Turn, event: RunRecorded) -> None:
    """The observables of the open run, or of the last one, are recorded after all."""
    record = turn.state.run.record
    if record is not None and record.run == event.run:
        _mend(turn, About.Recording, "", f"the observables of {event.run} are recorded", save=True)


def _mend(turn: Turn, about: About, name: str, how: str, *, save: bool) -> None:
    run = turn.state.run
    if not standing(run, about, name):
        return
    _keep(turn, _without(run, about, name, how, turn.now), save=save)
    turn.log(RUN, f"run {run.number}: {how}")


def _keep(turn: Turn, troubles: tuple[Trouble, ...], *, save: bool = True) -> None:
    turn.set_run(troubles=troubles)
    if save:
        turn.save_run(message=document(turn.state.run))
    _show(turn)


def _show(turn: Turn) -> None:
    run, record = turn.state.run, turn.record
    turn.show(RUN, f"{record.run} is {run.state.name if run.open else record.state.value}")


def _without(run: Run, about: About, name: str, how: str = "", at: float = 0.0) -> tuple[Trouble, ...]:
    """Return the troubles of a run, but that with this stands no more."""
    return tuple(each.ended(how, at) if _is(each, about, name) else each for each in run.troubles)


def _is(trouble: Trouble, about: About, name: str) -> bool:
    return trouble.standing and trouble.about is about and trouble.name == name


def standing(run: Run, about: About, name: str) -> Trouble | None:
    """What is wrong with it now."""
    return next((each for each in run.troubles if _is(each, about, name)), None)


def document(run: Run) -> str:
    """Return what is kept with the run: a line for each trouble, in order, with its time and its end."""
    lines = [*run.earlier.splitlines(), *map(_line, run.troubles)]
    more = len(lines) - MOST
    if more > 0:
        lines[MOST - 1 :] = [f"{more + 1} more: see the events of this run"]
    return "\n".join(lines)


def _line(trouble: Trouble) -> str:
    mended = f" ({local(trouble.mended_at)}: {trouble.mended})" if trouble.mended else ""
    return f"{local(trouble.at)} {trouble.text}{mended}"
