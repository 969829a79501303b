# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Runs as an HDF5 file with the names of NeXus where it has some: an ``NXentry`` per run.

A number is an ``NXlog``. NeXus has no log of texts: a text is an ``NXcollection`` with the same names. Data without a
NeXus name have their name in the run database.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ioc import __version__
from ioc.cli.export_bluesky import run_uid
from ioc.cli.extras import required
from ioc.rundb.formats import as_text
from ioc.rundb.queries import Row, RunBook, SheetObservable, began_at
from ioc.rundb.selection import Selection
from ioc.rundb.times import to_microseconds, to_text

_SAMPLES_AT_ONCE = 16_384
_OF_THE_RUN = ("run_class", "state", "quality", "comment", "message", "config_name", "duration", "bytes")
_UNITS = {"duration": "s", "bytes": "B", "disconnected_seconds": "s"}
_AVERAGES = {"minimum": "minimum_value", "maximum": "maximum_value", "mean": "average_value"}
"""The names of NXlog for those of the database."""
_STATISTICS = {
    **dict.fromkeys(("name", "units"), "text"),
    **dict.fromkeys(("begin_value", "end_value", "minimum", "maximum", "mean"), "f8"),
    **dict.fromkeys(("samples", "worst_severity"), "i8"),
    **dict.fromkeys(("disconnected_seconds", "good_fraction"), "f8"),
}
_FILES = {**dict.fromkeys(("router", "source", "host", "path", "checksum", "purged_at"), "text"), "bytes": "i8"}


def write_hdf5(book: RunBook, selection: Selection, output: Path) -> None:
    """A group per run, with the samples and statistics of its observables and the list of its files.

    Raises:
        Refused: h5py is not installed.
    """
    h5py = required("h5py", "hdf5", "HDF5 needs h5py")
    # HDF5's own files crash the process when the disk is full; those of Python raise OSError.
    with output.open("w+b") as stream, h5py.File(stream, "w", libver=("v108", "v110")) as file:
        file.attrs.update({"NX_class": "NXroot", "creator": "attpc-ioc", "creator_version": __version__})
        writer = _Writer(h5py, book, selection.observables)
        for run in book.selected(selection):
            writer.write(file, run)


