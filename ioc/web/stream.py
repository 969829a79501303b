"""One viewer's stream of server-sent events.

A viewer that reads slowly blocks only its own task, with at most the buffer of its socket. It is then sent what has
changed meanwhile in one piece, or dropped if it has not read for `_PATIENCE`; its browser connects again by itself.
"""

from __future__ import annotations

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from ioc.web.live import Live

MOST = 1000
"""Viewers at a time."""
_PATIENCE = 20.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes each event on at once
]


class Streams:
    """All viewers' streams: an ASGI application."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._closing = asyncio.Event()
        self.viewers = 0

    def close(self) -> None:
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await PlainTextResponse("", media_type="text/event-stream")(scope, receive, send)
            return
        if self.viewers >= MOST or self._closing.is_set():
            text = f"{self.viewers} viewers are connected, but at most {MOST} are served"
            await PlainTextResponse(text, 503, {"Retry-After": "10"})(scope, receive, send)
            return
        self.viewers += 1
        ends = (self._write(send), _disconnected(receive), self._closing.wait())
        tasks = [asyncio.ensure_future(each) for each in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.viewers -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        version = 0
        while True:
            event = self._live.message(version)
            version = self._live.version
            async with asyncio.timeout(_PATIENCE):
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await self._live.wait(version)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
