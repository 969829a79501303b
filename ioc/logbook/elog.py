"""The Elog of PSI, by its Python library py_elog, which runs in a process of its own.

The library is optional, has calls without a time-out and prints warnings; in a process it can be ended. It knows no
property that a search finds, so the id of the entry is the last line of the text.
"""

from __future__ import annotations

import asyncio
import base64
import json
from concurrent.futures import Executor
from typing import Any, cast

from ioc.child import run_module
from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.logbook.entries import Entry, as_text
from ioc.logbook.spool import Waiting
from ioc.topology.schema import Logbook
from ioc.topology.secret import read_secret

_SECONDS = 30.0
NO_LIBRARY = "the Python package py_elog is not installed"
_ERRORS: dict[str, tuple[type[PeerError], str]] = {
    "missing": (PeerError, NO_LIBRARY),
    "password": (PeerError, "it does not accept user and password"),
    "rejected": (PeerRejected, "it rejects the entry: are the attributes in the topology those of the logbook?"),
    "no logbook": (PeerError, "it rejects everything: is there a logbook at this address?"),
    "timeout": (PeerTimeout, "no answer in time"),
    "unreachable": (PeerError, "it cannot be reached, or does not answer like an Elog"),
}
"""Each outcome of the process; texts of the library are not repeated, because they may contain anything."""


class Elog:
    """One logbook of an Elog server."""

    def __init__(self, topology: Logbook, threads: Executor, *, seconds: float = _SECONDS) -> None:
        self._topology = topology
        self._threads = threads
        self.seconds = seconds

    def body(self, entry: Entry, picture: str) -> str:
        return f"{as_text(entry)}\n{marker(entry.id)}\n"

    async def has(self, entry: Waiting) -> bool:
        return await self._ask({"do": "search", "id": marker(entry.id)}) is True

    async def add(self, entry: Waiting, picture: bytes | None) -> None:
        attributes = {"Author": self._topology.user or "attpc-ioc", **(self._topology.attributes or {})}
        await self._ask(
            {
                "do": "post",
                "id": marker(entry.id),
                "text": entry.body,
                "attributes": attributes | {"Subject": entry.title},
                "picture": None if picture is None else base64.b64encode(picture).decode(),
                "name": entry.picture,
            }
        )

    async def _ask(self, question: dict[str, Any]) -> object:
        place, password = self._topology.password, None
        if place is not None:
            password = await asyncio.get_running_loop().run_in_executor(self._threads, read_secret, place)
        account = {"url": self._topology.url, "user": self._topology.user, "password": password}
        data = json.dumps({**question, **account, "seconds": self.seconds / 2}).encode()
        try:
            answer: Any = json.loads(await run_module("ioc.logbook.elog_child", (), data, self.seconds))
            problem, result = cast("str", answer["problem"]), answer["result"]
        except (ValueError, TypeError, KeyError):
            raise PeerError("py_elog failed") from None
        if problem:
            kind, text = _ERRORS.get(problem, (PeerError, "py_elog failed"))
            raise kind(text)
        return result


def marker(identity: str) -> str:
    """The last line of an entry, by which it is found again."""
    return f"attpc-ioc {identity}"
