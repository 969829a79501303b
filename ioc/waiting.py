"""Waiting for news, at most for a time."""

from __future__ import annotations

import asyncio
import contextlib


async def wait_for_news(news: asyncio.Event, seconds: float | None) -> None:
    """Wait until `news` is set, at most so long, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
    news.clear()
