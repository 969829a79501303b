"""``attpc-ioc archiver``: what an EPICS Archiver Appliance should archive."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ioc.errors import ConfigurationError
from ioc.screens import archiver_list
from ioc.topology.load import load


@click.command()
@click.option(
    "--topology",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("topology.yaml"),
    show_default=True,
    help="The description of the installation.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: stdout.")
def archiver(path: Path, output: Path | None) -> None:
    """Write the PVs for the EPICS Archiver Appliance, as its bulk import (archivePV) takes them."""
    try:
        text = archiver_list(load(path))
        if output is None:
            click.echo(text, nl=False)
        else:
            output.write_text(text)
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"error: {output} cannot be written: {error.strerror or error}", err=True)
        sys.exit(1)
