"""``attpc-ioc runs dataset``: the run database as Parquet files, of which only those that changed are written again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ioc.cli.dataset_folder import NO_EXPERIMENT, NO_RUN, DatasetFolder, Part, partition
from ioc.cli.options import PathName, database_of, database_option, topology_option
from ioc.cli.output import progress, reason
from ioc.cli.parquet import arrow, schema_of, tables_of, tables_of_samples, write_tables
from ioc.errors import Refused
from ioc.rundb.dataset import EVENTS, OF_A_RUN, SAMPLES, TABLES, DataReader, DataRun, DataTable, Rows, Series

_RUNS_AT_ONCE = 200


@click.command("dataset")
@click.argument("directory", type=PathName(file_okay=False))
@topology_option
@database_option
@click.option("--experiment", help="Only this experiment; default: all.")
def dataset_command(directory: Path, topology: Path, database: Path | None, experiment: str | None) -> None:
    """Write the database into DIRECTORY as Parquet, or update it (needs pyarrow).

    DuckDB, Polars, pandas, Dask, Spark and others can read it. An update writes only files that have changed, so you
    can run it often, even during a run. DIRECTORY must be new, empty or a data set.
    """
    write_dataset(database_of(topology, database), directory, experiment)


def write_dataset(database: Path, directory: Path, experiment: str | None) -> None:
    """Bring the data set in a directory up to date: all experiments, or one.

    Raises:
        PeerError: the database cannot be read.
        Refused: no such experiment; the directory cannot be written, or is of another database; pyarrow is missing.
    """
    pa = arrow()
    try:
        with (
            DataReader(database, experiment) as reader,
            DatasetFolder(directory, [table.name for table in TABLES]) as folder,
        ):
            kept = _update(folder, reader, _Parts(pa, reader), everything=experiment is None)
    except OSError as error:
        raise Refused(f"{directory} cannot be written: {reason(error)}") from error
    click.echo(f"{directory}: {folder.written} files written, {folder.unchanged} unchanged, {folder.removed} removed")
    if kept:
        click.echo(f"unchanged, because they are not in {database}: {', '.join(kept)}")


def _update(folder: DatasetFolder, reader: DataReader, parts: _Parts, *, everything: bool) -> list[str]:
    """Write what is new or changed, then remove what is gone; returns the experiments of other databases."""
    created = reader.all_experiments
    for name in reader.experiments:
        if folder.experiments.get(name, created[name]) != created[name]:
            raise Refused(
                f"experiment {name} in {folder.root} is from another run database, where it was created at "
                f"{folder.experiments[name]}: name another directory"
            )
    others = [name for name in folder.experiments if name not in created] if everything else []
    renamed = [name for name in others if folder.experiments[name] in created.values()]
    folder.add_experiments((name, created[name]) for name in reader.experiments)
    folder.put(parts.schemas())
    runs = reader.runs()
    with progress(range(0, len(runs), _RUNS_AT_ONCE), len(runs) // _RUNS_AT_ONCE + 1, "writing") as places:
        for place in places:
            folder.put(parts.of_runs(runs[place : place + _RUNS_AT_ONCE]))
    for name in reader.experiments:
        folder.put(parts.between_runs(name))
    if everything:
        for part in parts.of_no_run():  # one day in memory, not all
            folder.put([part])
    folder.remove_others([*reader.experiments, *renamed, *([NO_EXPERIMENT] if everything else [])])
    folder.forget_experiments(renamed)
    return [name for name in others if name not in renamed]


class _Parts:
    """The files that the data set must have."""

    def __init__(self, pa: Any, reader: DataReader) -> None:
        self._pa = pa
        self._reader = reader

    def schemas(self) -> Iterator[Part]:
        """A file without rows for each table, so that all of them can be read from the beginning."""
        return (self._of_rows(table, partition(table.name, NO_EXPERIMENT, NO_RUN, "schema"), ()) for table in TABLES)

    def of_runs(self, runs: Sequence[DataRun]) -> Iterator[Part]:
        for table in OF_A_RUN:
            rows = self._reader.rows(table, runs)
            for run in runs:
                if run.id in rows:
                    yield self._of_rows(table, partition(table.name, run.experiment, run.number), rows[run.id])
        series = self._reader.series(runs)
        for run in runs:
            if run.id in series:
                path = partition(SAMPLES.name, run.experiment, run.number)
                yield self._of_samples(path, series[run.id], always=run.is_open)

    def between_runs(self, experiment: str) -> Iterator[Part]:
        """A file for each day with samples of an experiment that are of no run."""
        for day, series in self._reader.days_between_runs(experiment).items():
            yield self._of_samples(partition(SAMPLES.name, experiment, NO_RUN, day), series)

    def of_no_run(self) -> Iterator[Part]:
        """A file for each day with events that are of no run, and so of no experiment."""
        for day in self._reader.days_of_events():
            path = partition(EVENTS.name, NO_EXPERIMENT, NO_RUN, day)
            yield self._of_rows(EVENTS, path, self._reader.events_of_day(day))

    def _of_rows(self, table: DataTable, path: str, rows: Rows) -> Part:
        schema = schema_of(self._pa, table)

        def write(output: Path) -> None:
            write_tables(self._pa, schema, tables_of(self._pa, schema, rows), output)

        return Part(path, self._fingerprint(table, rows), write)

    def _of_samples(self, path: str, series: Sequence[Series], *, always: bool = False) -> Part:
        schema = schema_of(self._pa, SAMPLES)

        def write(output: Path) -> None:
            write_tables(self._pa, schema, tables_of_samples(self._pa, schema, self._reader.pages(series)), output)

        # What samples a series has is told by its first and last one, and by the number that its statistics have.
        fingerprint = self._fingerprint(SAMPLES, [each[2:] for each in series])
        return Part(path, "" if always else fingerprint, write)

    @staticmethod
    def _fingerprint(table: DataTable, content: Sequence[Any]) -> str:
        return hashlib.blake2b(f"{table.columns!r}{content!r}".encode(), digest_size=16).hexdigest()
