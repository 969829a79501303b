"""When a message is sent. Pure: the clock is given.

A rule looks at the conditions of its kind. A condition that has lasted for `for_seconds` is reported; one that ends
before is forgotten. While it lasts it is reported again after `repeat_minutes`, `at_most` so many times. One that comes
and goes is not reported more often than that either: it counts as the same until it has been gone for as long. Single
events (a failed run, a start of the IOC) are reported once. In quiet hours a rule without `always` waits: what still is
so at their end is reported then. All that one rule has to report becomes one message, at most one a minute, so that
twelve routers that fall silent together do not ring twelve times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ioc.notify.conditions import Subject, of_disk
from ioc.topology.schema import Rule

GROUP_SECONDS = 60.0
"""Shortest time between two messages of one rule."""
_ONCE = {"run_failed", "ioc_restarted"}
_FOR_SECONDS = {"observable_gone": 60.0, "disk_below": 60.0, "no_data": 30.0}
"""Defaults of `for_seconds`; 0 for the others."""
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Known:
    """What a rule remembers of one condition; times on the monotonic clock."""

    since: float | None
    """When it began; None since it has ended."""
    ended: float = 0.0
    sent: int = 0
    """How often it was reported."""
    sent_at: float = 0.0


@dataclass(frozen=True)
class Memory:
    """The memory of one rule."""

    known: Mapping[Subject, Known] = field(default_factory=dict[Subject, Known])
    sent_at: float | None = None
    """When its last message was sent."""


@dataclass(frozen=True)
class Message:
    """What is sent to the targets of a rule."""

    rule: int
    """Its index."""
    lines: tuple[str, ...]


def decide(
    rules: Iterable[Rule], memories: tuple[Memory, ...], present: Mapping[Subject, str], now: float, *, quiet: bool
) -> tuple[tuple[Memory, ...], tuple[Message, ...]]:
    """Return what the rules remember from now on, and what is sent now.

    `now` is on the monotonic clock in seconds; `quiet`: these are quiet hours.
    """
    messages: list[Message] = []
    after: list[Memory] = []
    for index, (rule, memory) in enumerate(zip(rules, memories, strict=True)):
        mine = {subject: text for subject, text in present.items() if _is_about(rule, subject)}
        memory = replace(memory, known=_followed(rule, memory.known, mine, now))  # noqa: PLW2901 - its next value
        held = (quiet and not rule.always) or (memory.sent_at is not None and now < memory.sent_at + GROUP_SECONDS)
        due = [] if held else [subject for subject in mine if _is_due(rule, memory.known[subject], now)]
        if due:
            messages.append(Message(index, tuple(mine[subject] for subject in due)))
            of_due = {subject: memory.known[subject] for subject in due}
            told = {subject: replace(each, sent=each.sent + 1, sent_at=now) for subject, each in of_due.items()}
            memory = Memory({**memory.known, **told}, now)  # noqa: PLW2901 - its next value
        after.append(memory)
    return tuple(after), tuple(messages)


def _is_about(rule: Rule, subject: Subject) -> bool:
    return subject == of_disk(rule.hours) if rule.when == "disk_below" else subject[0] == rule.when


def _followed(
    rule: Rule, known: Mapping[Subject, Known], present: Mapping[Subject, str], now: float
) -> dict[Subject, Known]:
    """The result of evaluating the current conditions."""
    result: dict[Subject, Known] = {}
    for subject, each in known.items():
        if subject in present:
            result[subject] = each if each.since is not None else replace(each, since=now)
        elif each.sent:
            gone = each if each.since is None else replace(each, since=None, ended=now)
            if now < gone.ended + 60 * rule.repeat_minutes:
                result[subject] = gone
    return {**{subject: Known(now) for subject in present if subject not in result}, **result}


def _is_due(rule: Rule, known: Known, now: float) -> bool:
    if known.since is None or now < known.since + seconds_before(rule):
        return False
    if not known.sent:
        return True
    most = 1 if rule.when in _ONCE else rule.at_most
    return known.sent < most and now >= known.sent_at + 60 * rule.repeat_minutes


def seconds_before(rule: Rule) -> float:
    """How long a condition lasts before it is reported."""
    return _FOR_SECONDS.get(rule.when, 0.0) if rule.for_seconds is None else rule.for_seconds


def is_quiet(quiet_hours: str | None, minute: int) -> bool:
    """Whether a minute of the day, 0 to 1439, is in the quiet hours ``22:00-07:00``; their end is not."""
    if quiet_hours is None:
        return False
    begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in quiet_hours.split("-"))
    return (minute - begin) % _DAY_MINUTES < (end - begin) % _DAY_MINUTES
