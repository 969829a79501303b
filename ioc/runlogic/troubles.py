"""Problems of a run, stored permanently in ``runs.message``: when, what, and how they ended.

A trouble is about one thing: a kind (`About`) and a name. It lasts until it is mended; a newer one about the same thing
replaces it. The run's message names the current troubles, the database has all. Handlers report a trouble each time
they see it; a known one changes nothing, so no handler has to remember what it reported.

A peer that comes and goes every second for a week must fill neither the row nor the memory. So a run keeps its first
and its last troubles and all that last; the log has every one of them. After a restart the message of the earlier
process continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ioc.model import Client, RunState, Severity
from ioc.runlogic.events import RunRecorded
from ioc.runlogic.state import About, Cause, Run, Trouble
from ioc.runlogic.subject import RUN, Subject
from ioc.runlogic.turn import Turn, local

FIRST, LAST = 50, 50
"""Numbers of lines that the message of a run keeps in addition to those of troubles that last."""
_MORE = "… and more: see the events of this run"


def trouble(
    turn: Turn,
    about: About,
    name: str,
    text: str,
    severity: Severity = Severity.MAJOR,
    *,
    client: Client = Client(),
    cause: Cause | None = None,
    closed: bool = False,
) -> None:
    """Record that something went wrong in the open run; no effect if none is open, or if it is known already.

    With `closed`, it may also be the last run, which is over.
    Another trouble about the same thing replaces the previous one; with the same `cause` only its text changes.
    """
    run = turn.state.run
    known = standing(run, about, name)
    if not (run.open or closed) or (known is not None and known.text == text):
        return
    if known is not None and cause is not None and known.cause is cause:
        turn.set_run(troubles=tuple(replace(each, text=text) if each is known else each for each in run.troubles))
        _show(turn)
        return
    _keep(turn, (*_without(run, about, name), Trouble(about, name, turn.now, text, severity, cause)))
    turn.log(RUN, f"run {run.number}: {text}", severity, client, None if run.open else turn.record.run)


def report(turn: Turn, subject: Subject, about: About, name: str, text: str, *, cause: Cause | None = None) -> None:
    """Record a trouble, and say it the first time that it is seen."""
    if standing(turn.state.run, about, name) is None:
        turn.say(subject, text, Severity.MAJOR)
    trouble(turn, about, name, text, cause=cause)


def forget(turn: Turn, about: About, name: str) -> None:
    """End a trouble because another one replaces it: its line stays with the run."""
    run = turn.state.run
    if run.open and standing(run, about, name):
        turn.set_run(troubles=_without(run, about, name))


def mend(turn: Turn, about: About, name: str, how: str) -> None:
    """Record that a trouble of the open or last run is over; no effect if there is none.

    The row of a closed run stays as it is: the trouble lasted until its end.
    """
    _mend(turn, about, name, how, save=turn.state.run.open)


def recorded(turn: Turn, event: RunRecorded) -> None:
    """The observables of the open or last run are now recorded after an earlier failure."""
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
    kept = tuple(troubles[i] for i in _kept([each.standing for each in troubles]))
    turn.set_run(troubles=kept, left_out=turn.state.run.left_out or len(kept) < len(troubles))
    if save:
        turn.save_run(message=document(turn.state.run))
    _show(turn)


def _show(turn: Turn) -> None:
    run, record = turn.state.run, turn.record
    severity = Severity.MAJOR if run.state is RunState.Failed else Severity.NO_ALARM
    turn.show(RUN, f"{record.run} is {run.state.name if run.open else record.state.value}", severity)


def _without(run: Run, about: About, name: str, how: str = "", at: float = 0.0) -> tuple[Trouble, ...]:
    """Return the troubles of a run with this one marked as ended."""
    end = {"standing": False, "mended": how, "mended_at": at}
    return tuple(replace(each, **end) if _is(each, about, name) else each for each in run.troubles)


def _is(trouble: Trouble, about: About, name: str) -> bool:
    return trouble.standing and trouble.about is about and trouble.name == name


def standing(run: Run, about: About, name: str) -> Trouble | None:
    return next((each for each in run.troubles if _is(each, about, name)), None)


def document(run: Run) -> str:
    """Return the text kept with the run: a line for each trouble, in order, with its time and its end."""
    earlier = run.earlier.splitlines()
    lines = [*earlier, *map(line, run.troubles)]
    kept = _kept([*(False for _ in earlier), *(each.standing for each in run.troubles)])
    shown = [lines[i] for i in kept]
    if run.left_out or len(kept) < len(lines):
        shown.insert(FIRST, _MORE)
    return "\n".join(shown)


def _kept(lasting: Sequence[bool]) -> Sequence[int]:
    """Return which of these are kept: the first, the last, and between them those that last."""
    end = len(lasting) - LAST
    return [i for i, lasts in enumerate(lasting) if i < FIRST or lasts or i >= end]


def line(trouble: Trouble) -> str:
    """Return a trouble with its time and its end."""
    mended = f" ({local(trouble.mended_at)}: {trouble.mended})" if trouble.mended else ""
    return f"{local(trouble.at)} {trouble.text}{mended}"
