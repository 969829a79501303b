# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""``attpc-ioc browse``: the run database in the browser, through Datasette."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Generator
from pathlib import Path

import click

from ioc.cli.extras import required
from ioc.cli.options import WholeNumber, database_of, database_option, topology_option
from ioc.errors import Refused
from ioc.rundb.connection import open_for_reading


@click.command()
@topology_option
@database_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; with 0.0.0.0 everybody on the network can read the database.",
)
@click.option(
    "--port", type=WholeNumber(0, 65535), default=8001, show_default=True, help="TCP port; 0 selects a free one."
)
def browse(topology: Path, database: Path | None, host: str, port: int) -> None:
    """Show the run database in the browser (needs Datasette).

    It serves the database read-only until Ctrl-C.
    """
    path = database_of(topology, database)
    uvicorn, pages, guard = (
        required(module, "browse", "browsing needs Datasette and Starlette")
        for module in ("uvicorn", "ioc.web.database_pages", "ioc.web.guard")
    )
    open_for_reading(path).close()  # reports an error of the database
    with contextlib.closing(listen(host, port)) as listener:
        app = guard.Guard(pages.pages_of(path).app(), host, login_header=None, datasette="/")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        click.echo(f"{path} is at {shown_address(host, listener)} until Ctrl-C")
        with silent_stdout(), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextlib.contextmanager
def silent_stdout() -> Generator[None]:
    """If the package rich is installed, Datasette prints a traceback with it for each invalid query."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def shown_address(host: str, listener: socket.socket) -> str:
    """The address of the pages, to be opened in a browser."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


def listen(host: str, port: int) -> socket.socket:
    """Listen at this address.

    Raises:
        Refused: it cannot be served; the text says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # clearer than the error of the server, which interprets an empty name as all addresses
        socket.getaddrinfo(host, port, family)
        return socket.create_server((host, port), family=family)
    except UnicodeError as error:
        raise _no_address(host, "it is not a host name") from error
    except socket.gaierror as error:
        raise _no_address(host, error.strerror or str(error)) from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_address(host, reason) from error
        raise Refused(f"{host}:{port} cannot be opened: {reason}; choose another port with --port") from error


def _no_address(host: str, reason: str) -> Refused:
    return Refused(f"--host {host!r} must be an address of this machine: {reason}")
