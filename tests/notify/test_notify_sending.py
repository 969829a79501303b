"""Notifications by Apprise to a service that is good, hangs, fails or is gone; the secret is never seen anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.model import DocumentState, Event, InterlockState, RunClass, RunId, RunRecord, RunState, Severity
from ioc.notify.notifier import Notifier
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Interlock, Router, Run, State, Trouble
from ioc.sim.ports import free_port
from ioc.topology.load import EXAMPLE, load
from ioc.topology.schema import Notifications, Topology
from tests.epics import PATIENCE, eventually
from tests.laps import Laps
from tests.notify.receiver import Receiver

pytest.importorskip("apprise")
SECRET = "t0psecretw0rd"
EXAMPLE_TOPOLOGY = load(EXAMPLE)
BEFORE = RunRecord(RunId("e1", 6), DocumentState.Failed, RunClass.Beam, "", 1.0, message="12:00 broke yesterday")
FAILED = RunRecord(RunId("e1", 7), DocumentState.Failed, RunClass.Beam, "", 5.0, message="12:00 the start failed")


class Core:
    """What the notifier needs of an engine: a state that the test changes."""

    def __init__(self) -> None:
        self.plan = Plan.of(EXAMPLE_TOPOLOGY)
        self.state = State()
        self._listeners: list[Callable[[State], None]] = []

    def subscribe(self, listener: Callable[[State], None]) -> None:
        self._listeners.append(listener)

    def change(self, **parts: Any) -> None:
        self.state = replace(self.state, **parts)
        for listener in self._listeners:
            listener(self.state)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as opened:
        monkeypatch.setenv("GOOD_URL", f"json://user:{SECRET}@127.0.0.1:{opened.port}/{SECRET}?rto=2&cto=2")
        monkeypatch.setenv("GONE_URL", f"json://user:{SECRET}@127.0.0.1:{free_port()}/{SECRET}?rto=2&cto=2")
        yield opened


@pytest.fixture(autouse=True)
def in_own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file of what was told is in a directory of the test."""
    monkeypatch.chdir(tmp_path)


def topology(*rules: dict[str, Any], targets: Sequence[Any] = ("GOOD_URL",), **more: Any) -> Topology:
    section: dict[str, Any] = {
        "targets": [each if isinstance(each, dict) else {"name": each, "url": f"env:{each}"} for each in targets],
        "rules": rules or [{"when": "observable_gone", "for_seconds": 0}, {"when": "run_failed"}],
        **more,
    }
    return EXAMPLE_TOPOLOGY.model_copy(
        update={"notifications": Notifications.model_validate(section), "database": "runs.db"}
    )


class Watch:
    """A notifier that works, its core and its log."""

    def __init__(self, settings: Topology, *, seconds: float = 60.0) -> None:
        self.core = Core()
        self.events: list[Event] = []
        engine: Any = self.core
        self.notifier = Notifier(settings, engine, self.events.append, pauses=(0.05,), seconds=seconds)

    @property
    def lines(self) -> list[str]:
        return [f"{event.source} {event.message}" for event in self.events]


@contextlib.asynccontextmanager
async def working(settings: Topology, *, seconds: float = 60.0) -> AsyncIterator[Watch]:
    watch = Watch(settings, seconds=seconds)
    task = asyncio.create_task(watch.notifier.run())
    try:
        yield watch
    finally:
        task.cancel()
        began = time.monotonic()
        await asyncio.wait([task])
        assert time.monotonic() - began < 1.0, "it would wait for 60 s"


async def test_a_message_arrives(receiver: Receiver) -> None:
    """A condition becomes a message with the experiment and a sentence; a run that failed before does not."""
    async with working(topology()) as watch:
        watch.notifier.started()
        watch.core.change(restored=True, run=Run(state=RunState.Failed, record=BEFORE))
        watch.core.change(missing=frozenset({"pressure"}))
        await eventually(lambda: receiver.messages)
        watch.core.change(run=Run(state=RunState.Failed, record=FAILED))
        watch.core.change(run=Run(state=RunState.Starting, record=replace(FAILED, state=DocumentState.Starting)))
        await eventually(lambda: len(receiver.messages) == 2)
    assert receiver.messages[0]["title"] == f"ATTPC: {EXAMPLE_TOPOLOGY.experiment}"
    assert [message["message"] for message in receiver.messages] == [
        "the required observable pressure is disconnected",
        "run 7 of e1 failed: 12:00 the start failed",
    ]
    assert watch.lines == []


async def test_a_start_of_the_ioc_is_reported(receiver: Receiver) -> None:
    """When the process starts, and not when it restarts internally, those who asked for it are told."""
    async with working(topology({"when": "ioc_restarted"})) as watch:
        watch.notifier.started()
        watch.core.change(restored=True)
        await eventually(lambda: receiver.messages)
    assert receiver.messages[0]["message"].startswith("the IOC was started at ")


