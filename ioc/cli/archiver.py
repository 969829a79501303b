"""``attpc-ioc archiver``: what an EPICS Archiver Appliance should archive."""

from __future__ import annotations

from pathlib import Path

import click

from ioc.cli.arguments import PathName
from ioc.cli.output import reason
from ioc.errors import Refused
from ioc.screens import archiver_list
from ioc.topology.load import load


@click.command()
@click.option(
    "--topology",
    "path",
    type=PathName(dir_okay=False),
    default=Path("topology.yaml"),
    show_default=True,
    help="The description of the installation.",
)
@click.option("--output", type=PathName(dir_okay=False), help="File to write; default: stdout.")
def archiver(path: Path, output: Path | None) -> None:
    """Write the PVs for the EPICS Archiver Appliance, as its bulk import (archivePV) takes them."""
    text = archiver_list(load(path))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {reason(error)}") from error
