# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The samples of a run, read back when another process continues it."""

from __future__ import annotations

from typing import NamedTuple

from ioc.model import Reading, Severity
from ioc.rundb.dict_rows import Readable
from ioc.rundb.times import LATEST, optional_time, to_microseconds


class SurveyedObservable(NamedTuple):
    """An observable with samples or statistics in a run."""

    observable_id: int
    name: str
    manual: bool
    last_us: int | None
    """The latest time stamp of its samples, microseconds since 1970; None without samples."""


class SampleSurvey(NamedTuple):
    """Overview of the samples of a run."""

    observables: tuple[SurveyedObservable, ...]
    last_at: float | None
    """The latest time stamp that is not later than the given limit; None if there is none."""


class SamplePage(NamedTuple):
    """Some samples of one observable, by time."""

    samples: tuple[Reading, ...]
    following: tuple[int, int] | None
    """Start of the next page; None if there are no more samples."""


BEGINNING = (-1, -1)
"""Start of the first page."""


def survey_samples(db: Readable, run_id: int | None, until: float, before: float | None) -> SampleSurvey:
    before_us = LATEST if before is None else to_microseconds(before)
    until_us = min(to_microseconds(until), before_us - 1)
    rows = db.execute(
        "SELECT observables.id, name, source_pv IS NULL, "
        "(SELECT max(sampled_us) FROM sample_rows WHERE series_id = sample_series.id AND sampled_us < :before), "
        "(SELECT max(sampled_us) FROM sample_rows WHERE series_id = sample_series.id AND sampled_us <= :until) "
        "FROM observables LEFT JOIN sample_series ON observable_id = observables.id AND run_id = :run "
        "WHERE observables.id IN (SELECT observable_id FROM sample_series WHERE run_id = :run "
        "UNION SELECT observable_id FROM measurements WHERE run_id = :run)",
        {"run": run_id, "until": until_us, "before": before_us},
    ).fetchall()
    last_us = max((row[4] for row in rows if row[4] is not None), default=None)
    return SampleSurvey(
        tuple(SurveyedObservable(row[0], row[1], bool(row[2]), row[3]) for row in rows), optional_time(last_us)
    )


def load_samples(  # noqa: PLR0917 - as the store has them
    db: Readable, run_id: int | None, observable_id: int, begin: tuple[int, int], until_us: int, most: int
) -> SamplePage:
    """A page of samples from `begin` (microseconds and sequence number) on, up to `until_us` included.

    NaN was stored as NULL and is returned as NaN.
    """
    rows = db.execute(
        "SELECT name, value, severity, status, sampled_us, seq FROM sample_series "
        "JOIN observables ON observables.id = observable_id JOIN sample_rows ON series_id = sample_series.id "
        "JOIN alarms ON alarms.id = alarm_id "
        "WHERE run_id = ? AND observable_id = ? AND (sampled_us, seq) >= (?, ?) AND sampled_us <= ? "
        "ORDER BY sampled_us, seq LIMIT ?",
        (run_id, observable_id, *begin, until_us, most + 1),
    ).fetchall()
    following = (rows[most][4], rows[most][5]) if len(rows) > most else None
    return SamplePage(
        tuple(
            Reading(
                name,
                float("nan") if value is None and status != "disconnected" else value,
                Severity(severity),
                status,
                sampled_us / 1e6,
            )
            for name, value, severity, status, sampled_us, _ in rows[:most]
        ),
        following,
    )
