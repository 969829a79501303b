# ruff: noqa: S608 - the parts of queries are constants
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Queries of the live page: every answer has a limited number of rows, however many runs and samples there are.

Pages of runs go by number from where the last one ended (keyset paging), which is as fast for the last page as for
the first. A query that takes too long is cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ioc.model import Severity
from ioc.rundb.dict_rows import dict_rows
from ioc.rundb.queries import Row, RunBook
from ioc.rundb.times import to_microseconds

_QUERY_SECONDS = 5.0
_BUSY_SECONDS = 0.5
_STEPS = 100_000
"""Steps of SQLite between two looks at the clock."""
_MOST_ROWS = 500
"""Files and events of a run that are listed."""
_PIECES = 400
"""A curve has so many points; each is the range of the values in its piece of time."""


@dataclass(frozen=True)
class RunList:
    """A page of the run table, newest first."""

    runs: Sequence[Row]
    newer: int | None
    """Number after which the page before begins; None if this is the first."""
    older: int | None
    """Number before which the next page begins; None if this is the last."""


@dataclass(frozen=True)
class RunFacts:
    """What is recorded about a run, apart from its samples; long lists are cut."""

    run: Row
    configs: Sequence[Row]
    measurements: Sequence[Row]
    intervals: Sequence[Row]
    files: Sequence[Row]
    file_count: int
    purged_count: int
    """How many of the files `runs purge` has removed."""
    events: Sequence[Row]
    """The last ones, by time."""
    event_count: int
    troubles: Sequence[Row]
    """Events with an alarm and refused puts: time, source, message."""
    before: int | None
    """Number of the run before."""
    after: int | None


