"""Puts the live page together, and serves it until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from ioc.errors import AttpcError, ConfigurationError
from ioc.rundb.connection import open_for_reading
from ioc.topology.load import load
from ioc.topology.schema import Topology
from ioc.web.channels import layout_of
from ioc.web.guard import DATABASE_URL, Guard
from ioc.web.live import Live
from ioc.web.monitors import Monitors
from ioc.web.pages import Pages
from ioc.web.stream import Streams

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
"""Between two looks at the topology's file."""
_STATIC = Path(__file__).parent / "static"


class Site:
    """The live page of one topology and its run database."""

    def __init__(self, file: Path, topology: Topology, database: Path, datasette: ASGIApp | None) -> None:
        """`datasette` serves the database below `DATABASE_URL`, if it is installed."""
        self._file = file
        self._topology = topology
        self._seen = _state_of(file)
        self._live = Live(layout_of(topology))
        self._streams = Streams(self._live)
        self._pages = Pages(self._live, lambda: self._topology, database, datasette=datasette is not None)
        self.app = Starlette(
            routes=[
                *self._pages.routes,
                Route("/events", self._streams, methods=None),
                Mount("/static", StaticFiles(directory=_STATIC)),
                *([Mount(DATABASE_URL.rstrip("/"), _present(database, datasette))] if datasette else []),
            ],
            exception_handlers={
                HTTPException: self._pages.error,
                AttpcError: self._pages.error,
                Exception: self._pages.error,
            },
            lifespan=self._lifespan,
        )

    def close(self) -> None:
        """End the streams and cancel queries, so that the server can end."""
        self._streams.close()
        self._pages.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        monitors = Monitors(self._live)
        monitors.follow(self._live.layout)
        works = (self._live.run(), monitors.check(), self._follow_file(monitors))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            monitors.close()

    async def _follow_file(self, monitors: Monitors) -> None:
        """Show what the topology's file says when it has changed, as far as it has no error."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            state = await anyio.to_thread.run_sync(_state_of, self._file)
            if state in {self._seen, None}:
                continue
            self._seen = state
            try:
                self._topology = await anyio.to_thread.run_sync(load, self._file)
            except ConfigurationError as error:
                _log.warning(
                    "%s has changed, but has an error, so the page keeps the previous version: %s", self._file, error
                )
                continue
            layout = layout_of(self._topology)
            if layout != self._live.layout:
                self._live.replace(layout)
                monitors.follow(layout)


def _present(database: Path, datasette: ASGIApp) -> ASGIApp:
    """Datasette where there is a database; else the page that says why there is none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.to_thread.run_sync(lambda: open_for_reading(database, busy_seconds=0.5).close())
        await datasette(scope, receive, send)

    return app


def _state_of(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class _Server(uvicorn.Server):
    """Says when it serves, and ends the streams first, for which it would wait otherwise."""

    def __init__(self, config: uvicorn.Config, site: Site, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._site = site
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.close()
        await super().shutdown(sockets)


def serve(
    site: Site, listener: socket.socket, host: str, login_header: str | None, announce: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called when browsers are answered."""
    config = uvicorn.Config(
        Guard(site.app, host, login_header),
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    # A viewer that was dropped, or a request that a signal has ended, is no error; ours are logged by the pages.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again when it has ended
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, site, announce).run(sockets=[listener])
