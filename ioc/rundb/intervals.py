# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Bad times of runs (table ``run_intervals``), and the fractions of good time derived from them.

The functions are called in open transactions, as those of `documents`. When a run has ended, `conclude` ends what is
still open, even if the process that began it was killed, and computes the fractions. It is called after each change
of what they depend on, so the order in which run, intervals and measurements are stored does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ioc.model import RunInterval
from ioc.rundb.rows import storable
from ioc.rundb.times import from_text, optional, to_text

if TYPE_CHECKING:
    from sqlite_utils import Database


def save_interval(db: Database, run_id: int | None, observable_id: int | None, interval: RunInterval) -> None:
    """Store an interval or its end; remove one that ends where it began."""
    began, ended = to_text(interval.began_at), optional(to_text, interval.ended_at)
    row = {
        "run_id": run_id,
        "interlock": interval.interlock,
        "observable_id": observable_id,
        "began_at": began,
        "ended_at": ended,
        "action": interval.action.value,
        "reason": storable(interval.reason),
        "low": interval.low,
        "high": interval.high,
        "value": storable(interval.value),
    }
    key = run_id, interval.interlock, began
    intervals = db.table("run_intervals")
    known = next(intervals.rows_where("run_id = ? AND interlock = ? AND began_at = ?", key, select="id"), None)
    if ended is not None and ended <= began:
        db.execute("DELETE FROM run_intervals WHERE run_id = ? AND interlock = ? AND began_at = ?", key)
    elif known is None:
        intervals.insert(row)
    else:
        intervals.update(known["id"], {"ended_at": ended})
    conclude(db, run_id)


def conclude(db: Database, run_id: int | None) -> None:
    """End the open intervals of a run that has ended, and compute the fractions of good time; else do nothing."""
    run = next(db.query("SELECT started_at, stopped_at, duration FROM runs WHERE id = ?", [run_id]), None)
    if run is None or run["started_at"] is None or run["stopped_at"] is None or not run["duration"]:
        return
    begin, duration = from_text(run["started_at"]), float(run["duration"])
    still_open = "run_id = ? AND ended_at IS NULL"
    # The last known time of a run that lost its IOC may be before the begin: then no time of the run is bad.
    db.execute(f"DELETE FROM run_intervals WHERE {still_open} AND began_at >= ?", [run_id, run["stopped_at"]])  # noqa: S608 - constants
    db.execute(f"UPDATE run_intervals SET ended_at = ? WHERE {still_open}", [run["stopped_at"], run_id])  # noqa: S608
    rows = list(db.table("run_intervals").rows_where("run_id = ?", [run_id], order_by="began_at"))
    bad = [(row["observable_id"], from_text(row["began_at"]), from_text(row["ended_at"])) for row in rows]

    def good(intervals: Iterable[tuple[float, float]]) -> float:
        return max(0.0, 1.0 - _union(intervals, begin, begin + duration) / duration)

    db.execute("UPDATE runs SET good_fraction = ? WHERE id = ?", [good(each[1:] for each in bad), run_id])
    # Of what was never measured nobody knows; if an interlock watched it, it was tripped, and has an interval.
    measured = "samples > 0 OR coalesce(begin_value, end_value) IS NOT NULL"
    db.execute(f"UPDATE measurements SET good_fraction = iif({measured}, 1, NULL) WHERE run_id = ?", [run_id])  # noqa: S608
    for observable in {each[0] for each in bad if each[0] is not None}:
        fraction = good(each[1:] for each in bad if each[0] == observable)
        db.execute(
            "UPDATE measurements SET good_fraction = ? WHERE run_id = ? AND observable_id = ?",
            [fraction, run_id, observable],
        )


def _union(intervals: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    """Return the total time between `begin` and `end` of intervals in the order of their begin; they may overlap."""
    total, until = 0.0, begin
    for began, ended in intervals:
        last = min(ended, end)
        total += max(0.0, last - max(began, until))
        until = max(until, last)
    return total
