"""Runs as text for people: aligned columns, local times with their offset."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ioc.cli.output import table, table_of_columns
from ioc.model import Severity
from ioc.rundb.differences import configuration_texts, with_units
from ioc.rundb.formats import duration, local_time, percent, size, value_text
from ioc.rundb.queries import Row, RunPage
from ioc.rundb.sheet_lines import Line
from ioc.rundb.times import optional, to_text

if TYPE_CHECKING:
    from ioc.rundb.adopt import FoundRun


def _severity(number: int) -> str:
    return Severity(number).name


_Columns = Mapping[str, tuple[str, Callable[[Any], str]]]
"""Heading, column of the database, and the format of its value."""

_RUNS: _Columns = {
    "run": ("run_number", str),
    "class": ("run_class", str),
    "title": ("title", str),
    "state": ("state", str),
    "quality": ("quality", str),
    "started": ("started_at", local_time),
    "duration": ("duration", duration),
    "size": ("bytes", size),
    "configuration": ("config_name", str),
}
_LINES_AT_ONCE = 500
"""Python's search for cycles would look at all lines of a large experiment again and again."""
LISTED = tuple(name for name, _ in _RUNS.values())
"""The columns of the database in `run_list`."""
_FACTS: _Columns = {
    "Class": ("run_class", str),
    "Title": ("title", str),
    "State": ("state", str),
    "Reserved": ("reserved_at", local_time),
    "Started": ("started_at", local_time),
    "Stopped": ("stopped_at", local_time),
    "Duration": ("duration", duration),
    "Size": ("bytes", size),
    "Configuration": ("config_name", str),
    "Quality": ("quality", str),
    "Comment": ("comment", str),
    "Good time": ("good_fraction", percent),
    "Message": ("message", str),
    "Adopted": ("adopted_at", local_time),
}
_MEASUREMENTS: _Columns = {
    "observable": ("name", str),
    "units": ("units", str),
    "begin": ("begin_value", value_text),
    "end": ("end_value", value_text),
    "min": ("minimum", value_text),
    "max": ("maximum", value_text),
    "mean": ("mean", value_text),
    "samples": ("samples", str),
    "worst": ("worst_severity", _severity),
    "disconnected": ("disconnected_seconds", lambda seconds: f"{seconds:.1f} s" if seconds else ""),
}
_INTERVALS: _Columns = {
    "bad time": ("interlock", str),
    "from": ("began_at", local_time),
    "until": ("ended_at", local_time),
    "action": ("action", str),
    "reason": ("reason", str),
}
_CONFIGS: _Columns = {
    "server": ("ecc_server", str),
    "describe": ("describe", str),
    "prepare": ("prepare", str),
    "configure": ("configure", str),
}
_FILES: _Columns = {
    "router": ("router", str),
    "source": ("source", str),
    "host": ("host", str),
    "size": ("bytes", size),
    "purged": ("purged_at", local_time),
    "file": ("path", str),
}
_EVENTS: _Columns = {
    "time": ("occurred_at", local_time),
    "severity": ("severity", _severity),
    "source": ("source", str),
    "user": ("user", str),
    "event": ("message", str),
}


def _table(columns: _Columns, rows: Sequence[Row]) -> str:
    return table_of_columns(
        [(heading, *(show(row[name]) for row in rows)) for heading, (name, show) in columns.items()]
    )


def run_list(experiment: str, lines: Iterable[Line]) -> str:
    """One line a run; `lines` have the values of `LISTED`."""
    columns: list[list[Any]] = [[] for _ in _RUNS]
    rest = iter(lines)
    while some := list(itertools.islice(rest, _LINES_AT_ONCE)):
        for column, values in zip(columns, zip(*some, strict=True), strict=True):
            column.extend(values)
    shown = [(heading, *map(show, values)) for (heading, (_, show)), values in zip(_RUNS.items(), columns, strict=True)]
    return f"Experiment {experiment}\n{table_of_columns(shown)}"


def run_page(experiment: str, page: RunPage) -> str:
    purged = any(row["purged_at"] for row in page.files)
    files = {name: column for name, column in _FILES.items() if purged or name != "purged"}
    facts = [("Run", f"{page.run['run_number']} of {experiment}")]
    facts += [(heading, show(page.run[name])) for heading, (name, show) in _FACTS.items()]
    tables = (
        (_MEASUREMENTS, page.measurements),
        (_INTERVALS, page.intervals),
        (_CONFIGS, page.configs),
        (files, page.files),
        (_EVENTS, page.events),
    )
    return "\n\n".join([table(facts), *(_table(columns, rows) for columns, rows in tables if rows)])


def adopted_list(runs: Sequence[FoundRun]) -> str:
    """One line a run that was found."""
    heading = ("run", "began", "ended", "files", "size", "configuration", "directories")
    return table([heading, *map(_adopted, runs)])


def _adopted(found: FoundRun) -> tuple[str, ...]:
    times = (local_time(optional(to_text, each)) for each in (found.started_at, found.stopped_at))
    last = (size(found.size), found.config_name, ", ".join(found.directories))
    return (str(found.run.number), *times, str(len(found.files)), *last)


def run_diff(experiment: str, first: RunPage, second: RunPage) -> str:
    """A line for each setting, configuration and observable that differs; numbers are compared as they are shown."""
    numbers = (f"run {first.run['run_number']}", f"run {second.run['run_number']}")
    left, right = dict(_compared(first)), dict(_compared(second))
    rows = [(name, left.get(name, ""), right.get(name, "")) for name in left | right]
    differing = [row for row in rows if row[1] != row[2]]
    if not differing:
        return f"{numbers[0]} and {numbers[1]} of {experiment} have no recorded differences"
    return table([(experiment, *numbers), *differing])


def _compared(page: RunPage) -> Iterator[tuple[str, str]]:
    for heading in ("class", "title", "state", "quality", "duration", "configuration"):
        name, show = _RUNS[heading]
        yield heading, show(page.run[name])
    yield from configuration_texts(page.configs)
    for row in page.measurements:
        name = with_units(row)
        for heading in ("begin", "end", "mean"):
            column, show = _MEASUREMENTS[heading]
            yield f"{name} {heading}", show(row[column])
    yield "files", str(len(page.files))
    yield "GB", f"{sum(row['bytes'] for row in page.files) / 1e9:.3f}"
