"""Commands for a topology: write one, check it, list its PVs, write its screens and archiver list.

Modules that only one command needs are imported in that command.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ioc.cli.options import PathName, WholeNumber, output_option, topology_option
from ioc.cli.output import data_output, say_error, table
from ioc.cli.questions import Question, answered
from ioc.errors import Refused
from ioc.topology.create import MAX_COBOS, create, refuse_existing, write_new
from ioc.topology.load import examine, load

if TYPE_CHECKING:
    from ioc.topology.schema import Topology

_QUESTIONS = (
    Question("experiment", "Name of the experiment"),
    Question("cobos", "Number of CoBos", WholeNumber(1, MAX_COBOS), 11),
    Question("mutant", "Is there a MuTAnT", bool, default=True),
    Question("single_ecc_server", "Does one ECC server drive all of them", bool, default=False),
    Question("first_ecc", "Address of the first ECC server", default="192.168.41.60"),
    Question("first_router", "Address of the first data router", default="192.168.41.60"),
    Question("ssh_user", "User name for SSH (empty: by ~/.ssh/config; local: no SSH)", default="", optional=True),
    Question("config_root", "Folder of the .xcfg files on the hosts (empty: none)", default="", optional=True),
    Question(
        "config_backup_root", "Folder for a copy of these files for each run (empty: none)", default="", optional=True
    ),
    Question(
        "writers", "Networks that may write, in addition to this machine (empty: none)", default="", optional=True
    ),
)


@click.command()
@click.option("--experiment", help="Name of the experiment; runs are filed under it.")
@click.option("--cobos", type=WholeNumber(1, MAX_COBOS), help="Number of CoBos.  [default: 11]")
@click.option("--mutant/--no-mutant", default=None, help="Include a MuTAnT or not.  [default: mutant]")
@click.option(
    "--single-ecc-server/--one-ecc-server-each",
    default=None,
    help="One ECC server for all data sources, or one for each.  [default: one-ecc-server-each]",
)
@click.option(
    "--first-ecc",
    help="Address of the first ECC server; the last number increases for each further one.  [default: 192.168.41.60]",
)
@click.option(
    "--first-router",
    help="Address of the first data router; the last number increases for each further one.  [default: 192.168.41.60]",
)
@click.option("--ssh-user", help="User name for SSH, or `local` if everything runs on this machine.")
@click.option("--config-root", help="Folder of the .xcfg files on the hosts.")
@click.option("--config-backup-root", help="Folder on the hosts for a copy of these files for each run.")
@click.option("--writers", help="Addresses and networks that may write, in addition to this machine.")
@click.option("--prefix", default="ATTPC:", show_default=True, help="Prefix of all PV names.")
@click.option(
    "--output",
    type=PathName(),
    default=Path("topology.yaml"),
    show_default=True,
    help="File to write; an existing file is never overwritten.",
)
def init(output: Path, **given: Any) -> None:
    """Write a topology from a few answers.

    It asks for everything that no option gives, and repeats the question with the reason if an answer is invalid. If
    you give the first six options, it asks nothing.
    """
    refuse_existing(output)  # before it asks ten questions
    try:
        text = create(answered(_QUESTIONS, given))
    except Refused as error:
        raise click.UsageError(str(error)) from None
    write_new(output, text)
    click.echo(f"{output} has been written. Edit it, then check it: attpc-ioc check --topology {output}")


@click.command()
@topology_option
@click.option("--live", is_flag=True, help="Also log in to every host and test everything that a run needs.")
def check(topology: Path, live: bool) -> None:
    """Report every error in a topology.

    Run it on the IOC's machine as the IOC's user: the files that the topology names must exist there. A warning means
    that a setting works but is probably a mistake.

    With --live, it also tests the hosts, ECC servers, routers, observables, ports and the database, in at most ten
    seconds. It changes nothing and does not disturb a running IOC; to test whether a directory is writable, it creates
    and removes a file. The exit code is 1 if a test fails.
    """
    examined = examine(topology)
    for warning in examined.warnings:
        click.echo(f"warning: {warning}", err=True)
    found, count = examined.topology, len(examined.warnings)
    verdict = f"can be used, with {count} warning{'s' * (count > 1)}" if count else "is fine"
    click.echo(
        f"{topology} {verdict}: {len(found.ecc_servers)} ECC servers, {len(found.data_routers)} data routers, "
        f"{len(found.data_sources)} data sources, {len(found.observables)} observables"
    )
    if live:
        _check_live(found)


def _check_live(topology: Topology) -> NoReturn:
    """Print a table for each machine, and end the process: a thread may still wait for a host that hangs."""
    import asyncio

    from ioc.app.ending import Ending
    from ioc.app.live import check_live
    from ioc.app.live_report import Verdict

    tables = asyncio.run(check_live(topology))
    for each in tables:
        click.echo(f"\n{each.machine}")
        click.echo(table(("", found.verdict.value, found.what, found.text) for found in each.findings))
    findings = [(each.machine, found) for each in tables for found in each.findings]
    failed = [(machine, found) for machine, found in findings if found.verdict is Verdict.Failed]
    doubts = sum(found.verdict is Verdict.Doubt for _, found in findings)
    click.echo(f"\n{len(findings)} checks: {len(failed)} failed, {doubts} with a warning")
    for machine, found in failed:
        say_error(f"{machine}: {found.what}: {found.text}")
    Ending().leave(1 if failed else 0)


@click.command()
@topology_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: name, type, access, units, description, states.")
def pvs(topology: Path, as_json: bool) -> None:
    """List all PVs that the IOC of a topology serves."""
    from ioc.app.listing import describe_pvs

    described = describe_pvs(load(topology))
    if as_json:
        click.echo(json.dumps([pv.as_dict() for pv in described], indent=1))
    else:
        click.echo(table((pv.name, pv.type, "W" if pv.writable else "R", pv.description) for pv in described))


@click.command()
@topology_option
@click.option(
    "--output",
    type=PathName(file_okay=False),
    default=Path("opi"),
    show_default=True,
    help="Directory for the files.",
)
def screens(topology: Path, output: Path) -> None:
    """Write the Phoebus screens, the alarm tree and the lists of PVs."""
    from ioc.screens import write_screens

    written = write_screens(load(topology), output)
    click.echo(f"{len(written)} files in {output}; open {output / 'main.bob'} in Phoebus")


@click.command()
@topology_option
@output_option
def archiver(topology: Path, output: Path | None) -> None:
    """Write the list of PVs for an EPICS Archiver Appliance.

    The output is for the appliance's bulk import (archivePV).
    """
    from ioc.screens import archiver_list

    text = archiver_list(load(topology))
    with data_output(output, "json") as stream:
        stream.write(text)
