# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""``attpc-ioc web``: the live page for browsers."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from ioc.cli.browse import listen, shown_address, silent_stdout
from ioc.cli.extras import required
from ioc.cli.options import WholeNumber, database_option, topology_option
from ioc.topology.load import load
from ioc.topology.place import is_loopback

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""What can be the name of a header (RFC 9110)."""
_NEED = "the live page needs Starlette, uvicorn and Jinja"


@click.command()
@topology_option
@database_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; with 0.0.0.0 everybody on the network can see the page.",
)
@click.option(
    "--port", type=WholeNumber(0, 65535), default=8002, show_default=True, help="TCP port; 0 selects a free one."
)
@click.option(
    "--login-header",
    metavar="NAME",
    help="Header with the user name from a reverse proxy; requests without it are refused.",
)
def web(topology: Path, database: Path | None, host: str, port: int, login_header: str | None) -> None:
    """Show the IOC and its runs in browsers (needs Starlette).

    The page is live and read-only. It is served until Ctrl-C.
    """
    if login_header is not None and not _HEADER.fullmatch(login_header):
        raise click.BadParameter(
            f"it is {login_header!r}, but must be the name of a header", param_hint="--login-header"
        )
    read = load(topology)
    for module in ("starlette", "uvicorn", "jinja2"):
        required(module, "web", _NEED)
    from ioc.web.guard import DATABASE_URL  # noqa: PLC0415 - an optional extra
    from ioc.web.server import Site, serve  # noqa: PLC0415 - an optional extra

    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    path = (database or Path(read.database)).absolute()
    datasette = None
    if find_spec("datasette") is not None:
        from ioc.web.database_pages import pages_of  # noqa: PLC0415 - an optional extra

        datasette = pages_of(path, DATABASE_URL).app()
    site = Site(topology, read, path, datasette)
    with contextlib.closing(listen(host, port)) as listener:
        if not is_loopback(host):
            click.echo(
                f"warning: everybody who reaches {host} can read the runs and the state of the detector"
                + (", and whoever does not come through the proxy can claim to be any user" if login_header else ""),
                err=True,
            )
        address, stdout = shown_address(host, listener), sys.stdout

        def announce() -> None:
            click.echo(f"{read.prefix} is at {address} until Ctrl-C", file=stdout)
            stdout.flush()

        with silent_stdout():
            serve(site, listener, host, login_header, announce)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # libca's own end waits for servers that hang, and Python's for threads that read
