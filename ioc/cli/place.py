"""The options that say where the run database is."""

from __future__ import annotations

from pathlib import Path

import click

from ioc.cli.arguments import PathName

topology_that_names_it = click.option(
    "--topology",
    type=PathName(dir_okay=False),
    default=Path("topology.yaml"),
    show_default=True,
    help="Topology that names the database.",
)
database_itself = click.option(
    "--database",
    type=PathName(dir_okay=False, readable=False),
    help="Database, instead of the topology's.",
)
