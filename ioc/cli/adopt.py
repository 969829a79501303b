"""``attpc-ioc runs adopt``: enters runs whose files were found."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ioc.cli.found_runs import experiment_of, find_runs
from ioc.cli.output import say_error
from ioc.cli.texts import adopted_list
from ioc.errors import Refused
from ioc.model import Client, RunClass, check_experiment
from ioc.rundb.adopt import adopt, known_already, next_number


def adopt_runs(
    database: Path,
    directories: Sequence[Path],
    experiment: str | None,
    run_class: RunClass,
    *,
    client: Client,
    routers: Mapping[str, str],
    dry_run: bool,
) -> None:
    """Find the runs, and enter them unless anything is wrong; print what was or would be entered.

    `routers` gives the router of each data source, as far as it is known. Everything that is wrong is reported, and
    the exit code is then 1.

    Raises:
        PeerError: the database cannot be read or written, or an IOC uses it.
    """
    name, problems = _experiment(directories, experiment)
    found = find_runs(name, directories, socket.gethostname(), routers)
    problems += found.problems
    known = known_already(database, found.runs) if dry_run or problems else []
    if not (dry_run or problems):
        known = adopt(database, found.runs, run_class, client)
    if problems or known:
        for problem in (*problems, *known):
            say_error(problem)
        sys.exit(1)
    count = len(found.runs)
    of = f"{count} run{'' if count == 1 else 's'} of {name}"
    number = max(next_number(database, name), found.runs[-1].run.number + 1)
    click.echo(adopted_list(found.runs))
    done = f"{of} would be added to" if dry_run else f"{of} added to"
    click.echo(f"{done} {database}; the next run is {number}")


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
