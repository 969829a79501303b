# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""aioca with a context of libca that searches for PVs from the addresses which this machine has now."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from typing import Any

import psutil

_log = logging.getLogger(__name__)

_searched_from: frozenset[str] | None = None
"""The addresses of this machine when the present context was made; None before the first."""
_handlers: list[object] = []
"""libca calls them in its threads until the process ends."""


def open_client() -> Any:
    """Return aioca for the calling thread, which has no open channels.

    libca looks at the network's interfaces once for each context: a PV that is searched by broadcast would never be
    found on a network that appears later. aioca has one context, kept in its module, so where there are new addresses
    it is imported again; the old context stays, without channels, until aioca ends it at the end of the process.

    The variables EPICS_CA_* are read when the first context is made.
    """
    from epicscorelibs.ca import cadef  # noqa: PLC0415 - loads libca, which reads the environment

    global _searched_from  # noqa: PLW0603 - as aioca's context, it belongs to the process
    appeared = addresses_appeared()
    if appeared:
        cadef.libca.ca_detach_context()
        for name in [each for each in sys.modules if each.split(".")[0] == "aioca"]:
            del sys.modules[name]
    aioca = importlib.import_module("aioca")
    aioca.get_channel_infos()  # makes the context
    if appeared or _searched_from is None:
        _searched_from = _addresses()
        handler = cadef.exception_handler(_log_exception)
        _handlers.append(handler)
        cadef.ca_add_exception_event(handler, None)
    return aioca


def addresses_appeared() -> bool:
    """Whether this machine has addresses that the present context does not know."""
    return _searched_from is not None and bool(_addresses() - _searched_from)


def _addresses() -> frozenset[str]:
    """The addresses of this machine whose networks libca would search by broadcast now."""
    if os.environ.get("EPICS_CA_AUTO_ADDR_LIST", "").strip().upper() == "NO":
        return frozenset()
    up = {name for name, interface in psutil.net_if_stats().items() if interface.isup}
    return frozenset(
        one.address
        for name, addresses in psutil.net_if_addrs().items()
        for one in addresses
        if name in up and one.family == socket.AF_INET and not one.address.startswith("127.")
    )


def _log_exception(details: Any) -> None:
    """Log an asynchronous exception of libca in one line; by itself it prints several to stderr."""
    from epicscorelibs.ca import cadef  # noqa: PLC0415 - as above

    context = (details.ctx or b"").decode(errors="replace")
    _log.info("Channel Access: %s: %s", cadef.ca_message(details.stat), context)
