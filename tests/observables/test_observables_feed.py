"""The feed against EPICS base's softIoc; the feed runs in a process of its own, which has the receiving one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from ioc.model import Reading
from ioc.observables import ObservableFeed
from ioc.sim.ports import free_port
from ioc.topology.schema import Observable
from tests.epics import PATIENCE, Epics, eventually
from tests.laps import Laps
from tests.observables.follower import follower, observable

DB = """
record(ao, "T:A") { field(EGU, "Torr") field(PREC, "2") field(HIHI, "100") field(HHSV, "MAJOR") field(PINI, "YES") }
record(bo, "T:B") { field(ZNAM, "Shut") field(ONAM, "Open") field(PINI, "YES") }
record(waveform, "T:W") { field(FTVL, "DOUBLE") field(NELM, "5") }
record(waveform, "T:C") { field(FTVL, "CHAR") field(NELM, "100") }
record(stringout, "T:S") { field(VAL, "text") field(PINI, "YES") }
record(longout, "T:L") { field(PINI, "YES") }
"""


async def test_every_type_of_source_becomes_its_observable(epics: Epics) -> None:
    """Numbers, enums, arrays by their first element, long and short texts come with alarm, time stamp and units."""
    with epics.soft_ioc(DB):
        async with follower(
            epics,
            observable("number", "T:A"),
            observable("rounded", "T:A", "integer"),
            observable("valve", "T:B", "enum"),
            observable("valve_text", "T:B", "string"),
            observable("valve_number", "T:B", "float"),
            observable("array", "T:W"),
            observable("long_text", "T:C", "string"),
            observable("text", "T:S", "string"),
            observable("no_number", "T:S", "float"),
        ) as it:
            await epics.acaput("T:A", "123.6")
            await epics.acaput("T:B", "Open")
            await epics.acaput("-a", "T:W", "2", "7.5", "8")
            await epics.acaput("-S", "T:C", "é" * 45)
            reading = await it.until("number", value=123.6, severity="MAJOR", status="HIHI")
            assert abs(reading["at"] - time.time()) < 10
            await it.until("rounded", value=124)
            await it.until("valve", value=1, label="Open")
            await it.until("valve_text", value="Open", label="")
            await it.until("valve_number", value=1.0)
            await it.until("array", value=7.5)
            await it.until("long_text", value="é" * 45)
            await it.until("text", value="text")
            assert math.isnan((await it.until("no_number"))["value"])
            known = {fact["properties"]: fact for fact in it.told if "properties" in fact}
            assert (known["number"]["units"], known["number"]["precision"]) == ("Torr", 2)
            assert known["valve"]["labels"] == ["Shut", "Open"]
            for value, expected in (("nan", math.isnan), ("inf", math.isinf)):
                await epics.acaput("T:A", value)
                async with asyncio.timeout(PATIENCE):
                    while not expected(it.of("number")[-1]["value"]):
                        await it.next()


async def test_a_source_that_goes_and_comes_back_with_another_type(epics: Epics) -> None:
    """A lost source is told once, without value; it is followed again although its type has changed."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        with epics.soft_ioc('record(ao, "T:A") { field(VAL, "1.5") field(PINI, "YES") }', port):
            it = await stack.enter_async_context(follower(epics, observable("a", "T:A"), observable("b", "T:NONE")))
            await it.until("a", value=1.5)
        await it.until("a", value=None, status="disconnected", severity="INVALID")
        with epics.soft_ioc('record(stringout, "T:A") { field(VAL, "2.5") field(PINI, "YES") }', port):
            await it.until("a", value=2.5)
        await it.until("a", value=None)
    values = [fact["value"] for fact in it.of("a")]
    assert values == [1.5, None, 2.5, None]
    assert it.of("b") == []


