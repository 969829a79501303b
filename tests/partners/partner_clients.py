"""What tests of partners share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ioc.partners import Place, ReadoutGui

HOST = "127.0.0.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def client_of(port: int | None, *, manager: int = 1, user: str | None = None) -> ReadoutGui:
    """Return a client of something on this machine."""
    return ReadoutGui("aux", Place(HOST, port, manager, user), timeout=1.5, state_timeout=1.0)
