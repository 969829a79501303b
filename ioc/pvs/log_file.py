"""The PVs that show the end of a log file on another host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ioc.ca import CommandPv, Pv, TextPv
from ioc.model import Client
from ioc.pvs.boundary import handler
from ioc.pvs.naming import LOG_LENGTH


class LogFilePvs:
    """``RefreshLog`` and ``Log`` of one component."""

    def __init__(self, base: str, what: str, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._log = TextPv(f"{base}Log", f"Last 50 lines of the {what}'s log", LOG_LENGTH)
        self.pvs: tuple[Pv[Any], ...] = (
            CommandPv(f"{base}RefreshLog", f"Fetch the {what}'s log", handler(self._refresh)),
            self._log,
        )

    async def _refresh(self, client: Client) -> None:
        text = await self._read()
        encoded = text.encode()
        if len(encoded) >= LOG_LENGTH:  # the end is what matters
            text = encoded[-LOG_LENGTH + 8 :].decode(errors="ignore").partition("\n")[2]
        self._log.post(text)