async def test_a_source_that_freezes_is_gone_until_it_goes_on(epics: Epics) -> None:
    """A source that hangs without closing its connection is a gap; when it goes on it is followed again."""
    epics.env["EPICS_CA_CONN_TMO"] = "2"  # else libca asks after half a minute
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A")) as it:
            await it.until("a", value=0.0)
            [soft_ioc] = [each for each in psutil.Process().children() if each.name() == "softIoc"]
            for number in (1.0, 2.0):
                soft_ioc.suspend()
                await it.until("a", timeout=20, value=None, status="disconnected", severity="INVALID")
                soft_ioc.resume()
                await it.until("a", timeout=20, value=number - 1)
                await epics.acaput("T:A", str(number))
                await it.until("a", value=number)
            assert [fact["value"] for fact in it.of("a")] == [0.0, None, 0.0, 1.0, None, 1.0, 2.0]


PROCESS = "the process that receives observables"
ENDED = f"{PROCESS} has ended and is restarted\n"
ENDINGS = [("kill", "", ENDED), ("suspend", "--impatient", f"{PROCESS} hangs and is killed\n{ENDED}")]


@pytest.mark.parametrize(("ending", "option", "said"), ENDINGS)
async def test_a_receiving_process_that_fails_is_a_gap(epics: Epics, ending: str, option: str, said: str) -> None:
    """When the process that receives is killed or hangs, each source is gone, and is followed by another process."""
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A"), observable("s", "T:S", "string"), option=option) as it:
            await it.until("a", value=0.0)
            await it.until("s", value="text")
            getattr(it.receiver(), ending)()
            await it.until("a", value=None)
            await it.until("a", value=0.0)
            await it.until("s", value="text")
            await epics.acaput("T:A", "1")
            await it.until("a", value=1.0)
            assert [fact["value"] for fact in it.of("a")] == [0.0, None, 0.0, 1.0]
            assert [fact["value"] for fact in it.of("s")] == ["text", None, "text"]
            it.logged = said.encode()


