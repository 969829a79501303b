"""Observables from PVAccess, against a p4p server and pvxs' softIocPVX, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.epics import Epics
from tests.observables.follower import ROOT, Follower, follower, observable

DB = """
record(ao, "T:A") { field(EGU, "Torr") field(PREC, "2") field(HIHI, "100") field(HHSV, "MAJOR") field(PINI, "YES") }
record(bo, "T:B") { field(ZNAM, "Shut") field(ONAM, "Open") field(PINI, "YES") }
"""


@contextlib.asynccontextmanager
async def p4p_server(epics: Epics, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`pva_source.py`, ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.observables.pva_source",
        *options,
        cwd=ROOT,
        env=epics.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def change(server: asyncio.subprocess.Process, name: str, value: Any) -> None:
    assert server.stdin is not None
    server.stdin.write(json.dumps([name, value]).encode() + b"\n")
    await server.stdin.drain()


def known(it: Follower, name: str) -> dict[str, Any]:
    """The last properties told of an observable."""
    return [fact for fact in it.told if fact.get("properties") == name][-1]


async def test_every_structure_becomes_its_observable(epics: Epics) -> None:
    """NTScalar, NTEnum, NTScalarArray and fields of a structure come with units, alarm and time stamp."""
    async with (
        p4p_server(epics) as server,
        follower(
            epics,
            observable("number", "pva://P:Number"),
            observable("rounded", "pva://P:Number", "integer"),
            observable("valve", "pva://P:Enum", "enum"),
            observable("valve_text", "pva://P:Enum", "string"),
            observable("text", "pva://P:Text", "string"),
            observable("no_number", "pva://P:Text"),
            observable("array", "pva://P:Array"),
            observable("pressure", "pva://P:Gas/pressure"),
            observable("bottle", "pva://P:Gas/bottle/name", "string"),
        ) as it,
    ):
        assert (await it.until("number", value=1.5))["severity"] == "NO_ALARM"
        assert (known(it, "number")["units"], known(it, "number")["precision"]) == ("Torr", 2)
        await it.until("rounded", value=2)
        await it.until("valve", value=1, label="Open")
        assert known(it, "valve")["labels"] == ["Shut", "Open"]
        await it.until("valve_text", value="Open")
        await it.until("text", value="He + 10 % CO2, grün")
        assert math.isnan((await it.until("no_number"))["value"])
        await it.until("array", value=7.5)
        assert (await it.until("pressure", value=360.5, severity="MINOR", status="LOW"))["at"] == 1_700_000_000.5
        await it.until("bottle", value="B3")
        await change(server, "P:Number", 2.5)
        await change(server, "P:Enum", 0)
        await change(server, "P:Gas", {"pressure": 361.0})
        await it.until("number", value=2.5)
        assert known(it, "number")["units"] == "Torr"
        await it.until("valve", value=0, label="Shut")
        await it.until("pressure", value=361.0, severity="MINOR")


async def test_every_update_is_a_reading(epics: Epics) -> None:
    """A burst loses nothing, in order."""
    async with p4p_server(epics) as server, follower(epics, observable("number", "pva://P:Number")) as it:
        await it.until("number", value=1.5)
        for value in range(100):
            await change(server, "P:Number", float(value))
        await it.until("number", value=99.0)
        assert [fact["value"] for fact in it.of("number")][1:] == [float(value) for value in range(100)]


async def test_a_killed_server_is_a_gap_until_it_is_back(epics: Epics) -> None:
    """The observable disconnects with its server, and continues when the server is back, even with another type."""
    async with follower(epics, observable("number", "pva://P:Number", "string")) as it:
        async with p4p_server(epics):
            await it.until("number", value="1.5")
        assert (await it.until("number", value=None))["status"] == "disconnected"
        async with p4p_server(epics, "--text"):
            await it.until("number", timeout=30, value="off")


async def test_what_has_no_value_is_refused_with_a_reason(epics: Epics) -> None:
    """An image, a structure without a field named and a field that does not exist are logged, each once."""
    async with (
        p4p_server(epics) as server,
        follower(
            epics,
            observable("image", "pva://P:Image"),
            observable("gas", "pva://P:Gas"),
            observable("colour", "pva://P:Gas/colour"),
            observable("number", "pva://P:Number"),
        ) as it,
    ):
        await it.until("number", value=1.5)
        await change(server, "P:Gas", {"pressure": 1.0})
        await change(server, "P:Number", 2.0)
        await it.until("number", value=2.0)
        lines = await it.log_until("colour", "gas", "image")
        assert "it is an image (NTNDArray), but must be a number, a text or an enum" in lines["image"]
        assert "it is a structure lab:gas:1.0 without a value: name one of its fields (pressure," in lines["gas"]
        assert "its structure has no field colour" in lines["colour"]
        assert it.of("image") == it.of("gas") == it.of("colour") == []


async def test_a_record_of_epics_base(epics: Epics, tmp_path: Path) -> None:
    """softIocPVX's records are followed with units, alarm, enum strings and time stamps."""
    database = tmp_path / "soft.db"
    database.write_text(DB)
    with subprocess.Popen(
        [sys.executable, "-m", "pvxslibs.ioc", "-d", database],
        env=epics.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as ioc:
        try:
            async with follower(epics, observable("a", "pva://T:A"), observable("b", "pva://T:B", "enum")) as it:
                await it.until("b", timeout=20, value=0, label="Shut")
                assert (await epics.arun("pvput", "T:A", "123.5")).returncode == 0
                reading = await it.until("a", value=123.5, severity="MAJOR", status="HIHI")
                assert abs(reading["at"] - time.time()) < 10
                assert known(it, "a")["units"] == "Torr"
        finally:
            ioc.kill()
