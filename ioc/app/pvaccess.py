"""PVAccess beside Channel Access: the IOC runs without it if p4p is missing or fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from ioc.ca import Site
from ioc.pvs import TableView

if TYPE_CHECKING:
    from ioc.pva import PvaServer

_log = logging.getLogger(__name__)


class PvAccess:
    """Owns the PVAccess server, if there is one."""

    def __init__(self, site: Site, tables: Sequence[TableView], *, wanted: bool) -> None:
        self.tables = tables if wanted else ()
        """The tables to serve in addition to the PVs."""
        self._site = site
        self._wanted = wanted
        self._server: PvaServer | None = None

    async def start(self) -> None:
        """Serve the PVs by PVAccess; why that is impossible is logged, since runs do not need it."""
        if not self._wanted:
            return
        try:
            # It takes a third of a second, in which the event loop serves Channel Access.
            await asyncio.to_thread(import_module, "ioc.pva")
        except ImportError as error:
            _log.warning("PVAccess is off: p4p cannot be loaded (%s); set pva: false if that is intended", error)
            return
        from ioc.pva import PvaServer  # noqa: PLC0415

        server = PvaServer(self._site, self.tables)
        try:
            await server.start()
        except RuntimeError as error:
            _log.error("PVAccess is off: %s", error)
            return
        self._server = server

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()

    def refresh(self) -> None:
        """Show a new state of the core in what shows it as a whole."""
        if self._server is not None:
            self._server.refresh()

    def forget_removed(self) -> None:
        """Disconnect PVAccess clients from PVs that have been removed."""
        if self._server is not None:
            self._server.forget_removed()
