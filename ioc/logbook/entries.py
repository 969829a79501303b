"""The text of an entry, from the rows of the run database. Pure.

An entry is made once as a list of facts and tables, then written as CommonMark (Olog, Markdown file) or as plain text
(Elog). Everything that people typed is escaped: a title with markup or HTML is shown as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ioc.logbook.occasions import Kind, Occasion
from ioc.model import RunQuality, RunRecord
from ioc.rundb.formats import duration, local_time, percent, size, value_text
from ioc.rundb.queries import Row, RunPage
from ioc.rundb.times import optional, to_text

_TITLE_LENGTH = 200
_MOST_ROWS = 200
"""Rows of a table beyond these are only counted."""
_MOST_TEXT = 2000
"""Characters of one text."""
_ESCAPED = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]#|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_BLOCK = re.compile(r"^(\d*)(?=[-+=.)])")
"""Where a text at the begin of a line could make a list, a heading or a rule."""
_Columns = Mapping[str, tuple[str, Callable[[Any], str]]]
"""Heading, column of the database, and the format of its value."""
_AT_START: _Columns = {"observable": ("name", str), "begin": ("begin_value", value_text), "units": ("units", str)}
_AT_END: _Columns = {
    "observable": ("name", str),
    "begin": ("begin_value", value_text),
    "end": ("end_value", value_text),
    "min": ("minimum", value_text),
    "max": ("maximum", value_text),
    "mean": ("mean", value_text),
    "units": ("units", str),
}
_CONFIGURATION: _Columns = {
    "server": ("ecc_server", str),
    "describe": ("describe", str),
    "prepare": ("prepare", str),
    "configure": ("configure", str),
}
_BAD_TIMES: _Columns = {
    "interlock": ("interlock", str),
    "from": ("began_at", local_time),
    "until": ("ended_at", local_time),
    "reason": ("reason", str),
}


def _size(count: int) -> str:
    return size(count) or "0 B"


_FILES: _Columns = {"router": ("router", str), "host": ("host", str), "file": ("path", str), "size": ("bytes", _size)}
_WORDS = {Kind.Start: "started", Kind.End: "ended", Kind.Failed: "failed"}


@dataclass(frozen=True)
class Table:
    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0
    """Rows that are left out."""


@dataclass(frozen=True)
class Entry:
    """An entry for any logbook."""

    id: str
    kind: Kind
    experiment: str
    number: int
    title: str
    """One line of plain text."""
    facts: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    """The problems of the run, one sentence each."""
    tables: tuple[Table, ...]


def compose(occasion: Occasion, page: RunPage) -> Entry:
    """Return the entry of a run. The record is newer than the row of the run in `page`, which may lag behind."""
    record, kind = occasion.record, occasion.kind
    run = record.run
    typed = _line(record.title)
    title = f"Run {run.number} {_WORDS[kind]}{f': {typed}' if typed else ''}"
    ended = kind is not Kind.Start
    tables = [
        _table("Conditions", _AT_END if ended else _AT_START, page.measurements),
        _table("Configuration", _CONFIGURATION, page.configs),
    ]
    if ended:
        tables += [_table("Bad times", _BAD_TIMES, page.intervals), _table("Files", _FILES, page.files)]
    return Entry(
        id=occasion.id,
        kind=kind,
        experiment=run.experiment,
        number=run.number,
        title=title[:_TITLE_LENGTH],
        facts=tuple((name, text) for name, text in _facts(record, page.run, ended=ended) if text),
        problems=tuple(_line(line) for line in record.message.splitlines()) if ended else (),
        tables=tuple(table for table in tables if table.rows),
    )


def _facts(record: RunRecord, row: Row, *, ended: bool) -> Iterable[tuple[str, str]]:
    yield "Experiment", _line(record.run.experiment)
    yield "Run", str(record.run.number)
    yield "Title", _line(record.title)
    yield "Class", record.run_class.name
    yield "Started", local_time(optional(to_text, record.started_at))
    if ended:
        yield "Stopped", local_time(optional(to_text, record.stopped_at))
        yield "Duration", duration(record.duration)
        yield "Size", _size(row["bytes"] or record.size)
        yield "Good time", percent(row["good_fraction"])
        yield "State", record.state.value
    yield "Configuration", _line(record.config_name)
    yield "Quality", "" if record.quality is RunQuality.Unknown else record.quality.name
    yield "Comment", _line(record.comment)


def _table(heading: str, columns: _Columns, rows: Sequence[Row]) -> Table:
    cells = tuple(tuple(_line(show(row[name])) for name, show in columns.values()) for row in rows[:_MOST_ROWS])
    return Table(heading, tuple(columns), cells, len(rows) - len(cells))


def as_markdown(entry: Entry, picture: str = "") -> str:
    """Return the entry as CommonMark with tables (GFM), without its title; `picture` is the name of its plot."""
    parts = ["\n".join(f"- **{name}:** {escaped(text)}" for name, text in entry.facts)]
    if entry.problems:
        parts.append("### What went wrong")
        parts.append("\n".join("- " + _BLOCK.sub(r"\1\\", escaped(text)) for text in entry.problems))
    for table in entry.tables:
        rows = [table.columns, ("---",) * len(table.columns), *(tuple(map(escaped, row)) for row in table.rows)]
        parts.append(f"### {table.heading}")
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
        if table.more:
            parts.append(f"and {table.more} more")
    if picture:
        parts.append(f"![observables of the run]({picture})")
    return "\n\n".join(parts) + "\n"


def as_text(entry: Entry) -> str:
    """Return the entry as plain text with aligned columns, without its title."""
    width = max((len(name) for name, _ in entry.facts), default=0)
    parts = ["\n".join(f"{name:<{width}}  {text}" for name, text in entry.facts)]
    if entry.problems:
        parts.append("\n".join(["What went wrong", *(f"  {text}" for text in entry.problems)]))
    for table in entry.tables:
        rows = (table.columns, *table.rows)
        widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        more = [f"and {table.more} more"] if table.more else []
        parts.append("\n".join([table.heading, *(f"  {line}" for line in (*lines, *more))]))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text that CommonMark shows unchanged inside a line."""
    return text.translate(_ESCAPED)


def _line(text: Any) -> str:
    """One line of printable characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    return line if len(line) <= _MOST_TEXT else f"{line[: _MOST_TEXT - 1]}…"
