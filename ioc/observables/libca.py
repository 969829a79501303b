# pyright: reportPrivateUsage=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""libca as a whole: what it has to say, and where it searches for PVs."""

from __future__ import annotations

import functools
import logging
import os
import socket
from typing import Any

import psutil

_log = logging.getLogger(__name__)


@functools.cache
def log_exceptions() -> object:
    """Send libca's asynchronous exceptions to the log, one line each; once per context.

    By itself it prints several lines to stderr for each lost connection.

    Returns the handler: it is called on libca's threads and must outlive them, so the cache keeps it.
    """
    from aioca import get_channel_infos  # noqa: PLC0415 - see ObservableFeed.start
    from epicscorelibs.ca import cadef  # noqa: PLC0415

    def handle(details: Any) -> None:
        context = (details.ctx or b"").decode(errors="replace")
        _log.info("Channel Access: %s: %s", cadef.ca_message(details.stat), context)

    handler = cadef.exception_handler(handle)
    get_channel_infos()  # makes the context that the handler is for
    cadef.ca_add_exception_event(handler, None)
    return handler


def forget_context() -> None:
    """End libca's context and all channels in it; what is used next is in a new one.

    libca looks at the network's interfaces once for each context, when it makes the first channel: without this a PV
    that is searched by broadcast would never be found on a network that came later.
    """
    from aioca._catools import _Context  # noqa: PLC0415 - see ObservableFeed.start; aioca has no public way

    _Context._teardown()  # noqa: SLF001
    log_exceptions.cache_clear()


def searched_from() -> frozenset[str]:
    """Return the addresses of this machine whose networks libca would search by broadcast now."""
    if os.environ.get("EPICS_CA_AUTO_ADDR_LIST", "").strip().upper() == "NO":
        return frozenset()
    up = {name for name, interface in psutil.net_if_stats().items() if interface.isup}
    return frozenset(
        one.address
        for name, addresses in psutil.net_if_addrs().items()
        for one in addresses
        if name in up and one.family == socket.AF_INET and not one.address.startswith("127.")
    )
