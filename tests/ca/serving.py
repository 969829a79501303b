"""Servers in the test's own process."""

from __future__ import annotations

from typing import Any

from ioc.ca import CaServer, Limits, PutRecord, Pv


class Serve:
    """Starts servers that are closed when the test ends; `puts` is what they wrote in their journal."""

    def __init__(self) -> None:
        self.puts: list[PutRecord] = []
        self.denied_users: set[str] = set()
        self.servers: list[CaServer] = []

    async def __call__(self, *pvs: Pv[Any], limits: Limits = Limits()) -> CaServer:  # noqa: B008 - frozen
        server = CaServer(pvs, may_write=self._may_write, journal=self.puts.append, limits=limits)
        self.servers.append(server)
        await server.start()
        return server

    def _may_write(self, pv: str, host: str, user: str) -> bool:
        assert "." not in pv
        return host == "127.0.0.1" and user not in self.denied_users

    async def close(self) -> None:
        for server in self.servers:
            await server.close()
