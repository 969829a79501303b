# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What libca has to say, in our log: by itself it prints several lines to stderr for each lost connection."""

from __future__ import annotations

import functools
import logging
from typing import Any

_log = logging.getLogger(__name__)


@functools.cache
def log_exceptions() -> object:
    """Send libca's asynchronous exceptions to the log, one line each; once per process.

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
