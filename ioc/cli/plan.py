"""``attpc-ioc plan``: check a plan of runs, and start it in the running IOC.

Modules that only one of both needs are imported there.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from ioc.cli.options import PathName, topology_option
from ioc.cli.output import count, table
from ioc.cli.running import CONNECT_SECONDS, is_served, put, text
from ioc.errors import PeerError
from ioc.model import PlannedRun


@click.command()
@click.argument("file", type=PathName(dir_okay=False))
@topology_option
@click.option("--check", is_flag=True, help="Only check the plan and print it.")
def plan(file: Path, topology: Path, check: bool) -> None:
    """Take the runs listed in FILE (YAML) one after the other.

    Every error in the plan is reported with its line. The running IOC, found by Channel Access, reads FILE on its own
    machine and keeps a copy. With --check, nothing is started.
    """
    from ioc.topology.load import load
    from ioc.topology.run_plan import load_plan

    installation, path = load(topology), str(file.absolute())
    runs = load_plan(path, installation.observables)
    click.echo(_shown(runs))
    if not check:
        click.echo(asyncio.run(_start(f"{installation.prefix}Auto:", path)))


def _shown(runs: Sequence[PlannedRun]) -> str:
    rows = [
        (
            str(number),
            "" if run.title is None else run.title,
            "" if run.run_class is None else run.run_class.name,
            f"{run.minutes:g}" if run.minutes else "",
            f"{run.gb:g}" if run.gb else "",
            ", ".join(f"{name}={value}" for name, value in run.manual),
            ", ".join(f"{wait.observable} {wait.window.text(wait.units)}" for wait in run.wait_for),
        )
        for number, run in enumerate(runs, start=1)
    ]
    longest = sum(run.minutes for run in runs)
    open_ended = sum(1 for run in runs if not run.minutes)
    rest = f", and {open_ended} without a limit of time" if open_ended else ""
    heading = ("run", "title", "class", "minutes", "GB", "manual values", "waits for")
    return f"{table([heading, *rows])}\n{count(len(runs), 'run')}: at most {longest / 60:.1f} h of data{rest}"


async def _start(prefix: str, path: str) -> str:
    """Give the plan to the IOC, and turn automatic runs on; returns what the IOC says.

    Raises:
        PeerError: no IOC answers.
        Refused: it refuses the plan, or to start it.
    """
    pv, message = f"{prefix}Plan", f"{prefix}Message"
    if not await is_served(pv):
        raise PeerError(
            f"no IOC answers for {pv} within {CONNECT_SECONDS:g} s: it must run, and EPICS_CA_ADDR_LIST "
            "must name its machine or network"
        )
    await put(pv, path, message)
    await put(f"{prefix}Enable", 1, message)
    return f"started; {message}: {await text(message)}"
