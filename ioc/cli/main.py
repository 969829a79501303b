"""``attpc-ioc`` and its commands that run an IOC.

Each command imports only what it needs, and other command modules are imported when one of their commands is called:
importing pydantic, caproto, zeep and paramiko takes longer than listing the runs.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from ioc import __version__
from ioc.cli.lazy import LazyGroup
from ioc.cli.options import Factor, PathName, topology_option
from ioc.cli.output import give_up_stdout, lenient_stdout, reason, say_error
from ioc.errors import AttpcError, ConfigurationError

if TYPE_CHECKING:
    from ioc.app.ending import Ending
    from ioc.topology.load import Examined
    from ioc.topology.schema import Topology

log = logging.getLogger(__name__)

FAILED = 1
WRONG = 2

log_level_option = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    help="Lowest severity to log on stderr.",
)


_NO_COMMAND: tuple[type[Exception], ...] = tuple(filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)]))
"""Raised by click for a group without a command; before 8.2, click shows the help itself."""
_ELSEWHERE = {
    "init": ("topology", "Write a topology from a few answers."),
    "check": ("topology", "Report every error in a topology."),
    "pvs": ("topology", "List all PVs that the IOC of a topology serves."),
    "screens": ("topology", "Write the Phoebus screens, the alarm tree and the lists of PVs."),
    "archiver": ("topology", "Write the list of PVs for an EPICS Archiver Appliance."),
    "units": ("programs", "Write the units that start the IOC, the ECC servers and the data routers."),
    "up": ("programs", "Start programs on their hosts through their units."),
    "down": ("programs", "Stop programs on their hosts through their units."),
    "status": ("programs", "Show the state of the programs' units."),
    "runs": ("runs", "List, show, edit and export runs, with or without a running IOC."),
    "plan": ("plan", "Take the runs listed in FILE (YAML) one after the other."),
    "observables": ("observables", "List and change the observables of a topology."),
    "browse": ("browse", "Show the run database in the browser (needs Datasette)."),
    "web": ("web", "Show the IOC and its runs in browsers (needs Starlette)."),
    "notify-test": ("notify", "Send a test message to every target of the notifications."),
}
"""Commands of other modules of `ioc.cli`, with the first sentence of their help."""


class _Program(LazyGroup):
    """Reports every error in one line: wrong usage, our own errors, closed or full standard output."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        lenient_stdout()
        try:
            try:
                result = self._main(*args, **extra)
            finally:
                if sys.stdout is not None:  # None if the parent process closed it
                    sys.stdout.flush()
        except OSError as error:
            give_up_stdout()
            if not isinstance(error, BrokenPipeError):  # then the reader has closed the pipe
                what = error.filename or "standard output cannot be written"
                say_error(f"{what}: {reason(error)}")
            result = FAILED
        sys.exit(result if isinstance(result, int) else 0)

    def _main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            message = error.format_message()
            context = error.ctx if isinstance(error, click.UsageError) else None
            if isinstance(error, _NO_COMMAND):
                error.show()  # the help
            else:
                see = f" (see {context.command_path} --help)" if context else ""
                say_error(f"{message.rstrip('.')}{see}")
            return error.exit_code
        except ConfigurationError as error:
            for problem in error.problems:
                say_error(str(problem))
            return WRONG
        except AttpcError as error:
            say_error(str(error))
            return FAILED
        except click.Abort:
            click.echo("error: aborted", err=True)
            return FAILED


@click.group(
    cls=_Program,
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="attpc-ioc")
def main() -> None:
    """Run the data acquisition of the AT-TPC from EPICS."""


def _run(work: Callable[[Ending], Coroutine[Any, Any, None]]) -> None:
    """Run the program's event loop and end the process with it; uses uvloop if it is installed."""
    import asyncio

    from ioc.app.ending import Ending
    from ioc.app.heap import bound_heap

    bound_heap()
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    ending = Ending()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(work(ending))
        except Exception as error:
            _report(error)
            ending.leave(FAILED)
        ending.leave(0)


