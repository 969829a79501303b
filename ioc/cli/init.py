"""``attpc-ioc init``: the easy set-up."""

from __future__ import annotations

from pathlib import Path

import click

from ioc.cli.arguments import PathName, WholeNumber
from ioc.errors import Refused
from ioc.topology.create import MAX_COBOS, Answers, create, write_new


@click.command()
@click.option("--experiment", prompt="Name of the experiment", help="Runs are filed under it.")
@click.option("--cobos", type=WholeNumber(1, MAX_COBOS), default=11, show_default=True, prompt="Number of CoBos")
@click.option("--mutant/--no-mutant", default=True, show_default=True, prompt="Is there a MuTAnT")
@click.option(
    "--single-ecc-server/--one-ecc-server-each",
    default=False,
    prompt="Does one ECC server drive all of them",
    help="One ECC server for all sources, or one for each.",
)
@click.option(
    "--first-ecc",
    default="192.168.41.60",
    show_default=True,
    prompt="Address of the first ECC server",
    help="The next ones count upward in the last part.",
)
@click.option(
    "--first-router",
    default="192.168.41.60",
    show_default=True,
    prompt="Address of the first data router",
    help="The next ones count upward in the last part.",
)
@click.option("--prefix", default="ATTPC:", show_default=True, help="Of all PV names.")
@click.option(
    "--output",
    type=PathName(),
    default=Path("topology.yaml"),
    show_default=True,
    help="A new file; one that exists is never overwritten.",
)
def init(output: Path, **answers: str | int | bool) -> None:
    """Write a topology from a few answers."""
    try:
        text = create(Answers(**answers))  # pyright: ignore[reportArgumentType] - checked by click
    except Refused as error:
        raise click.UsageError(str(error)) from None
    write_new(output, text)
    click.echo(f"{output} is written; look at it, then: attpc-ioc check --topology {output}")