async def test_a_receiving_process_that_cannot_be_started_is_tried_again(
    epics: Epics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the system cannot start the process, the log says so, and it is started when it can be."""
    python = sys.executable
    readings: list[Reading] = []
    followed = ObservableFeed()
    monkeypatch.setattr(sys, "executable", "/no/python")
    with epics.soft_ioc(DB):
        monkeypatch.setenv("EPICS_CA_ADDR_LIST", epics.env["EPICS_CA_ADDR_LIST"])
        source = Observable.model_validate(observable("a", "T:A"))
        await followed.start([source], readings.extend, lambda name, properties: None)
        assert f"{PROCESS} cannot be started: [Errno 2] No such file" in caplog.text
        await followed.update([source])
        monkeypatch.setattr(sys, "executable", python)
        await eventually(lambda: readings)
        await followed.close()
    assert ENDED not in caplog.text


async def test_a_signal_to_all_processes_does_not_end_the_receiving_one(epics: Epics) -> None:
    """systemd sends SIGTERM to all processes of a service; the receiving one ends with the IOC, without a gap."""
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A")) as it:
            await it.until("a", value=0.0)
            it.receiver().terminate()
            await asyncio.sleep(3)
            await epics.acaput("T:A", "1")
            await it.until("a", value=1.0)
            assert [fact["value"] for fact in it.of("a")] == [0.0, 1.0]


async def test_a_frozen_source_does_not_delay_the_end(epics: Epics) -> None:
    """The feed closes soon also while the server of a source hangs."""
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A")) as it:
            await it.until("a", value=0.0)
            [soft_ioc] = [each for each in psutil.Process().children() if each.name() == "softIoc"]
            soft_ioc.suspend()
            begun = time.monotonic()
            await it.end()
            assert time.monotonic() - begun < 1.5
            soft_ioc.resume()


async def test_what_waits_for_the_ioc_does_not_fill_the_memory(epics: Epics) -> None:
    """When the IOC does not read what comes, the receiving process ends, and another one begins with the IOC."""
    records = [f'record(calc, "S:{n}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for n in range(400)]
    with epics.soft_ioc("\n".join(records)):
        sources = [observable(f"s{n}", f"S:{n}") for n in range(400)]
        async with follower(epics, *sources, option="--quiet") as it:
            await it.until_counted(400)
            receiver = it.receiver()
            it.suspend()
            await eventually(lambda: receiver.status() == psutil.STATUS_ZOMBIE)
            it.resume()
            await it.until_counted(it.told[-1]["count"] + 4000)
            assert it.receiver() != receiver
            it.logged = ENDED.encode()


async def test_observables_change_while_the_receiving_process_hangs(epics: Epics) -> None:
    """A change does not wait for ever for a process that hangs: the next one follows what is wanted then.

    So it is with a list that is larger than what a pipe takes.
    """
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A"), option="--impatient") as it:
            await it.until("a", value=0.0)
            it.receiver().suspend()
            await it.send(observable("s", "T:S", "string"), *(observable(f"n{n}", f"T:NONE{n}") for n in range(3000)))
            await it.until("s", value="text")
            it.logged = f"{PROCESS} hangs and is killed\n{ENDED}".encode()


async def test_the_receiving_process_ends_with_the_ioc(epics: Epics) -> None:
    """It does not stay when the process that started it is killed."""
    with epics.soft_ioc(DB), contextlib.suppress(AssertionError):
        async with follower(epics, observable("a", "T:A")) as it:
            await it.until("a", value=0.0)
            receiver = it.receiver()
            it.kill()
            await eventually(lambda: not receiver.is_running())
    assert not receiver.is_running()


async def test_a_receiving_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that closes its output but does not end is killed, and the event loop does not stand still meanwhile."""
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\nexec >&- sleep 600\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    before = set(psutil.Process().children())  # a server that tests share, for instance
    followed = ObservableFeed()
    await followed.start([], lambda readings: None, lambda name, properties: None)
    [process] = set(psutil.Process().children()) - before
    closing = asyncio.create_task(followed.close())
    with Laps() as laps:
        async with asyncio.timeout(4):
            while not closing.done():
                await laps.turn()
    assert laps.longest < 0.5
    await closing
    assert not process.is_running()


async def test_observables_change_while_running(epics: Epics) -> None:
    """A new observable is followed, one that is gone is not, and one that stays is not interrupted.

    So it is with one whose label, dead band or rate changes.
    """
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A"), observable("b", "T:L")) as it:
            await it.until("a", value=0.0)
            await it.until("b", value=0.0)
            await it.send(observable("a", "T:A"), observable("text", "T:S", "string"))
            await it.until("text", value="text")
            await epics.acaput("T:L", "5")
            await epics.acaput("T:A", "5")
            await it.until("a", value=5.0)
            assert [fact["value"] for fact in it.of("a")] == [0.0, 5.0]
            assert [fact["value"] for fact in it.of("b")] == [0.0]
            await it.send(observable("a", "T:A", deadband=2.0, label="A"), observable("b", "T:L"))
            await it.until("b", value=5.0)
            await epics.acaput("T:A", "6")
            await epics.acaput("T:A", "8")
            await it.until("a", value=8.0)
            assert [fact["value"] for fact in it.of("a")] == [0.0, 5.0, 8.0]


async def test_a_rate_limit_thins_a_burst_and_keeps_its_end(epics: Epics) -> None:
    """Of many updates in a moment a few are delivered, and the last one always."""
    with epics.soft_ioc(DB):
        async with follower(epics, observable("a", "T:A", max_rate=5)) as it:
            await it.until("a", value=0.0)
            began = time.monotonic()
            for number in range(1, 31):
                await epics.acaput("T:A", str(number))
            await it.until("a", value=30.0)
            lasted = time.monotonic() - began
            assert len(it.of("a")) <= 2 + 5 * lasted


async def test_a_storm_of_updates_does_not_block_the_loop(epics: Epics) -> None:
    """Thousands of updates per second are taken while the event loop stays responsive."""
    records = [f'record(calc, "S:{n}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for n in range(400)]
    with epics.soft_ioc("\n".join(records)):
        sources = [observable(f"s{n}", f"S:{n}") for n in range(400)]
        async with follower(epics, *sources, option="--quiet") as it, asyncio.timeout(PATIENCE):
            counted: list[dict[str, Any]] = []
            while len(counted) < 3:
                fact = await it.next()
                if fact.get("count"):
                    counted.append(fact)
            assert counted[-1]["count"] - counted[0]["count"] >= 4000
            assert counted[-1]["lag"] < 0.2
