"""``attpc-ioc screens``: the Phoebus screens of an installation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ioc.errors import AttpcError, ConfigurationError
from ioc.screens import write_screens
from ioc.topology.load import load

_FAILED = 1
_WRONG = 2


@click.command()
@click.option(
    "--topology",
    "path",
    type=click.Path(path_type=Path),
    default=Path("topology.yaml"),
    show_default=True,
    help="The description of the installation.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("opi"),
    show_default=True,
    help="Where the files go.",
)
def screens(path: Path, folder: Path) -> None:
    """Write the Phoebus screens, the alarm tree and the lists of PVs."""
    try:
        written = write_screens(load(path), folder)
    except AttpcError as error:
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        sys.exit(_WRONG if isinstance(error, ConfigurationError) else _FAILED)
    click.echo(f"{len(written)} files in {folder}; open {folder / 'main.bob'} in Phoebus")
