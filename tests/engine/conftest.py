"""The tests of the engine have a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.engine.clock import ClockLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Time passes only while nothing can be done."""
    return {"clock": ClockLoop}
