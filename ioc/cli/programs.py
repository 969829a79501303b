"""Commands for the programs on the hosts: write their units, start, stop and ask for them.

Modules that only one command needs are imported in that command.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ioc.cli.options import PathName, topology_option
from ioc.cli.output import reason, say_error, table
from ioc.errors import PeerError
from ioc.topology.load import load

if TYPE_CHECKING:
    from ioc.hosts import Action

_names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")


@click.command()
@topology_option
@click.option(
    "--for",
    "manager",
    type=click.Choice(["systemd", "launchd"]),
    default="launchd" if sys.platform == "darwin" else "systemd",
    show_default="that of this machine",
    help="systemd units or launchd agents, for the IOC and for programs without `units` in the topology.",
)
@click.option(
    "--directory",
    type=PathName(file_okay=False),
    default=Path("units"),
    show_default=True,
    help="Directory for the files, one folder for each machine.",
)
def units(topology: Path, manager: str, directory: Path) -> None:
    """Write the units that start the IOC, the ECC servers and the data routers.

    Copy each folder to the machine that it is named after and run its install.sh there, as the user that the IOC logs
    in as. The folder "ioc" is for this machine; it also has a script for procServ. The command replaces existing files
    and removes those of programs that no longer exist; install.sh does the same on its machine.
    """
    from ioc.app.programs import without_units
    from ioc.app.units import replace_files, unit_files

    command = (str(Path(sys.argv[0]).absolute()), "run", "--topology", str(topology.absolute()))
    general = "systemd" if manager == "systemd" else "launchd"
    loaded = load(topology)
    files = unit_files(loaded, general, command, str(topology.absolute().parent), os.environ)
    try:
        abandoned = replace_files(directory, files)
    except OSError as error:
        raise PeerError(f"the units cannot be written to {directory}: {reason(error)}") from None
    folders = sorted({name.partition("/")[0] for name in files})
    click.echo(f"{len(files)} files in {directory}: {', '.join(folders)}; run install.sh of each on its machine")
    if abandoned:
        click.echo(f"no longer has programs: {', '.join(abandoned)}; its install.sh removes their units there")
    if without := without_units(loaded):
        click.echo(
            f"warning: the topology has no `units` for {', '.join(without)}: `attpc-ioc up` and the PVs Restart need "
            f"it, `units: {manager}`",
            err=True,
        )


@click.command()
@topology_option
@_names_argument
def up(topology: Path, names: tuple[str, ...]) -> None:
    """Start programs on their hosts through their units.

    NAME is an ECC server, a data router or "ioc"; without one, all are started. Programs that are already running
    continue. If a program has no `units` in the topology, it is listed, and the exit code is 1.
    """
    _act(topology, "start", names)


@click.command()
@topology_option
@_names_argument
def down(topology: Path, names: tuple[str, ...]) -> None:
    """Stop programs on their hosts through their units.

    Refused while a run is open, except for the IOC alone; the run continues without it.
    """
    _act(topology, "stop", names)


@click.command()
@topology_option
@_names_argument
def status(topology: Path, names: tuple[str, ...]) -> None:
    """Show the state of the programs' units."""
    _act(topology, "status", names)


def _act(topology: Path, action: Action, names: tuple[str, ...]) -> None:
    from ioc.app.ending import Ending
    from ioc.app.programs import act, without_units

    loaded = load(topology)
    outcomes = asyncio.run(act(loaded, action, names))
    good = [each for each in outcomes if not each.failed]
    if good:
        click.echo(table((each.name, each.host, each.unit, each.text) for each in good))
    for each in outcomes:
        if each.failed:
            say_error(f"{each.name}: {each.text}")
    left_out = () if names else without_units(loaded)
    if left_out:
        say_error(
            f"left out, because the topology has no `units` for them: {', '.join(left_out)}; set `units: systemd` or "
            "`units: launchd`, generally or for each, and install the units again"
        )
    Ending().leave(1 if left_out or len(good) < len(outcomes) else 0)