class PageBook(RunBook):
    """The runs of one experiment for a page of the browser."""

    def __init__(self, path: Path, experiment: str | None, topology: str | None, given_up: Callable[[], bool]) -> None:
        """As `RunBook`; a query also ends when `given_up`."""
        super().__init__(path, experiment, topology, busy_seconds=_BUSY_SECONDS)
        deadline = time.monotonic() + _QUERY_SECONDS
        self._db.set_progress_handler(lambda: time.monotonic() > deadline or given_up(), _STEPS)

    def experiments(self) -> Sequence[str]:
        """All experiments, the newest first."""
        return [row[0] for row in self._db.execute("SELECT name FROM experiments ORDER BY id DESC").fetchall()]

    def run_list(self, search: str, *, before: int | None, after: int | None, limit: int) -> RunList:
        """A page of runs whose number, class, quality or state is `search`, or whose texts contain it."""
        where, values = "experiment_id = ?", [self._experiment_id]
        if search:
            pattern = "".join(f"\\{each}" if each in "\\%_" else each for each in search)
            texts = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in _TEXTS)
            words = " OR ".join(f"{column} = ? COLLATE NOCASE" for column in _WORDS)
            where += f" AND (run_number = ? OR {words} OR {texts})"
            values += [_number(search), *[search] * len(_WORDS), *[f"%{pattern}%"] * len(_TEXTS)]
        forward = after is not None
        if after is not None:
            where, values = f"{where} AND run_number > ?", [*values, after]
        elif before is not None:
            where, values = f"{where} AND run_number < ?", [*values, before]
        order = "run_number" if forward else "run_number DESC"
        rows = list(
            dict_rows(self._db, f"SELECT * FROM runs WHERE {where} ORDER BY {order} LIMIT ?", [*values, limit + 1])
        )
        more, rows = len(rows) > limit, rows[:limit]
        if forward:
            rows.reverse()
        newer = more if forward else before is not None
        older = True if forward else more
        return RunList(
            rows,
            rows[0]["run_number"] if rows and newer else None,
            rows[-1]["run_number"] if rows and older else None,
        )

    def facts(self, number: int) -> RunFacts:
        """Everything about a run but its samples.

        Raises:
            Refused: there is no such run.
        """
        run = self.run(number)
        measured = dict_rows(
            self._db,
            "SELECT name, label, units, value_type, source_pv, measurements.* FROM measurements "
            "JOIN observables ON observables.id = observable_id WHERE run_id = ? ORDER BY display_order, name",
            [run["id"]],
        )
        events = self._of_run(run, "events", "occurred_at DESC, id DESC", _MOST_ROWS)
        troubles = [
            *self._of_run(run, "events", "occurred_at, id", _MOST_ROWS, f"severity >= {int(Severity.MINOR)}"),
            *self._of_run(run, "puts", "occurred_at, id", _MOST_ROWS, "result <> 'ok'"),
        ]
        return RunFacts(
            run=run,
            configs=self._of_run(run, "run_configs", "length(ecc_server), ecc_server", _MOST_ROWS),
            measurements=list(measured),
            intervals=self._of_run(run, "run_intervals", "began_at, interlock", _MOST_ROWS),
            files=self._of_run(run, "files", "length(router), router, path", _MOST_ROWS),
            file_count=self._count(run, "files"),
            purged_count=self._count(run, "files", "purged_at IS NOT NULL"),
            events=events[::-1],
            event_count=self._count(run, "events"),
            troubles=sorted(troubles, key=lambda row: row["occurred_at"]),
            before=self._neighbour(number, "max", "<"),
            after=self._neighbour(number, "min", ">"),
        )

    def numeric(self) -> Sequence[Row]:
        """The observables with numbers, those in use first: name, label, and whether they are measured, not entered."""
        return list(
            dict_rows(
                self._db,
                "SELECT name, max(label) AS label, max(source_pv IS NOT NULL) AS measured "
                "FROM observables WHERE experiment_id = ? "
                "AND value_type IN ('float', 'integer') "
                "GROUP BY name ORDER BY min(retired_at IS NOT NULL), min(display_order), name",
                [self._experiment_id],
            )
        )

    def trend(self, observable: str, *, before: int | None, limit: int) -> RunList:
        """The measurements of an observable in the last `limit` runs before `before`, oldest first."""
        page = self.run_list("", before=before, after=None, limit=limit)
        rows: dict[int, Row] = {}
        if page.runs:
            found = dict_rows(
                self._db,
                "SELECT run_number, run_class, title, started_at, begin_value, minimum, mean, maximum, units "
                "FROM runs JOIN measurements ON measurements.run_id = runs.id "
                "JOIN observables ON observables.id = measurements.observable_id "
                "WHERE runs.experiment_id = ? AND run_number BETWEEN ? AND ? AND measurements.observable_id IN "
                "(SELECT id FROM observables WHERE experiment_id = ? AND name = ?) ORDER BY run_number",
                [
                    *(self._experiment_id, page.runs[-1]["run_number"], page.runs[0]["run_number"]),
                    *(self._experiment_id, observable),
                ],
            )
            for row in found:
                if row["begin_value"] is not None or row["mean"] is not None:
                    rows.setdefault(row["run_number"], row)
        return RunList(list(rows.values()), page.newer, page.older)

    def pieces(self, number: int, observable: str) -> tuple[Sequence[tuple[int, float, float]], Sequence[Any]]:
        """An observable in a run: time (µs), minimum and maximum of each piece; begin and end (µs) of each gap.

        Raises:
            Refused: there is no such run or observable.
        """
        began, ended = self.span(number)
        begin_us, end_us = to_microseconds(began), to_microseconds(ended)
        width = max(-((begin_us - end_us) // _PIECES), 1)
        pieces: list[tuple[int, float, float]] = []
        gaps: list[tuple[int, int]] = []
        for each in self.sampled(number, [observable]):
            found = self._db.execute(
                "SELECT id FROM sample_series WHERE observable_id = ? AND run_id = ?", [each.id, self.run(number)["id"]]
            )
            (series,) = found.fetchone()
            # A search for each piece needs no sorting, so that half a million samples take a tenth of a second.
            for begin in range(begin_us, end_us + 1, width):
                piece = self._db.execute(
                    "SELECT min(sampled_us), min(value), max(value) FROM sample_rows WHERE series_id = ? "
                    "AND sampled_us >= ? AND sampled_us < ? AND value IS NOT NULL AND typeof(value) <> 'text'",
                    [series, begin, begin + width],
                ).fetchone()
                if piece[0] is not None:
                    pieces.append(piece)
            gaps += self._db.execute(
                "SELECT sampled_us, (SELECT min(sampled_us) FROM sample_rows AS later WHERE later.series_id = ? "
                "AND (later.sampled_us, later.seq) > (sample_rows.sampled_us, sample_rows.seq)) "
                "FROM sample_rows WHERE series_id = ? AND sampled_us BETWEEN ? AND ? AND value IS NULL LIMIT 1000",
                [series, series, begin_us, end_us],
            ).fetchall()
        return sorted(pieces), sorted((begin, end or end_us) for begin, end in gaps)

    def bad_times(self, number: int, observable: str) -> Sequence[Row]:
        """The bad times of an observable in a run; of all interlocks for those that watch no observable."""
        rows = dict_rows(
            self._db,
            "SELECT began_at, ended_at FROM run_intervals LEFT JOIN observables ON observables.id = observable_id "
            "WHERE run_id = ? AND (name = ? OR name IS NULL) ORDER BY began_at LIMIT 1000",
            [self.run(number)["id"], observable],
        )
        return list(rows)

    def _of_run(self, run: Row, table: str, order: str, limit: int, also: str = "TRUE") -> list[Row]:
        sql = f"SELECT * FROM {table} WHERE run_id = ? AND {also} ORDER BY {order} LIMIT ?"
        return list(dict_rows(self._db, sql, [run["id"], limit]))

    def _count(self, run: Row, table: str, also: str = "TRUE") -> int:
        sql = f"SELECT count(*) FROM {table} WHERE run_id = ? AND {also}"
        return int(self._db.execute(sql, [run["id"]]).fetchone()[0])

    def _neighbour(self, number: int, which: str, where: str) -> int | None:
        return self._db.execute(
            f"SELECT {which}(run_number) FROM runs WHERE experiment_id = ? AND run_number {where} ?",
            [self._experiment_id, number],
        ).fetchone()[0]


_TEXTS = ("title", "comment", "message", "config_name")
_WORDS = ("run_class", "quality", "state")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
