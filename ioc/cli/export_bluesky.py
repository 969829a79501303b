"""Runs as Bluesky documents: one JSON list ``[name, document]`` per line, as the event model has them.

Every uid is made from the experiment, the run and its begin: exporting a run twice gives the same documents. A run has

- the stream ``baseline``: the values of all observables at its begin and at its end;
- for each observable a stream ``NAME_monitor``, as Bluesky's monitors have: one event per sample;
- the stream ``statistics``: one event per observable;
- the streams ``files``, a table with one event per .graw file, and ``graw``, their bytes as external data.

Events come in pages, so that a long run takes neither much space nor memory.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TextIO
from urllib.parse import quote
from uuid import NAMESPACE_DNS, UUID, uuid5

import click

from ioc import __version__
from ioc.errors import Refused
from ioc.model import DocumentState
from ioc.ports import FINISHED
from ioc.rundb.formats import as_text
from ioc.rundb.queries import Row, RunBook, SheetObservable, began_at
from ioc.rundb.selection import Selection
from ioc.rundb.times import read_time

Document = tuple[str, dict[str, Any]]

_EVENTS_AT_ONCE = 1000
_NUMBERS = frozenset({"float", "integer"})
_RESERVED = frozenset({"time", "seq_num"})
"""Columns that Tiled adds to the table of a stream; those of time stamps begin with ``ts_``."""
_STATISTICS: Mapping[str, str] = {
    "observable": "string",
    "units": "string",
    "minimum": "number",
    "maximum": "number",
    "mean": "number",
    "samples": "integer",
    "worst_severity": "integer",
    "disconnected_seconds": "number",
    "good_fraction": "number",
}
_FILES: Mapping[str, str] = {
    "router": "string",
    "source": "string",
    "host": "string",
    "path": "string",
    "bytes": "integer",
    "checksum": "string",
    "purged_at": "string",
}
_CONFIGURATION = ("ecc_server", "describe", "prepare", "configure", "config_digest")
_EXIT = {DocumentState.Complete: "success", DocumentState.Failed: "fail", DocumentState.Orphaned: "abort"}


def run_uid(experiment: str, run: Row) -> UUID:
    """The uid of a run: always the same one, in every export."""
    began = run["started_at"] or run["reserved_at"]
    return uuid5(uuid5(NAMESPACE_DNS, "attpc-ioc"), f"{experiment}/{run['run_number']}/{began}")


def write_bluesky(book: RunBook, selection: Selection, output: TextIO) -> None:
    """The documents of each run that has ended, one per line.

    Raises:
        Refused: a run that was named by its number is open.
    """
    for number in selection.numbers:
        if DocumentState(state := book.run(number)["state"]) not in FINISHED:
            raise Refused(f"run {number} is {state}, but must have ended: its documents are complete only then")
    for run in book.selected(selection):
        if DocumentState(run["state"]) not in FINISHED:
            click.echo(f"run {run['run_number']} is {run['state']}: it is left out until it has ended", err=True)
            continue
        for document in _Documents(book, run["run_number"], selection.observables):
            # Escapes instead of other letters: they are the same in every encoding, and no reader takes one for the
            # end of a line.
            output.write(json.dumps(document, allow_nan=False, default=as_text) + "\n")


class _Documents:
    """The documents of one run, in the order that the event model wants."""

    def __init__(self, book: RunBook, number: int, observables: Sequence[str]) -> None:
        self._book = book
        self._observables = observables
        self._page = book.page(number)
        self._run = self._page.run
        self._uid = run_uid(book.experiment, self._run)
        self._events: dict[str, int] = {}
        """Number of events of each stream."""

    def __iter__(self) -> Iterator[Document]:
        yield "start", self._start()
        measured = [row for row in self._page.measurements if not self._observables or row["name"] in self._observables]
        keys = _Keys()
        yield from self._baseline(measured, keys)
        for observable in self._book.sampled(self._run["run_number"], self._observables):
            yield from self._monitor(observable, keys.key(observable.id, observable.name))
        figures = [{**row, "observable": row["name"]} for row in measured]
        yield from self._table("statistics", _STATISTICS, figures, [self._ended] * len(figures))
        files = self._page.files
        yield from self._table("files", _FILES, files, [read_time(row["moved_at"]) or 0.0 for row in files])
        yield from self._graw(files)
        yield "stop", self._stop()

    @property
    def _began(self) -> float:
        return began_at(self._run)

    @property
    def _ended(self) -> float:
        """When it stopped; if it never ran, the time of its last event."""
        last = max((row["occurred_at"] for row in self._page.events), default=None)
        ended = read_time(self._run["stopped_at"] or last)
        return self._began if ended is None else max(self._began, ended)

    def _uid_of(self, *parts: object) -> str:
        return str(uuid5(self._uid, "/".join(map(str, parts))))

    def _start(self) -> dict[str, Any]:
        run = self._run
        return {
            "uid": str(self._uid),
            "time": self._began,
            "scan_id": run["run_number"],
            "plan_name": "attpc_run",
            "project": self._book.experiment,
            "experiment": self._book.experiment,
            **{name: run[name] for name in ("title", "run_class", "quality", "comment", "config_name")},
            "configurations": [{name: row[name] for name in _CONFIGURATION} for row in self._page.configs],
            "versions": {"attpc-ioc": __version__},
        }

    def _stop(self) -> dict[str, Any]:
        run = self._run
        return {
            "uid": self._uid_of("stop"),
            "run_start": str(self._uid),
            "time": self._ended,
            "exit_status": _EXIT[DocumentState(run["state"])],
            "reason": run["message"],
            "num_events": self._events,
            **{name: run[name] for name in ("state", "duration", "bytes", "good_fraction")},
        }

    def _descriptor(self, stream: str, keys: dict[str, dict[str, Any]]) -> Document:
        self._events[stream] = 0
        return "descriptor", {
            "uid": self._uid_of("descriptor", stream),
            "run_start": str(self._uid),
            "time": self._began,
            "name": stream,
            "data_keys": keys,
            "object_keys": {stream.removesuffix("_monitor"): list(keys)},
            "configuration": {},
            "hints": {},
        }

    def _page_of_events(self, stream: str, times: Sequence[float], data: Mapping[str, Sequence[Any]]) -> Document:
        first = self._events[stream] + 1
        self._events[stream] += len(times)
        numbers = list(range(first, first + len(times)))
        return "event_page", {
            "descriptor": self._uid_of("descriptor", stream),
            "uid": [self._uid_of("event", stream, number) for number in numbers],
            "seq_num": numbers,
            "time": times,
            "data": data,
            "timestamps": dict.fromkeys(data, times),
            "filled": {},
        }

    def _baseline(self, measured: Sequence[Row], keys: _Keys) -> Iterator[Document]:
        """Two events, with the values at the start and at the end."""
        described: dict[str, dict[str, Any]] = {}
        data: dict[str, list[Any]] = {}
        for row in measured:
            values = [row["begin_value"], row["end_value"]]
            dtype = _dtype(row["value_type"], any(isinstance(each, float) for each in values))
            key = keys.key(row["observable_id"], row["name"])
            described[key] = _data_key(dtype, _source(row["source_pv"]), row["units"])
            data[key] = [_value(each, dtype) for each in values]
        if described:
            yield self._descriptor("baseline", described)
            yield self._page_of_events("baseline", [self._began, self._ended], data)

    def _monitor(self, observable: SheetObservable, key: str) -> Iterator[Document]:
        """One event per sample; a gap and NaN have no value, which the status tells apart."""
        number, stream = self._run["run_number"], f"{key}_monitor"
        dtype = _dtype(observable.value_type, "real" in self._book.kinds(number, observable))
        source = _source(observable.pv)
        yield self._descriptor(
            stream,
            {
                key: _data_key(dtype, source, observable.units),
                f"{key}_severity": _data_key("integer", source),
                f"{key}_status": _data_key("string", source),
            },
        )
        samples = iter(self._book.samples(number, [observable]))
        while rows := list(itertools.islice(samples, _EVENTS_AT_ONCE)):
            data = {
                key: [_value(row["value"], dtype) for row in rows],
                f"{key}_severity": [row["severity"] for row in rows],
                f"{key}_status": [row["status"] for row in rows],
            }
            yield self._page_of_events(stream, [row["sampled_us"] / 1e6 for row in rows], data)

    def _table(
        self, stream: str, columns: Mapping[str, str], rows: Sequence[Row], times: Sequence[float]
    ) -> Iterator[Document]:
        """A stream with one event per row."""
        if not rows:
            return
        yield self._descriptor(stream, {name: _data_key(dtype, "run database") for name, dtype in columns.items()})
        for at in range(0, len(rows), _EVENTS_AT_ONCE):
            some = rows[at : at + _EVENTS_AT_ONCE]
            data = {name: [_value(row[name], dtype) for row in some] for name, dtype in columns.items()}
            yield self._page_of_events(stream, times[at : at + _EVENTS_AT_ONCE], data)

    def _graw(self, files: Sequence[Row]) -> Iterator[Document]:
        """Each file is one datum, an array of bytes: how many frames it has is not known here.

        Files that were purged cannot be read.
        """
        files = [row for row in files if row["purged_at"] is None]
        if not files:
            return
        keys = _Keys()
        names = [keys.key(row["id"], PurePosixPath(row["path"]).stem) for row in files]
        described = {
            name: _data_key("array", f"{row['host']}:{row['path']}", shape=[row["bytes"]], numpy="|u1")
            | {"external": "STREAM:"}
            for name, row in zip(names, files, strict=True)
        }
        yield self._descriptor("graw", described)
        self._events["graw"] = 1
        for name, row in zip(names, files, strict=True):
            resource = self._uid_of("resource", row["host"], row["path"])
            yield (
                "stream_resource",
                {
                    "uid": resource,
                    "run_start": str(self._uid),
                    "data_key": name,
                    "mimetype": "application/octet-stream",
                    "uri": f"file://{quote(row['host'])}{quote(row['path'])}",
                    "parameters": {each: row[each] for each in ("router", "source", "bytes")},
                },
            )
            yield (
                "stream_datum",
                {
                    "uid": self._uid_of("datum", row["host"], row["path"]),
                    "stream_resource": resource,
                    "descriptor": self._uid_of("descriptor", "graw"),
                    "indices": {"start": 0, "stop": 1},
                    "seq_nums": {"start": 1, "stop": 2},
                },
            )


class _Keys:
    """Data keys by id; a name that several have in a run, or that Tiled uses itself, is changed."""

    def __init__(self) -> None:
        self._keys: dict[int, str] = {}
        self._taken = set[str]()

    def key(self, owner: int, name: str) -> str:
        if owner not in self._keys:
            name = name.replace(".", "_").replace("/", "_")  # which the event model has for other things
            if name.lower() in _RESERVED or name.lower().startswith("ts_"):
                name = f"obs_{name}"
            names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
            # The tables of a database do not tell upper from lower case.
            self._keys[owner] = next(each for each in names if each.lower() not in self._taken)
            self._taken.add(self._keys[owner].lower())
        return self._keys[owner]


def _source(pv: str | None) -> str:
    """As ophyd writes it."""
    return "manual" if pv is None else pv if "://" in pv else f"ca://{pv}"


def _dtype(value_type: str, has_fractions: bool) -> str:
    """A source may return a fraction or infinity even for whole numbers."""
    if value_type not in _NUMBERS:
        return "string"
    return "integer" if value_type == "integer" and not has_fractions else "number"


def _data_key(
    dtype: str, source: str, units: str | None = None, *, shape: Sequence[int] = (), numpy: str | None = None
) -> dict[str, Any]:
    numpy = numpy or {"number": "<f8", "integer": "<i8"}.get(dtype)
    return {
        "source": source,
        "dtype": dtype,
        "shape": list(shape),
        **({"dtype_numpy": numpy} if numpy else {}),
        **({"units": units} if units else {}),
    }


def _value(value: Any, dtype: str) -> Any:
    """The value with the type of its data key; null for what that cannot be, above all what JSON lacks."""
    if value is None:
        return None
    if dtype == "string":
        return str(value)
    if isinstance(value, str) or not math.isfinite(value):
        return None
    return float(value) if dtype == "number" else int(value)
