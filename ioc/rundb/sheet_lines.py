"""The run sheet as lines of values, for exports.

A large experiment has millions of cells, so what Python does is done for each run, not for each cell: the rows of
`measurements` of a run become columns by one `zip`, and one `itemgetter` puts them into the order of the line. Which
value goes where depends only on the observables that the run has, and nearly all runs have the same.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

VALUE = "value"
"""The value at the start of the run, or else at its end."""
STATISTICS: Mapping[str, str] = {
    VALUE: "ifnull(begin_value, end_value)",
    "begin": "begin_value",
    "end": "end_value",
    "minimum": "minimum",
    "mean": "mean",
    "maximum": "maximum",
    "samples": "samples",
    "worst_severity": "worst_severity",
    "disconnected_seconds": "disconnected_seconds",
    "good_fraction": "good_fraction",
}
"""What can be asked of an observable in a run, with its SQL."""
_KINDS_OF_RUNS = 64
"""Sets of observables whose order is remembered."""

Line = tuple[Any, ...]


@dataclass(frozen=True)
class SheetColumn:
    """A column of the run sheet: all observables with the same name and units; type and source may differ."""

    heading: str
    """Its name in the view `run_sheet`; includes the units if a column with other units has that name."""
    name: str
    units: str
    value_type: str
    ids: tuple[int, ...]

    @property
    def numeric(self) -> bool:
        """Whether it has a minimum, mean and maximum."""
        return self.value_type in {"float", "integer"}


class LineMaker:
    """Makes the line of a run: what is given of the run, then the statistics asked for; None if not measured."""

    def __init__(self, columns: Sequence[SheetColumn], wanted: Sequence[tuple[int, str]], length: int) -> None:
        """`wanted` are places in `columns`, each with the name of a statistic; `length` is that of the run's part."""
        self._columns = columns
        self._wanted = wanted
        self._length = length
        self._statistics = tuple(dict.fromkeys((VALUE, *(name for _, name in wanted))))
        self._place = {each: place for place, column in enumerate(columns) for each in column.ids}
        self._picker = functools.lru_cache(_KINDS_OF_RUNS)(self._make_picker)
        names = ", ".join(STATISTICS[each] for each in self._statistics)
        self.sql = f"SELECT observable_id, {names} FROM measurements WHERE run_id = ? ORDER BY observable_id"  # noqa: S608
        """The rows of a run that `line` needs."""

    def line(self, run: Iterable[Any], rows: Sequence[Line]) -> Line:
        ids, *columns = zip(*rows, strict=True) if rows else ((),)
        pick = self._picker(ids)
        if pick is None:
            return self.line(run, self._one_each(rows))
        return pick((None, *run, *itertools.chain.from_iterable(columns)))

    def _make_picker(self, ids: tuple[int, ...]) -> Callable[[Line], Line] | None:
        """What orders None, the run's part and the columns of the rows; None if a column has several of the rows."""
        found = {self._place[each]: number for number, each in enumerate(ids) if each in self._place}
        if len(found) < sum(each in self._place for each in ids):
            return None
        places = list(range(1, 1 + self._length))
        for column, statistic in self._wanted:
            before = 1 + self._length + self._statistics.index(statistic) * len(ids)
            places.append(before + found[column] if column in found else 0)
        return itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)

    def _one_each(self, rows: Sequence[Line]) -> Sequence[Line]:
        """Of several definitions of an observable in one run, the first with a value counts."""
        chosen: dict[int, Line] = {}
        for row in reversed(rows):
            place = self._place.get(row[0])
            if place is not None and (row[1] is not None or place not in chosen):
                chosen[place] = row
        return list(chosen.values())
