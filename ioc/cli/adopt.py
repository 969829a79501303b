"""``attpc-ioc runs adopt``: enters runs whose files were found."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ioc.cli.found_runs import experiment_of, find_runs
from ioc.cli.options import PathName, database_option, topology_option
from ioc.cli.output import count, say_error
from ioc.cli.runs import CLASS, dry_run_option, this_client
from ioc.cli.texts import adopted_list
from ioc.errors import Refused
from ioc.model import RunClass, check_experiment
from ioc.rundb.adopt import adopt, known_already, next_number
from ioc.topology.load import load


@click.command("adopt")
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True, type=PathName())
@topology_option
@database_option
@click.option("--experiment", help="Experiment; default: the name of the directories that hold the runs.")
@click.option(
    "--class",
    "class_name",
    type=CLASS,
    default=RunClass.Testing.name,
    show_default=True,
    help="Class of these runs.",
)
@dry_run_option
def adopt_command(
    directories: tuple[Path, ...],
    topology: Path,
    database: Path | None,
    experiment: str | None,
    class_name: str,
    *,
    dry_run: bool,
) -> None:
    """Enter runs into the database whose files exist, but which it does not know.

    DIRECTORY is that of an experiment, which has directories run_NNNN, or that of one run. Those of all routers and of
    the backups of configurations may be named: the same number is the same run. The IOC must not run. Nothing is
    entered if anything is wrong.
    """
    routers: dict[str, str] = {}
    if database is None:
        loaded = load(topology)
        database = Path(loaded.database)
        routers = {source.id: source.data_routers[0] for source in loaded.data_sources}
    name, problems = _experiment(directories, experiment)
    found = find_runs(name, directories, socket.gethostname(), routers)
    problems += found.problems
    if dry_run or problems:
        problems += known_already(database, found.runs)
    else:
        problems += adopt(database, found.runs, RunClass[class_name], this_client())
    if problems:
        for problem in problems:
            say_error(problem)
        sys.exit(1)
    number = max(next_number(database, name), found.runs[-1].run.number + 1)
    click.echo(adopted_list(found.runs))
    done = "would be entered" if dry_run else "entered"
    click.echo(f"{count(len(found.runs), 'run')} of {name} {done} into {database}; the next run is {number}")


def _experiment(directories: Sequence[Path], chosen: str | None) -> tuple[str, list[str]]:
    """Return the experiment, and what is wrong with it."""
    names = list(dict.fromkeys(map(experiment_of, directories))) if chosen is None else [chosen]
    problems: list[str] = []
    if len(names) > 1:
        problems.append(f"the directories are of experiments {', '.join(names)}, but must be of one: --experiment")
    try:
        check_experiment(names[0])
    except Refused as error:
        problems.append(f"{error}: give its name with --experiment")
    return names[0], problems