async def test_a_lost_run_is_reported_before_it_is_closed(receiver: Receiver) -> None:
    """A run that ended with the IOC waits for its files: people hear of it at once, with the cause, and only once."""
    record = replace(FAILED, state=DocumentState.Filing, message="")
    cause = Trouble(About.Restart, "", 0.0, "it ended while the IOC was down", Severity.MAJOR)
    lost = Run(state=RunState.Filing, record=record, ending=DocumentState.Orphaned, troubles=(cause,))
    for name in ("data0", "data1"):  # the second process is started while the run still waits
        async with working(topology({"when": "run_failed"}, {"when": "no_data", "for_seconds": 0})) as watch:
            watch.core.change(restored=True, run=lost, routers={name: Router(silent=True)})
            await eventually(lambda name=name: any(f"router {name}" in str(each) for each in receiver.messages))
            watch.core.change(run=Run(state=RunState.Stopped, record=replace(record, state=DocumentState.Orphaned)))
    await eventually(lambda: any("run 7 of e1" in str(each) for each in receiver.messages))
    told = [str(each) for each in receiver.messages if "run 7 of e1 failed" in str(each)]
    assert len(told) == 1
    assert "it ended while the IOC was down" in told[0]


async def test_an_ioc_that_restarts_all_the_time_rings_once(receiver: Receiver) -> None:
    """What an earlier process has told is not told again within the repeat time; a spoilt file is no harm."""
    settings = topology({"when": "ioc_restarted"}, {"when": "interlock_tripped"})
    tripped = {"gas": Interlock(state=InterlockState.Tripped, reason="it is 3")}
    for _ in range(3):
        async with working(settings) as watch:
            watch.notifier.started()
            watch.core.change(restored=True, interlocks=tripped)
            await eventually(lambda: len(receiver.messages) >= 2)
            await asyncio.sleep(0)
    assert len(receiver.messages) == 2
    assert Path("runs.db-notified").exists()
    Path("runs.db-notified").write_text("[[1]]")
    async with working(settings) as watch:
        watch.core.change(restored=True, interlocks=tripped)
        await eventually(lambda: len(receiver.messages) == 3)


@pytest.mark.parametrize("fault", ["500", "hang", "gone", "no url", "not set", "mode"])
async def test_the_secret_is_never_seen(
    receiver: Receiver,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A target that fails in any way is one line of the log with its name, nowhere the URL or a part of it."""
    caplog.set_level(logging.DEBUG)
    receiver.fault = fault if fault in {"500", "hang"} else ""
    settings = topology(targets=("GONE_URL",) if fault == "gone" else ("GOOD_URL",))
    if fault == "no url":
        os.environ["GOOD_URL"] = f"nonsense-{SECRET}://{SECRET}"
    elif fault == "not set":
        del os.environ["GOOD_URL"]
    elif fault == "mode":
        (tmp_path / "url").write_text(f"json://{SECRET}")
        (tmp_path / "url").chmod(0o644)
        settings = topology(targets=[{"name": "GOOD_URL", "url": f"file:{tmp_path}/url"}])
    async with working(settings, seconds=4.0) as watch:
        watch.core.change(restored=True, missing=frozenset({"pressure"}))
        await eventually(lambda: watch.events)
    assert len(watch.lines) == 1
    assert watch.lines[0].startswith(("Notify:GOOD_URL a message was not sent: ", "Notify:GONE_URL a message was not"))
    printed = capfd.readouterr()
    everything = "".join([*watch.lines, caplog.text, printed.out, printed.err, repr(watch.events)])
    assert SECRET not in everything
    assert receiver.messages == []


async def test_a_target_that_hangs_delays_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one target hangs the others get their messages, the event loop runs, and the end does not wait."""
    with Receiver() as hanging:
        hanging.fault = "hang"
        monkeypatch.setenv("BAD_URL", f"json://127.0.0.1:{hanging.port}/?rto=60&cto=60")
        async with working(topology(targets=("BAD_URL", "GOOD_URL")), seconds=60) as watch:
            watch.core.change(restored=True, missing=frozenset({"pressure"}))
            deadline = time.monotonic() + PATIENCE
            with Laps() as laps:
                while not (receiver.messages and hanging.requests):
                    assert time.monotonic() < deadline
                    await laps.turn()
        assert laps.longest < 0.5


async def test_the_queue_is_bounded(receiver: Receiver) -> None:
    """Of many messages to a target that hangs the oldest are dropped."""
    receiver.fault = "hang"
    names = [f"o{n}" for n in range(30)]
    rules = [{"when": "observable_gone", "for_seconds": 0} for _ in names]
    async with working(topology(*rules), seconds=60) as watch:
        watch.core.change(restored=True, missing=frozenset(names))
        await eventually(lambda: any("the oldest one is dropped" in line for line in watch.lines))
