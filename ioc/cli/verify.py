"""``attpc-ioc runs verify``: looks whether the files of runs are whole."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any

import click

from ioc.archive.verify import Finding, KnownFile, KnownRun, verify
from ioc.archive.verify_copies import verify_copies
from ioc.cli.output import table
from ioc.cli.texts import size
from ioc.errors import Refused
from ioc.hosts import build_hosts, host_with, this_machine, way_to
from ioc.model import DocumentState, RunId
from ioc.ports import FINISHED
from ioc.rundb.connection import open_for_reading, peer_error
from ioc.rundb.copies import OldFile, copied_files
from ioc.rundb.queries import RunBook
from ioc.topology.schema import Topology


def verify_runs(
    book: RunBook, topology: Topology, numbers: Sequence[int], *, deep: bool, copies: bool, as_json: bool
) -> bool:
    """Look at the files of these runs, or of all that have ended, and print what is wrong; True if nothing is.

    Raises:
        Refused: there is no such run, or it has not ended.
    """
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
        return not findings
    if findings:
        click.echo(table([("run", "problem", "host", "file", "detail"), *map(_row, findings)]))
    what = f"{_count(len(runs), 'run')} of {book.experiment} with {_count(len(files), 'file')}"
    total_text = size(sum(file.size for file in files)) or "0 B"
    how = "every checksum computed anew" if deep else "names and sizes compared"
    verdict = f"{_count(len(findings), 'problem')}" if findings else "all whole"
    click.echo(f"{what} ({total_text}): {verdict} ({how})")
    return not findings


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
    with closing(open_for_reading(book.path)) as db:
        try:
            return copied_files(db, book.experiment, numbers)
        except sqlite3.Error as error:
            raise peer_error(book.path, error) from error


def _known(book: RunBook, number: int) -> KnownRun:
    run = RunId(book.experiment, number)
    rows, others = book.files(number)
    files = [
        KnownFile(run, row["router"], row["host"], row["path"], row["bytes"], row["checksum"] or "") for row in rows
    ]
    return KnownRun(run, files, others)


def _row(finding: Finding) -> tuple[str, ...]:
    number = "" if finding.run is None else str(finding.run.number)
    return (number, finding.fault.value, finding.host, finding.path, finding.detail)


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
        "problems": [
            {
                "run": None if finding.run is None else finding.run.number,
                "problem": finding.fault.value,
                "host": finding.host,
                "path": finding.path,
                "detail": finding.detail,
            }
            for finding in findings
        ],
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
