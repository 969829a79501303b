"""A PVAccess source whose server ends the subscription."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from p4p.client.asyncio import Context, Finished, RemoteError
from p4p.nt import NTScalar
from p4p.server import Server
from p4p.server.raw import SharedPV

from ioc.model import Reading, ValueType
from ioc.observables.monitor import Source
from ioc.observables.pva_monitor import PvaMonitor
from tests.epics import Epics, eventually


class EndsFirst:
    """A p4p client whose first subscription ends as its server wants; the others are real."""

    def __init__(self, context: Context, end: Exception) -> None:
        self._context = context
        self._end = end
        self.subscriptions = 0

    def monitor(self, name: str, take: Callable[[Any], Awaitable[None]], **options: Any) -> Any:
        self.subscriptions += 1
        if self.subscriptions > 1:
            return self._context.monitor(name, take, **options)

        async def refused(_: Any) -> None:
            await take(self._end)

        return self._context.monitor(name, refused, **options)


@pytest.mark.parametrize("end", [RemoteError("not yet"), Finished()])
async def test_what_the_server_ended_is_subscribed_again(
    epics: Epics, monkeypatch: pytest.MonkeyPatch, end: Exception
) -> None:
    """After an error or the end of a subscription the observable comes back, but not in a tight loop."""
    readings: list[Reading] = []
    pvs = {"P:Number": SharedPV(nt=NTScalar("d"), initial=1.5)}
    with Server(providers=[pvs]), contextlib.closing(Context("pva", nt=False)) as context:
        ends_first = EndsFirst(context, end)
        monkeypatch.setattr("ioc.observables.pva_monitor._context", lambda: ends_first)
        source = Source("x", "pva://P:Number", ValueType.Float, 0.0, None)
        monitor = PvaMonitor(source, readings.append, lambda *_: None)
        await asyncio.sleep(0)

        def found() -> bool:
            monitor.check()
            return bool(readings)

        monitor.check()
        assert ends_first.subscriptions == 1
        await eventually(found)
        assert [reading.value for reading in readings] == [1.5]
        assert ends_first.subscriptions == 2
        monitor.check()
        assert ends_first.subscriptions == 2
        await monitor.close()
