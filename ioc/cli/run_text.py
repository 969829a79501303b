"""Runs as text for people: aligned columns, local times with their offset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ioc.model import Severity
from ioc.rundb.queries import Row, RunPage

_LARGEST_WHOLE = 1e15
"""Above it the last digits of a float mean nothing."""


def run_list(experiment: str, runs: Sequence[Row]) -> str:
    """One line a run."""
    lines = table(
        ("run", "class", "title", "state", "started", "duration", "size", "configuration"),
        [
            (
                str(run["run_number"]),
                run["run_class"],
                run["title"],
                run["state"],
                local_time(run["started_at"]),
                duration(run["duration"]),
                size(run["bytes"]),
                run["config_name"],
            )
            for run in runs
        ],
    )
    return f"Experiment {experiment}\n{lines}"


def run_page(experiment: str, page: RunPage) -> str:
    """Everything about one run."""
    run = page.run
    facts = [
        ("Run", f"{run['run_number']} of {experiment}"),
        ("Class", run["run_class"]),
        ("Title", run["title"]),
        ("State", run["state"]),
        ("Reserved", local_time(run["reserved_at"])),
        ("Started", local_time(run["started_at"])),
        ("Stopped", local_time(run["stopped_at"])),
        ("Duration", duration(run["duration"])),
        ("Size", size(run["bytes"])),
        ("Configuration", run["config_name"]),
        ("Message", run["message"]),
    ]
    parts = ["\n".join(f"{name:<14} {value}".rstrip() for name, value in facts)]
    if page.measurements:
        parts.append(_measurements(page.measurements))
    if page.configs:
        configs = [(row["ecc_server"], row["describe"], row["prepare"], row["configure"]) for row in page.configs]
        parts.append(table(("server", "describe", "prepare", "configure"), configs))
    if page.files:
        files = [(row["router"], row["source"], row["host"], size(row["bytes"]), row["path"]) for row in page.files]
        parts.append(table(("router", "source", "host", "size", "file"), files))
    if page.events:
        events = [
            (local_time(row["occurred_at"]), Severity(row["severity"]).name, row["source"], row["user"], row["message"])
            for row in page.events
        ]
        parts.append(table(("time", "severity", "source", "user", "event"), events))
    return "\n\n".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest entry; line breaks inside an entry become spaces."""
    lines = [[" ".join(cell.split()) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = "  ".join(f"{{:{width}}}" for width in widths)  # one call a line: a database may have 50,000 runs
    return "\n".join([form.format(*line).rstrip() for line in lines])


def local_time(text: str | None) -> str:
    """A time of the database as local time to the second, with its offset; empty for none."""
    if text is None:
        return ""
    return datetime.fromisoformat(text).astimezone().isoformat(sep=" ", timespec="seconds")


def duration(seconds: float | None) -> str:
    """HH:MM:SS; hours may pass 24."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"


def size(count: int) -> str:
    """Bytes in the unit that fits, of a thousand each; empty for none."""
    if count < 1000:
        return f"{count} B" if count else ""
    number, units = float(count), iter("kMGTPE")
    unit = next(units)
    number /= 1000
    while number >= 999.95:
        number, unit = number / 1000, next(units)
    return f"{number:.1f} {unit}B"


def value_text(value: object) -> str:
    """A stored value; empty for none. Whole numbers have all their digits, others six."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < _LARGEST_WHOLE else f"{value:.6g}"


def _measurements(rows: Sequence[Row]) -> str:
    header = ("observable", "units", "begin", "end", "min", "max", "mean", "samples", "worst", "disconnected")
    return table(
        header,
        [
            (
                row["name"],
                row["units"],
                *(value_text(row[key]) for key in ("begin_value", "end_value", "minimum", "maximum", "mean")),
                str(row["samples"]),
                Severity(row["worst_severity"]).name,
                f"{row['disconnected_seconds']:.1f} s" if row["disconnected_seconds"] else "",
            )
            for row in rows
        ],
    )