def _report(error: Exception) -> None:
    """Log an error, or all errors of a group, one line each."""
    if isinstance(error, ExceptionGroup):
        for each in cast("ExceptionGroup[Exception]", error).exceptions:
            _report(each)
    elif isinstance(error, AttpcError):
        say_error(str(error))
    else:
        log.critical("internal error, the IOC ends", exc_info=error)


@main.command()
@topology_option
@log_level_option
def run(topology: Path, log_level: str) -> None:
    """Run the IOC until SIGINT, SIGTERM or SIGHUP."""
    from ioc.topology.load import examine

    examined = examine(topology)
    from ioc.app.journal import set_up_stderr
    from ioc.app.serve import serve

    set_up_stderr(log_level)
    _run(lambda ending: serve(_warned(examined), lambda: _warned(examine(topology)), file=topology, ending=ending))


def _warned(examined: Examined) -> Topology:
    """The topology, after its warnings have been logged."""
    for warning in examined.warnings:
        log.warning("%s", warning)
    return examined.topology


@main.command()
@topology_option
@click.option(
    "--directory",
    type=PathName(file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="Directory for all files of the simulated detector.",
)
@click.option(
    "--speed",
    type=Factor(0.1, 100),
    default=1.0,
    show_default=True,
    help="Speed of the simulated detector; 1 is real time.",
)
@click.option("--with-partner", is_flag=True, help="Also simulate FRIBDAQ, which begins and ends with each run.")
@log_level_option
@click.pass_context
def demo(
    context: click.Context, topology: Path, directory: Path, *, speed: float, with_partner: bool, log_level: str
) -> None:
    """Simulate a whole detector and run the real IOC with it.

    Everything runs on this machine. Without a topology in the working directory, it uses the example of a full AT-TPC.
    """
    from ioc.topology.load import load

    if context.get_parameter_source("topology") is ParameterSource.DEFAULT and not os.path.lexists(topology):
        from ioc.app.demo import example_in

        missing, topology = topology, example_in(directory)
        click.echo(f"There is no {missing} here: using the example of a full AT-TPC, {topology}", err=True)
    loaded = load(topology)
    from ioc.app import demo as simulated_site
    from ioc.app.journal import set_up_stderr

    set_up_stderr(log_level)
    click.echo("Starting the simulated detector…", err=True)

    def added(read: Topology) -> Topology:
        return simulated_site.with_partner(read) if with_partner else read

    def announce(simulated: Topology) -> None:
        click.echo(_try_next(simulated, topology, directory))

    _run(
        lambda ending: simulated_site.demo(
            added(loaded),
            lambda: added(load(topology)),
            directory.resolve(),
            file=topology,
            speed=speed,
            announce=announce,
            ending=ending,
        )
    )


def _try_next(topology: Topology, file: Path, directory: Path) -> str:
    p = topology.prefix
    server = topology.ecc_servers[0].name
    wait = "caput -c -w 200"
    program, of_it = sys.argv[0], f"--topology {shlex.quote(str(file))}"
    database, screens = (shlex.quote(str(directory / name)) for name in ("runs.db", "opi"))
    return f"""
The simulated AT-TPC is running: {len(topology.ecc_servers)} ECC servers, {len(topology.data_routers)} data routers.
Try in another terminal, with the tools of EPICS base:

  caget {p}State {p}ECC:{server}:State {p}Run:NextNumber
  camonitor {p}State {p}Run:State {p}Run:DurationText
  {wait} {p}Describe 1 ; {wait} {p}Prepare 1 ; {wait} {p}Configure 1
  caput -S {p}Run:Title "my first run" ; {wait} {p}Run:Start 1
  {wait} {p}Run:Stop 1
  caget -S {p}Message {p}Run:Message {p}Run:BlockedBy

And with this program:

  {program} runs list --database {database}
  {program} web {of_it} --database {database}     # for browsers
  {program} screens {of_it} --output {screens}     # for Phoebus

Phoebus: add this machine to org.phoebus.pv.ca/addr_list and open {screens}/main.bob.
Ctrl-C ends everything.
"""