class _Writer:
    def __init__(self, h5py: Any, book: RunBook, observables: Sequence[str]) -> None:
        self._book = book
        self._observables = observables
        self._text = h5py.string_dtype()
        self._status = h5py.string_dtype(length=max(1, book.longest_status()))

    def write(self, file: Any, run: Row) -> None:
        entry = _group(file, f"run_{run['run_number']:04d}", "NXentry")
        began = began_at(run)
        texts = {
            "title": run["title"],
            "experiment_identifier": self._book.experiment,
            "collection_identifier": self._book.experiment,
            "entry_identifier": str(run["run_number"]),
            "entry_identifier_uuid": str(run_uid(self._book.experiment, run)),
            "program_name": "attpc-ioc",
            "start_time": run["started_at"],
            "end_time": run["stopped_at"],
        }
        for name, text in texts.items():
            self._put(entry, name, text)
        if isinstance(run["duration"], int | float):
            # NeXus wants a whole number; the exact one is in `run_sheet`.
            self._put(entry, "duration", round(run["duration"] * 1000), "ms")
        sheet = _group(entry, "run_sheet", "NXcollection")
        for name in _OF_THE_RUN:
            self._put(sheet, name, run[name], _UNITS.get(name))
        page = self._book.page(run["run_number"])
        figures = [row for row in page.measurements if not self._observables or row["name"] in self._observables]
        measured = {row["observable_id"]: row for row in figures}
        logs = _group(entry, "observables", "NXcollection")
        for each in self._book.sampled(run["run_number"], self._observables):
            self._observable(logs, run["run_number"], each, measured.get(each.id), began)
        self._table(entry, "statistics", figures, _STATISTICS)
        self._table(entry, "files", page.files, _FILES)

    def _table(self, entry: Any, name: str, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
        """An array per column: a data set for each value would take a hundred times as long."""
        if not rows:
            return
        table = _group(entry, name, "NXcollection")
        for column, kind in columns.items():
            if kind == "text":
                values = [_text_of(row[column]) for row in rows]
            else:
                values = [_number(row[column]) for row in rows]
            table.create_dataset(column, data=values, dtype=self._text if kind == "text" else kind)
            if column in _UNITS:
                table[column].attrs["units"] = _UNITS[column]
        if "begin_value" in columns:
            for column in ("begin", "end"):
                texts = [each if isinstance(each := row[f"{column}_value"], str) else None for row in rows]
                table.create_dataset(f"{column}_text", data=list(map(_text_of, texts)), dtype=self._text)

    def _observable(
        self, parent: Any, number: int, observable: SheetObservable, figures: Row | None, began: float
    ) -> None:
        is_text = observable.value_type not in {"float", "integer"}
        names = itertools.chain([observable.name], (f"{observable.name}_{again}" for again in itertools.count(2)))
        name = next(each for each in names if each not in parent)  # it may have changed its units in the run
        group = _group(parent, name, "NXcollection" if is_text else "NXlog")
        if observable.pv is not None:
            group.attrs["source_pv"] = observable.pv
        self._samples(group, number, observable, began, is_text=is_text)
        for ours, theirs in _AVERAGES.items():
            if not is_text and figures is not None and figures[ours] is not None:
                self._put(group, theirs, float(figures[ours]), observable.units)

    def _samples(self, group: Any, number: int, observable: SheetObservable, began: float, *, is_text: bool) -> None:
        """Time, value, severity and status of each sample; a number is NaN, a text empty where there is none."""
        whole = observable.value_type == "integer" and self._book.kinds(number, observable) <= {"integer"}
        kinds = {
            "time": "f8",
            "value": self._text if is_text else "i8" if whole else "f8",
            "alarm_severity": "i1",
            "alarm_status": self._status,
        }
        series: dict[str, Any] = {}
        for columns in self._columns(number, observable, began, is_text=is_text):
            for name, values in columns.items():
                if name not in series and len(values) < _SAMPLES_AT_ONCE:
                    series[name] = group.create_dataset(name, data=values, dtype=kinds[name])
                    continue
                if name not in series:
                    series[name] = group.create_dataset(
                        name, (0,), kinds[name], maxshape=(None,), chunks=(_SAMPLES_AT_ONCE,), compression="gzip"
                    )
                first = len(series[name])
                series[name].resize((first + len(values),))
                series[name][first:] = values
        series["time"].attrs.update({"units": "s", "start": to_text(began)})
        if observable.units:
            series["value"].attrs["units"] = observable.units

    def _columns(
        self, number: int, observable: SheetObservable, began: float, *, is_text: bool
    ) -> Iterator[dict[str, list[Any]]]:
        """Samples in portions; one that is empty if there are none."""
        samples = iter(self._book.samples(number, [observable]))
        zero_us = to_microseconds(began)
        portion: list[Row] | None = None
        while (rows := list(itertools.islice(samples, _SAMPLES_AT_ONCE))) or portion is None:
            portion = rows
            yield {
                "time": [(row["sampled_us"] - zero_us) / 1e6 for row in rows],
                "value": [_text_of(row["value"]) if is_text else _number(row["value"]) for row in rows],
                "alarm_severity": [row["severity"] for row in rows],
                "alarm_status": [row["status"].encode() for row in rows],  # h5py itself knows only ASCII
            }

    def _put(self, group: Any, name: str, value: Any, units: str | None = None) -> None:
        """A scalar; nothing if there is no value."""
        if value is None:
            return
        if isinstance(value, str | bytes):
            dataset = group.create_dataset(name, data=_text_of(value), dtype=self._text)
        else:
            dataset = group.create_dataset(name, data=value)
        if units:
            dataset.attrs["units"] = units


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _plain(text: str) -> str:
    """HDF5 ends a text at a NUL."""
    return text.replace("\0", "\ufffd")


def _text_of(value: Any) -> str:
    return "" if value is None else _plain(as_text(value))


def _number(value: Any) -> float:
    """NaN for values that are not numbers."""
    return value if isinstance(value, (int, float)) else math.nan
