"""``runs list`` and ``runs show`` for programs: one JSON document, with the names of the run database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from ioc.cli.export import for_json
from ioc.rundb.queries import Row, RunPage

RUN = (
    *("run_number", "run_class", "title", "state", "reserved_at", "started_at", "stopped_at", "duration"),
    *("config_name", "bytes", "quality", "comment", "good_fraction", "message", "adopted_at"),
)
"""Keys stay as they are: a new column of a table appears only when it is added here and documented."""
PARTS = {
    "observables": (
        *("name", "units", "value_type", "begin_value", "end_value", "minimum", "maximum", "mean", "samples"),
        *("worst_severity", "disconnected_seconds", "good_fraction"),
    ),
    "intervals": ("interlock", "began_at", "ended_at", "action", "reason", "low", "high", "value"),
    "configs": ("ecc_server", "describe", "prepare", "configure", "config_digest", "file_digests"),
    "files": ("router", "source", "host", "path", "bytes", "moved_at", "checksum", "checksummed_at", "purged_at"),
    "events": ("occurred_at", "severity", "source", "user", "host", "message"),
}


def write_list(experiment: str, runs: Iterable[Row], output: TextIO) -> None:
    """Runs one after the other: a large experiment takes no more memory."""
    output.write(f'{{"experiment": {json.dumps(experiment)}, "runs": [')
    before = "\n"
    for run in runs:
        output.write(before + _text(_picked(run, RUN)))
        before = ",\n"
    output.write("\n]}\n")


def write_page(experiment: str, page: RunPage, output: TextIO) -> None:
    """Everything about one run."""
    tables: dict[str, Sequence[Row]] = {
        "observables": page.measurements,
        "intervals": page.intervals,
        "configs": page.configs,
        "files": page.files,
        "events": page.events,
    }
    parts = {name: [_picked(row, columns) for row in tables[name]] for name, columns in PARTS.items()}
    output.write(_text({"experiment": experiment, "run": _picked(page.run, RUN), **parts}, indent=2) + "\n")


def _picked(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    return {name: for_json(row[name]) for name in columns}


def _text(document: Any, indent: int | None = None) -> str:
    # Letters beyond ASCII are escaped: the same document in every encoding of standard output.
    return json.dumps(document, indent=indent, allow_nan=False)
