"""Selects the runs and observables to export from an experiment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Selection:
    """Runs that meet every condition; an empty one selects all."""

    numbers: tuple[int, ...] = ()
    since: str | None = None
    """Only runs that began at this time of the database or later; one that never ran began with its reservation."""
    classes: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    observables: tuple[str, ...] = ()
    """Only these observables, in this order; empty for all."""
    statistics: tuple[str, ...] = ()
    """Statistics of each observable, in this order; empty for the usual columns."""

    def condition(self) -> tuple[str, list[Any]]:
        """SQL about the table `runs`, and its values."""
        terms, values = ["TRUE"], list[Any]()
        for column, wanted in (
            ("run_number", self.numbers),
            ("run_class", self.classes),
            ("quality", self.qualities),
        ):
            if wanted:
                terms.append(f"{column} IN (SELECT value FROM json_each(?))")  # noqa: S608 - ours
                values.append(json.dumps(wanted))
        if self.since is not None:
            terms.append("ifnull(started_at, reserved_at) >= ?")
            values.append(self.since)
        return " AND ".join(terms), values
