"""The PVAccess server: finds PVs by name, and owns pvxs' server and the mirrors."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from p4p.server import DynamicProvider, Server
from p4p.server.raw import SharedPV

from ioc.ca.environment import ANY, Environment
from ioc.ca.site import Site
from ioc.pva.mirror import Mirror
from ioc.pva.page import Page, View

_log = logging.getLogger(__name__)


class PvaServer:
    """Serves the PVs of a Channel Access server by PVAccess too, and tables of its own, until it is closed.

    Ports and interfaces come from ``EPICS_PVAS_…``; without ``EPICS_PVAS_INTF_ADDR_LIST`` the interfaces of Channel
    Access are used. Like `ioc.ca`, it takes another TCP port if its own is in use.
    """

    def __init__(self, site: Site, views: Sequence[View] = ()) -> None:
        self._site = site
        self._views = views
        self._pages: dict[str, Page] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._unfinished: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._provider: DynamicProvider | None = None
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """TCP port in use; 0 before `start`."""
        if self._server is None:
            return 0
        settings: dict[str, str] = self._server.conf()
        return int(settings["EPICS_PVAS_SERVER_PORT"])

    async def start(self) -> None:
        """Open the sockets; the PVs can be reached when this returns.

        Raises:
            RuntimeError: pvxs cannot serve, for example because an environment variable is invalid.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._pages = {view.name: Page(view, self._site, loop) for view in self._views}
        self._provider = DynamicProvider("attpc-ioc", self)
        self._server = Server(providers=[self._provider], conf=_settings(os.environ))
        _log.info("serving PVs by PVAccess, TCP port %d", self.port)

    async def close(self) -> None:
        """Disconnect all clients; puts under way belong to the Channel Access server."""
        server, self._server = self._server, None
        for mirror in self._mirrors.values():
            mirror.close()
        self._mirrors.clear()
        pages, self._pages = self._pages, {}
        for page in pages.values():
            await page.close()
        if server is not None:
            await asyncio.to_thread(server.stop)

    def refresh(self) -> None:
        """Show what records have now; called when they may have changed."""
        for page in self._pages.values():
            page.refresh()

    def forget_removed(self) -> None:
        """Disconnect the clients of PVs that have been removed from the Channel Access server, or replaced."""
        for name, mirror in list(self._mirrors.items()):
            if self._site.namespace.find(name) is not mirror.pv:
                if self._mirrors.get(name) is mirror:  # else makeChannel has replaced it
                    del self._mirrors[name]
                mirror.close()

    def testChannel(self, name: str) -> bool:  # noqa: N802 - the name is p4p's
        """Whether a PV exists; called in a thread of pvxs for every search in the network."""
        return name in self._site.namespace.names or name in self._pages

    def makeChannel(self, name: str, _peer: str) -> SharedPV | None:  # noqa: N802
        """Return the PV for a new client; called in a thread of pvxs."""
        assert self._loop is not None
        if (page := self._pages.get(name)) is not None:
            return page.shared
        found = self._site.namespace.find(name) if name in self._site.namespace.names else None
        if found is None:
            return None
        mirror = self._mirrors.get(name)
        if mirror is not None and mirror.pv is not found:  # replaced, but not yet forgotten
            self._loop.call_soon_threadsafe(mirror.close)
            self._mirrors.pop(name, None)
            mirror = None
        if mirror is None:
            mirror = Mirror(found, self._site, self._unfinished, self._loop)
            mirror = self._mirrors.setdefault(name, mirror)  # another thread may have been faster
        return mirror.shared


def _settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that pvxs needs in addition to its own environment variables."""
    environment = Environment.read(variables)
    settings: dict[str, str] = {}
    if not variables.get("EPICS_PVAS_INTF_ADDR_LIST", "").strip() and ANY not in environment.interfaces:
        settings["EPICS_PVAS_INTF_ADDR_LIST"] = " ".join(environment.interfaces)
    return settings
