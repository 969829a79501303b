"""``attpc-ioc runs``: the run database from the command line, with or without a running IOC."""

from __future__ import annotations

import click

from ioc.cli.runs_edit import adopt, edit, import_command
from ioc.cli.runs_export import dataset, export, samples
from ioc.cli.runs_files import card, gather, purge, verify
from ioc.cli.runs_look import diff, list_command, plot, show


@click.group()
def runs() -> None:
    """List, show, edit and export runs, with or without a running IOC."""


for _command in (
    *(list_command, show, diff, plot),
    *(edit, adopt, import_command),
    *(export, samples, dataset),
    *(verify, card, purge, gather),
):
    runs.add_command(_command)
