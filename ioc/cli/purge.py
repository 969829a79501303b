"""``attpc-ioc runs purge``: removes files that have enough safe copies."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import click

from ioc.archive.purge import Plan, Purger
from ioc.cli.options import Age, WholeNumber
from ioc.cli.output import say_error, table
from ioc.cli.runs import numbers_argument, this_client, with_book
from ioc.cli.texts import size
from ioc.errors import Refused
from ioc.hosts import MachineHost, build_hosts
from ioc.rundb.connection import reading
from ioc.rundb.copies import OldFile, old_files, old_runs
from ioc.rundb.queries import RunBook
from ioc.topology.load import load
from ioc.topology.schema import Topology

_MOST_LINES = 50


@click.command()
@numbers_argument
@click.option(
    "--older-than", "age", type=Age(), required=True, help="Only runs that ended at least this long ago: 12h, 30d, 8w."
)
@click.option(
    "--copies", type=WholeNumber(1, 100), required=True, help="Number of verified copies that a file must have."
)
@click.option("--deep", is_flag=True, help="Also compute the checksums of the copies again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_book
@click.pass_obj
def purge(
    topology: Topology | None,
    *,
    book: RunBook,
    numbers: tuple[int, ...],
    age: float,
    copies: int,
    deep: bool,
    yes: bool,
) -> None:
    """Remove data files that have enough verified copies.

    It removes files only of complete runs: of the given runs, or without NUMBER of all. It first checks each copy
    again, and shows which files it would remove, which stay and why. The exit code is 1 if a host or destination could
    not be checked.
    """
    topology = topology or load(Path("topology.yaml"))
    if len(topology.archive) < copies:
        raise Refused(
            f"--copies {copies} cannot be satisfied: archive in the topology has {len(topology.archive)} destinations"
        )
    files = _files(book, numbers, time.time() - age)
    with _hosts(topology) as hosts:
        purger = Purger(hosts, topology.archive, copies, deep=deep)
        plan = purger.plan(files)
        purger.mark_lost(plan, book.path)
        _show(plan)
        failed = bool(plan.unreachable)
        if plan.remove and not yes:
            if not sys.stdin.isatty():
                raise Refused("nothing was removed: use --yes, because there is no terminal to ask")
            if not click.confirm(f"Remove these {len(plan.remove)} files?"):
                click.echo("Nothing was removed.")
                plan.remove.clear()
        removed = 0
        for file, reason in purger.carry_out(plan, book.path, this_client(socket.gethostname())):
            if reason:
                failed = True
                say_error(f"{file.run}, {file.host}, {file.path}: {reason}")
            else:
                removed += 1
                click.echo(f"removed {file.host}:{file.path}")
        if plan.remove:
            click.echo(f"{removed} of {len(plan.remove)} files removed")
    sys.exit(1 if failed else 0)


def _files(book: RunBook, numbers: Collection[int], before: float) -> list[OldFile]:
    with reading(book.path) as db:
        found = {run.number: run.state for run in old_runs(db, book.experiment, numbers)}
        for number in numbers:
            if number not in found:
                raise Refused(f"experiment {book.experiment} has no run {number}")
            if found[number] != "complete":
                raise Refused(f"run {number} is {found[number]}: files are removed only of complete runs")
        return old_files(db, book.experiment, before, numbers)


@contextmanager
def _hosts(topology: Topology) -> Generator[Sequence[MachineHost]]:
    hosts = [host for host in build_hosts(topology) if host.routers]

    async def close() -> None:
        await asyncio.gather(*(host.close() for host in hosts))

    try:
        yield hosts
    finally:
        asyncio.run(close())


def _show(plan: Plan) -> None:
    lines = [("host", "runs", "files", "size")]
    by_host: dict[str, list[OldFile]] = {}
    for file, _ in plan.remove:
        by_host.setdefault(file.host, []).append(file)
    for host, its in by_host.items():
        numbers = sorted({file.run.number for file in its})
        runs = ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
        lines.append((host, runs, str(len(its)), size(sum(file.size for file in its))))
    if plan.remove:
        click.echo("These files have enough verified copies:")
        click.echo(table(lines))
    else:
        click.echo("No file can be removed.")
    if plan.gone:
        click.echo(f"{len(plan.gone)} files were removed by an interrupted call; they are marked now.")
    _show_refused(plan)
    if plan.lost:
        click.echo(f"{len(plan.lost)} copies are missing or bad; the IOC makes them again.")
    for what, reason in plan.unreachable.items():
        say_error(f"{what}: {reason}")


def _show_refused(plan: Plan) -> None:
    def key(item: tuple[OldFile, str]) -> tuple[int, str, str]:
        return item[0].run.number, item[0].host, item[1]

    groups = [(key, len(list(its))) for key, its in groupby(sorted(plan.refused, key=key), key=key)]
    if not groups:
        return
    click.echo(f"{len(plan.refused)} files stay:")
    lines = [("run", "host", "files", "because")]
    lines += [(str(number), host, str(count), reason) for (number, host, reason), count in groups[:_MOST_LINES]]
    click.echo(table(lines))
    if len(groups) > _MOST_LINES:
        click.echo(f"and {len(groups) - _MOST_LINES} more lines like these")
