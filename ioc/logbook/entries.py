"""The text of an entry, from the rows of the run database. Pure.

An entry is made once as a list of facts and tables, then written as CommonMark (Olog, Markdown file) or as plain text
(Elog). Everything that people typed is escaped: a title with markup or HTML is shown as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ioc.logbook.occasions import Kind, Occasion
from ioc.model import RunQuality, RunRecord
from ioc.rundb.queries import Row, RunPage

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
    tables = (
        _conditions(page.measurements, ended=ended),
        _table("Configuration", ("server", "describe", "prepare", "configure"), map(_config, page.configs)),
        *((_intervals(page.intervals), _files(page.files)) if ended else ()),
    )
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
    yield "Started", _time(record.started_at)
    if ended:
        yield "Stopped", _time(record.stopped_at)
        yield "Duration", "" if record.duration is None else _clock(record.duration)
        yield "Size", _size(row["bytes"] or record.size)
        good = row["good_fraction"]
        yield "Good time", "" if good is None else f"{100 * good:.1f} %"
        yield "State", record.state.value
    yield "Configuration", _line(record.config_name)
    yield "Quality", "" if record.quality is RunQuality.Unknown else record.quality.name
    yield "Comment", _line(record.comment)


def _conditions(rows: Sequence[Row], *, ended: bool) -> Table:
    if not ended:
        return _table("Conditions", ("observable", "begin", "units"), map(_begin, rows))
    columns = ("observable", "begin", "end", "min", "max", "mean", "units")
    return _table("Conditions", columns, map(_measured, rows))


def _begin(row: Row) -> tuple[str, ...]:
    return row["name"], _value(row["begin_value"]), row["units"]


def _measured(row: Row) -> tuple[str, ...]:
    values = ("begin_value", "end_value", "minimum", "maximum", "mean")
    return row["name"], *(_value(row[column]) for column in values), row["units"]


def _config(row: Row) -> tuple[str, ...]:
    return row["ecc_server"], row["describe"], row["prepare"], row["configure"]


def _intervals(rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> tuple[str, ...]:
        return row["interlock"], _stored_time(row["began_at"]), _stored_time(row["ended_at"]), row["reason"]

    return _table("Bad times", ("interlock", "from", "until", "reason"), map(cells, rows))


def _files(rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> tuple[str, ...]:
        return row["router"], row["host"], row["path"], _size(row["bytes"])

    return _table("Files", ("router", "host", "file", "size"), map(cells, rows))


def _table(heading: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    shown = tuple(tuple(_line(cell) for cell in row) for row in rows)
    return Table(heading, columns, shown[:_MOST_ROWS], max(0, len(shown) - _MOST_ROWS))


def as_markdown(entry: Entry, picture: str = "") -> str:
    """Return the entry as CommonMark with tables (GFM), without its title; `picture` is the name of its plot."""
    parts = ["\n".join(f"- **{name}:** {escaped(text)}" for name, text in entry.facts)]
    if entry.problems:
        parts.append("### What went wrong")
        parts.append("\n".join(f"- {_BLOCK.sub(_backslash, escaped(text))}" for text in entry.problems))
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


def _backslash(digits: re.Match[str]) -> str:
    return f"{digits[1]}\\"


def _line(text: Any) -> str:
    """One line of printable characters."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(text)).split()
    line = " ".join(words)
    return line if len(line) <= _MOST_TEXT else f"{line[: _MOST_TEXT - 1]}…"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _stored_time(text: str | None) -> str:
    return "" if text is None else _local(datetime.fromisoformat(text))


def _time(posix: float | None) -> str:
    return "" if posix is None else _local(datetime.fromtimestamp(posix).astimezone())


def _local(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    amount, units = count / 1000, iter(("kB", "MB", "GB", "TB"))
    unit = next(units)
    for larger in units:
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}"
