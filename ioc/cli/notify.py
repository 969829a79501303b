"""``attpc-ioc notify-test``: tries every target of the notifications."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from ioc.cli.extras import how_to_install
from ioc.cli.options import topology_option
from ioc.errors import PeerError, Refused
from ioc.notify.sender import NOT_INSTALLED, send
from ioc.topology.load import load
from ioc.topology.schema import Target
from ioc.topology.secret import variable_of


@click.command("notify-test")
@topology_option
def notify_test(topology: Path) -> None:
    """Send a test message to every target of the notifications.

    Run it as the user of the IOC, because the addresses come from its files and environment. An IOC that systemd or
    launchd started does not have variables that are set only in this shell. The exit code is 1 if a message could not
    be sent.
    """
    loaded = load(topology)
    if loaded.notifications is None:
        raise Refused(f"{topology} has no notifications: there is nothing to test")
    title = f"{loaded.prefix.rstrip(':-_')}: test"
    problems = asyncio.run(_try_all(loaded.notifications.targets, title))
    for target, problem in zip(loaded.notifications.targets, problems, strict=True):
        click.echo(f"{target.name}: {problem or 'sent'}")
    if NOT_INSTALLED in problems:
        click.echo(f"install it with  {how_to_install('notify')}", err=True)
    named = (variable_of(each.url) for each in loaded.notifications.targets)
    variables = [name for name in named if name is not None and name in os.environ]
    if variables:
        needed = f"the IOC needs {'it' if len(variables) == 1 else 'them'} in its unit as well"
        click.echo(f"read from the environment of this shell: {', '.join(variables)}; {needed}", err=True)
    if failed := sum(bool(problem) for problem in problems):
        raise PeerError(f"{failed} of {len(problems)} messages {'was' if failed == 1 else 'were'} not sent")


async def _try_all(targets: tuple[Target, ...], title: str) -> list[str]:
    """Return for each target why its message was not sent; empty if it was."""
    with ThreadPoolExecutor(len(targets)) as threads:

        async def attempt(target: Target) -> str:
            try:
                await send(target, title, "This is a test of the notifications.", threads)
            except PeerError as error:
                return str(error)
            return ""

        return await asyncio.gather(*map(attempt, targets))
