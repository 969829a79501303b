# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The samples of a run, read back when another process goes on with it."""

from __future__ import annotations

from typing import NamedTuple

from sqlite_utils import Database

from ioc.model import Reading, Severity
from ioc.rundb.times import to_microseconds


class SampleSurvey(NamedTuple):
    """What there is of the samples of a run."""

    counts: dict[str, int]
    """How many there are of each observable, gaps included; those without any are left out."""
    last_at: float | None
    """The latest time stamp that is not later than asked for; None if there is none."""


def survey_samples(db: Database, run_id: int | None, until: float) -> SampleSurvey:
    counts = db.execute(
        "SELECT observables.name, count(*) FROM sample_series "
        "JOIN observables ON observables.id = observable_id "
        "JOIN sample_rows ON series_id = sample_series.id WHERE run_id = ? GROUP BY sample_series.id",
        (run_id,),
    ).fetchall()
    (last_us,) = db.execute(
        "SELECT max((SELECT max(sampled_us) FROM sample_rows WHERE series_id = sample_series.id AND sampled_us <= ?)) "
        "FROM sample_series WHERE run_id = ?",
        (to_microseconds(until), run_id),
    ).fetchone()
    return SampleSurvey(dict(counts), None if last_us is None else last_us / 1e6)


def load_samples(db: Database, run_id: int | None, observable_id: int, count: int) -> tuple[Reading, ...]:
    """The first samples of an observable in a run by time; a value that was not a number comes back as NaN."""
    rows = db.query(
        "SELECT observables.name, value, severity, status, sampled_us FROM samples "
        "JOIN observables ON observables.id = samples.observable_id "
        "WHERE run_id = ? AND observable_id = ? ORDER BY sampled_us LIMIT ?",
        (run_id, observable_id, count),
    )
    return tuple(
        Reading(
            observable=row["name"],
            value=float("nan") if row["value"] is None and row["status"] != "disconnected" else row["value"],
            severity=Severity(row["severity"]),
            status=row["status"],
            sampled_at=row["sampled_us"] / 1e6,
        )
        for row in rows
    )
