"""Sends a message to one target: Apprise in a process of its own, which is ended after a time.

Apprise speaks to a hundred kinds of services; in a process it cannot hang or crash the IOC. The URL goes to its
standard input; nothing that the process says is repeated but one of a few words, because it may contain the URL.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Executor

from ioc.child import run_module
from ioc.errors import PeerError, PeerRejected
from ioc.topology.schema import Target
from ioc.topology.secret import read_secret

SECONDS = 30.0
NOT_INSTALLED = "the Python package apprise is not installed"
_PROBLEMS = {
    "missing": NOT_INSTALLED,
    "url": "its secret is not an Apprise URL",
    "failed": "the service did not accept the message, or cannot be reached",
}


async def send(target: Target, title: str, body: str, threads: Executor, *, seconds: float = SECONDS) -> None:
    """Send one message.

    Raises:
        PeerRejected: it can never be sent this way.
        PeerError: it was not sent, or whether it was is not known.
    """
    url = await asyncio.get_running_loop().run_in_executor(threads, read_secret, target.url)
    data = json.dumps({"url": url, "title": title, "body": body}).encode()
    outcome = (await run_module("ioc.notify.apprise_child", (), data, seconds)).decode(errors="replace")
    if outcome in {"missing", "url"}:
        raise PeerRejected(_PROBLEMS[outcome])
    if outcome != "sent":
        raise PeerError(_PROBLEMS.get(outcome, "Apprise failed"))
