"""``attpc-ioc screens``: the Phoebus screens of an installation."""

from __future__ import annotations

from pathlib import Path

import click

from ioc.cli.arguments import PathName
from ioc.screens import write_screens
from ioc.topology.load import load


@click.command()
@click.option(
    "--topology",
    "path",
    type=PathName(),
    default=Path("topology.yaml"),
    show_default=True,
    help="The description of the installation.",
)
@click.option(
    "--output",
    "folder",
    type=PathName(file_okay=False),
    default=Path("opi"),
    show_default=True,
    help="Where the files go.",
)
def screens(path: Path, folder: Path) -> None:
    """Write the Phoebus screens, the alarm tree and the lists of PVs."""
    written = write_screens(load(path), folder)
    click.echo(f"{len(written)} files in {folder}; open {folder / 'main.bob'} in Phoebus")
