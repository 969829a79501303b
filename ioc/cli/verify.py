"""``attpc-ioc runs verify``: looks whether the files of runs are whole."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import click

from ioc.archive.verify import Finding, KnownFile, KnownRun, verify, verify_copies
from ioc.cli.output import count, table
from ioc.cli.runs import numbers_argument, with_book
from ioc.cli.texts import size
from ioc.errors import Refused
from ioc.hosts import build_hosts, host_with, this_machine, way_to
from ioc.model import DocumentState, RunId
from ioc.ports import FINISHED
from ioc.rundb.connection import reading
from ioc.rundb.copies import OldFile, copied_files
from ioc.rundb.queries import RunBook
from ioc.topology.load import load
from ioc.topology.schema import Topology


@click.command("verify")
@numbers_argument
@click.option("--deep", is_flag=True, help="Also read all files and compare their checksums.")
@click.option("--copies", is_flag=True, help="Also check the safe copies, including those of removed files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_book
@click.pass_context
def verify_command(
    context: click.Context, *, book: RunBook, numbers: tuple[int, ...], deep: bool, copies: bool, as_json: bool
) -> None:
    """Check on the hosts whether the files of runs are intact. Default: all finished runs.

    Lists files that are missing, changed, unreadable, without checksum or not in the database, and hosts that cannot be
    reached. The exit code is 1 if there are any. It changes nothing, and the IOC can be running.

    Without --deep, it does not find changes that keep the size of a file.
    """
    topology = context.obj or load(context.params["topology"])
    runs = [_known(book, number) for number in _chosen(book, numbers)]
    total = sum(file.size for run in runs for file in run.files if file.checksum)
    bar: Any = nullcontext()
    if deep and sys.stderr.isatty():
        bar = click.progressbar(length=total, label="reading", file=sys.stderr)
    with bar as shown:

        def read(file: KnownFile) -> None:
            if shown is not None:
                shown.update(file.size)

        copied = _copied(book, numbers) if copies else ()
        findings = asyncio.run(_verify(topology, runs, copied, deep, read))
    files = [file for run in runs for file in run.files]
    if as_json:
        click.echo(json.dumps(_document(book.experiment, runs, files, findings, deep), indent=2))
        sys.exit(1 if findings else 0)
    if findings:
        rows = [["" if value is None else str(value) for value in _shown(finding).values()] for finding in findings]
        click.echo(table([("run", "problem", "host", "file", "detail"), *rows]))
    what = f"{count(len(runs), 'run')} of {book.experiment} with {count(len(files), 'file')}"
    total_text = size(sum(file.size for file in files)) or "0 B"
    how = "every checksum computed anew" if deep else "names and sizes compared"
    verdict = f"{count(len(findings), 'problem')}" if findings else "all whole"
    click.echo(f"{what} ({total_text}): {verdict} ({how})")
    sys.exit(1 if findings else 0)


async def _verify(
    topology: Topology,
    runs: Sequence[KnownRun],
    copied: Sequence[OldFile],
    deep: bool,
    read: Callable[[KnownFile], None],
) -> list[Finding]:
    hosts = build_hosts(topology)
    places = {(file.host, file.router) for run in runs for file in run.files}
    strange = {host for host, router in places if host_with(hosts, host, router) is None}
    if here := {host for host in strange if way_to(topology, host, "") == "local"}:  # the demo's, and adopted ones
        hosts = (*hosts, this_machine(topology, here))
    over = threading.Event()
    work_dirs = {router.name: router.work_dir for router in topology.data_routers if router.work_dir}
    try:
        findings = await verify(runs, hosts, work_dirs, deep=deep, read=read)
        if copied:
            look = asyncio.to_thread(verify_copies, copied, hosts, topology.archive, over, deep=deep)
            findings += await look
        return findings
    finally:
        over.set()
        await asyncio.gather(*(host.close() for host in hosts))


def _chosen(book: RunBook, numbers: Sequence[int]) -> Sequence[int]:
    for number in numbers:
        if (state := DocumentState(book.run(number)["state"])) not in FINISHED:
            raise Refused(f"run {number} is {state.value}: its files can be verified when it has ended")
    ended = (run["run_number"] for run in book.runs() if DocumentState(run["state"]) in FINISHED)
    return sorted(set(numbers)) if numbers else list(ended)


def _copied(book: RunBook, numbers: Sequence[int]) -> Sequence[OldFile]:
    with reading(book.path) as db:
        return copied_files(db, book.experiment, numbers)


def _known(book: RunBook, number: int) -> KnownRun:
    run = RunId(book.experiment, number)
    rows, others = book.files(number)
    files = [
        KnownFile(run, row["router"], row["host"], row["path"], row["bytes"], row["checksum"] or "") for row in rows
    ]
    return KnownRun(run, files, others)


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        "run": None if finding.run is None else finding.run.number,
        "problem": finding.fault.value,
        "host": finding.host,
        "path": finding.path,
        "detail": finding.detail,
    }


def _document(
    experiment: str, runs: Sequence[KnownRun], files: Sequence[KnownFile], findings: Sequence[Finding], deep: bool
) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "runs": [run.run.number for run in runs],
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "deep": deep,
        "whole": not findings,
        "problems": list(map(_shown, findings)),
    }
