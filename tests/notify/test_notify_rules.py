"""When a message is sent: tables of what happens over time, and what holds for every course of events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.notify import told
from ioc.notify.rules import GROUP_SECONDS, Memory, Message, decide, is_quiet, seconds_before
from ioc.topology.schema import Rule

GONE = ("observable_gone", "pressure")


def rule(when: str = "observable_gone", **changes: object) -> Rule:
    return Rule.model_validate({"when": when, "for_seconds": 60, "repeat_minutes": 10, "at_most": 3} | changes)


def course(
    each: Rule, until: int, *periods: tuple[float, float], quiet: tuple[float, float] = (-1, -1), subject: str = "p"
) -> list[int]:
    """The times at which messages are sent while a condition holds in some periods, looking once a second."""
    memories, times = (Memory(),), list[int]()
    for now in range(until):
        present = {(each.when, subject): "so"} if any(a <= now < b for a, b in periods) else {}
        memories, messages = decide([each], memories, present, now, quiet=quiet[0] <= now < quiet[1])
        times += [now] * len(messages)
    return times


ALWAYS = (0, 10**6)
TABLE = [
    # what it shows, rule, periods, quiet hours, times of messages
    ("after its delay, again after the repeat time, at most so often", rule(), [ALWAYS], (-1, -1), [60, 660, 1260]),
    ("one that ends within the delay sends nothing", rule(), [(0, 59.5)], (-1, -1), []),
    ("one that lasts exactly as long is sent", rule(), [(0, 61)], (-1, -1), [60]),
    ("the delay begins anew after an end", rule(), [(0, 50), (55, 110), (120, 190)], (-1, -1), [180]),
    ("without a delay at once", rule(for_seconds=0), [(5, 6)], (-1, -1), [5]),
    ("coming and going is not reported more often", rule(for_seconds=0), [(t, t + 5) for t in range(0, 900, 10)],
     (-1, -1), [0, 600]),
    ("a new one after a long pause is a new one", rule(for_seconds=0, at_most=1), [(0, 5), (700, 705), (1000, 1010)],
     (-1, -1), [0, 700]),
    ("in quiet hours nothing is sent; at their end what still is so", rule(), [ALWAYS], (0, 400), [400, 1000, 1600]),
    ("what ended in quiet hours is not sent", rule(), [(0, 300)], (0, 400), []),
    ("always: also in quiet hours", rule(always=True, at_most=1), [ALWAYS], (0, 400), [60]),
    ("a failed run is reported once", rule("run_failed", for_seconds=0), [ALWAYS], (-1, -1), [0]),
    ("a start of the IOC is reported once", rule("ioc_restarted", for_seconds=0), [ALWAYS], (-1, -1), [0]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "each", "periods", "quiet", "times"), TABLE, ids=[row[0] for row in TABLE])
def test_when_messages_are_sent(
    what: str, each: Rule, periods: Sequence[tuple[float, float]], quiet: tuple[float, float], times: list[int]
) -> None:
    """The course of each row sends messages at exactly these seconds."""
    assert course(each, 1700, *periods, quiet=quiet) == times, what


def test_things_that_happen_together_are_one_message() -> None:
    """Twelve routers that fall silent within a second or a minute ring twice, not twelve times."""
    rules = [rule("no_data", for_seconds=0)]
    memories, sent = (Memory(),), list[Message]()
    for now in range(120):
        present = {("no_data", str(n)): f"router {n}" for n in range(12) if now >= n // 2}
        memories, messages = decide(rules, memories, present, now, quiet=False)
        sent += messages
    assert [len(message.lines) for message in sent] == [2, 10]


def test_a_rule_sees_its_own_conditions_only() -> None:
    """Each rule reports what is its own, the disk by its own number of hours."""
    rules = [rule("disk_below", hours=2, for_seconds=0), rule("disk_below", hours=8, for_seconds=0), rule("no_data")]
    _, messages = decide(rules, (Memory(),) * 3, {("disk_below", "8"): "8 h"}, 0, quiet=False)
    assert messages == (Message(1, ("8 h",)),)


RULES = st.builds(
    rule,
    st.sampled_from(["observable_gone", "run_failed"]),
    for_seconds=st.floats(0, 100),
    repeat_minutes=st.floats(0.5, 10),
    at_most=st.integers(1, 4),
    always=st.booleans(),
)


@given(st.lists(st.tuples(st.floats(0.1, 50), st.booleans(), st.booleans(), st.booleans()), max_size=200), RULES)
def test_limits_hold_for_every_course(steps: list[tuple[float, bool, bool, bool]], each: Rule) -> None:
    """Never before the delay, never within the repeat time, never in quiet hours, never too often for one thing."""
    when, repeat, delay = each.when, each.repeat_minutes, seconds_before(each)
    memories, now = (Memory(),), 0.0
    since: dict[str, float] = {"a": 0.0, "b": 0.0}
    last: dict[str, float] = {}
    last_message = -GROUP_SECONDS
    for pause, a, b, quiet in steps:
        now += pause
        present = {(when, name): name for name, holds in (("a", a), ("b", b)) if holds}
        for name in since:
            if (when, name) not in present:
                since[name] = now
        memories, messages = decide([each], memories, present, now, quiet=quiet)
        for message in messages:
            assert each.always or not quiet
            assert now >= last_message + GROUP_SECONDS
            last_message = now
            for name in message.lines:
                assert (when, name) in present
                assert now - since[name] >= delay - 1e-6 or delay == 0
                assert now >= last.get(name, -1e9) + 60 * repeat - 1e-6
                last[name] = now
    for memory in memories:
        assert len(memory.known) <= 2
        assert all(known.sent <= (1 if when == "run_failed" else each.at_most) for known in memory.known.values())


@pytest.mark.parametrize(
    ("hours", "time", "quiet"),
    [
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "21:59", False),
        ("22:00-07:00", "00:00", True),
        ("22:00-07:00", "06:59", True),
        ("22:00-07:00", "07:00", False),
        ("12:00-13:30", "13:29", True),
        ("12:00-13:30", "13:30", False),
        ("12:00-12:00", "12:00", False),
        (None, "03:00", False),
    ],
)
def test_quiet_hours(hours: str | None, time: str, quiet: bool) -> None:
    """They may pass midnight; their end does not belong to them."""
    assert is_quiet(hours, int(time[:2]) * 60 + int(time[3:])) is quiet


def test_usual_delays() -> None:
    """What may end by itself is not reported at once."""
    assert {when: seconds_before(Rule.model_validate({"when": when})) for when in ("run_failed", "no_data")} == {
        "run_failed": 0.0,
        "no_data": 30.0,
    }


@pytest.mark.parametrize(("age", "kept"), [(0.0, True), (599.0, True), (601.0, False), (-10.0, False)])
def test_what_was_told_outlives_the_process(tmp_path: Path, age: float, kept: bool) -> None:
    """It is known to the next process for the repeat time, whatever its monotonic clock says."""
    each, file = rule(for_seconds=0), tmp_path / "told"
    memories, _ = decide([each], (Memory(),), {GONE: "so"}, 5000.0, quiet=False)
    told.save(file, memories, 5000.0, 1.7e9)
    later = told.load(file, [each], 3.0, 1.7e9 + age)
    _, messages = decide([each], later, {GONE: "so"}, 3.0, quiet=False)
    assert bool(messages) is not kept
    assert told.load(tmp_path / "missing", [each], 3.0, 1.7e9) == (Memory(),)
