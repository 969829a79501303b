"""``runs list`` and ``runs show`` for programs: one JSON document, with the names of the run database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from ioc.rundb.formats import as_text
from ioc.rundb.queries import Row, RunPage
from ioc.rundb.sheet_lines import Line

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


def write_list(experiment: str, lines: Iterable[Line], output: TextIO) -> None:
    """Runs, given as lines with the values of `RUN`, one after the other: a large experiment takes no more memory."""
    output.write(f'{{"experiment": {json.dumps(experiment)}, "runs": [')
    before = "\n"
    encode = _encoder().encode
    for line in lines:
        output.write(before + encode(dict(zip(RUN, map(for_json, line), strict=True))))
        before = ",\n"
    output.write("\n]}\n")


def write_page(experiment: str, page: RunPage, output: TextIO) -> None:
    tables: dict[str, Sequence[Row]] = {
        "observables": page.measurements,
        "intervals": page.intervals,
        "configs": page.configs,
        "files": page.files,
        "events": page.events,
    }
    parts = {name: [_picked(row, columns) for row in tables[name]] for name, columns in PARTS.items()}
    document = {"experiment": experiment, "run": _picked(page.run, RUN), **parts}
    output.write(_encoder(indent=2).encode(document) + "\n")


def for_json(value: Any) -> Any:
    """JSON has no infinity, which becomes a text, no NaN, which becomes null, and no bytes."""
    if isinstance(value, bytes):  # another program wrote them
        return as_text(value)
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _picked(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    return {name: for_json(row[name]) for name in columns}


def _encoder(indent: int | None = None) -> json.JSONEncoder:
    # Letters beyond ASCII are escaped: the same document in every encoding of standard output.
    return json.JSONEncoder(indent=indent, allow_nan=False)
