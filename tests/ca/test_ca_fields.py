"""Record fields: true whenever they are read or monitored, and at no cost for updates while nobody monitors them."""

from __future__ import annotations

import time
from typing import Any

import caproto as ca
import pytest
from caproto import AlarmSeverity
from raw_client import RawClient

from ioc.ca import EnumPv, FloatPv, IntPv, Pv, StringArrayPv, StringPv, TextPv
from ioc.ca.fields import field_of
from ioc.ca.site import Namespace
from tests.ca.serving import Serve
from tests.epics import Epics, eventually

ARCHIVER = (
    *("NAME", "RTYP", "SCAN", "ADEL", "MDEL", "HIHI", "HIGH", "LOW", "LOLO", "EGU", "PREC", "DESC", "DRVH", "DRVL"),
    *("HOPR", "LOPR", "HYST", "TIME", "UDF", "SEVR", "STAT"),
)
POSTS = 2000


def seconds(pv: Pv[Any], first: int) -> float:
    begun = time.thread_time()  # other work on this machine does not count
    for value in range(first, first + POSTS):
        pv.post(value)
    return time.thread_time() - begun


async def test_fields_that_were_read_cost_nothing(serve: Serve) -> None:
    """A PV whose fields a client has read is updated as quickly as one of which nobody ever asked for a field."""
    read, untouched = FloatPv("T:Read", "", hihi=1e9), FloatPv("T:Untouched", "", hihi=1e9)
    server = await serve(read, untouched)
    async with RawClient(server.port) as client:
        for field in ARCHIVER:
            channel = await client.channel(f"T:Read.{field}")
            await client.send(channel.read(data_count=0))
            await client.next(ca.ReadNotifyResponse)
            await client.send(channel.subscribe(subscriptionid=100 + channel.cid))
            await client.next(ca.EventAddResponse)
            await client.send(channel.unsubscribe(100 + channel.cid))
        await client.echo()
        pairs = [(seconds(read, turn * POSTS), seconds(untouched, turn * POSTS)) for turn in range(1, 16)]
    assert not read.listeners
    assert min(pair[0] for pair in pairs) <= 1.2 * min(pair[1] for pair in pairs)


@pytest.mark.parametrize("monitored", [False, True])
def test_fields_follow_their_pv(monitored: bool) -> None:
    """Value, alarm, time and properties: the field shows what is true now, monitored or not."""
    pv = FloatPv("T:X", "", units="mbar", precision=1, hihi=9, value=1.0)
    namespace = Namespace([pv])
    heard: list[str] = []

    class Ear:
        mask = 0xF

        def __init__(self, name: str) -> None:
            self.name = name

        def offer(self, snapshot: object) -> None:
            heard.append(self.name)

    fields: dict[str, Pv[Any]] = {}
    for name in ("SEVR", "STAT", "EGU", "PREC", "TIME", "DESC"):
        found = namespace.find(f"T:X.{name}")
        assert found is not None
        fields[name] = found
        if monitored:
            found.subscribe(Ear(name))
    pv.post(10.0, timestamp=1_700_000_000.0)
    assert (fields["SEVR"].value, fields["STAT"].value) == (2, ca.AlarmStatus.HIHI)
    assert fields["SEVR"].timestamp == 1_700_000_000.0
    assert fields["TIME"].value.startswith("2023-11-1")
    pv.set_units("Torr", 3)
    assert (fields["EGU"].value, fields["PREC"].value) == ("Torr", 3)
    pv.post(2.0)
    assert fields["SEVR"].value == 0
    assert fields["SEVR"] is namespace.find("T:X.SEVR")
    assert set(heard) == ({"SEVR", "STAT", "EGU", "PREC", "TIME", "DESC"} if monitored else set())


def test_a_monitored_field_hears_of_rare_changes_only() -> None:
    """A monitored field is not read at every value, only when alarm or properties change."""
    asked: list[str] = []

    class Asked(FloatPv):
        @property
        def record_type(self) -> str:
            asked.append(self.name)
            return super().record_type

    class Ear:
        mask = 0xF

        def offer(self, snapshot: object) -> None:
            pass

    pv = Asked("T:X", "", hihi=9)
    field = field_of(pv, "RTYP")
    assert field is not None
    field.subscribe(Ear())
    asked.clear()
    for value in range(5):
        pv.post(value)
    assert asked == []
    pv.post(10)
    assert asked == ["T:X"]


async def test_camonitor_of_a_field(epics: Epics, serve: Serve) -> None:
    """A client that monitors a field is told when it changes, and a second monitor ends without the first."""
    pv = StringPv("T:S", "", value="a")
    number = IntPv("T:X", "", hihi=5)
    await serve(pv, number)
    async with epics.camonitor("T:X.SEVR", "T:S.VAL$") as lasting:
        await lasting.until(lambda lines: len(lines) == 2)
        async with epics.camonitor("T:X.SEVR") as short:
            await short.until(lambda lines: lines)
        number.post(7)
        await lasting.until(lambda lines: lines[-1].split()[3] == "MAJOR")
        pv.post("new")
        await lasting.until(lambda lines: len(lines) == 4)
    await eventually(lambda: not pv.listeners and not number.listeners)


def test_every_field_of_every_type() -> None:
    """A field exists or does not, whichever PV it is asked of; the value of those that exist can be read."""
    pvs = [
        EnumPv("T:E", "", ("a", "b", "c")),
        IntPv("T:I", ""),
        FloatPv("T:F", ""),
        StringPv("T:S", ""),
        TextPv("T:T", "", 9),
        StringArrayPv("T:A", "", 3),
    ]
    for pv in pvs:
        for name in [*ARCHIVER, "ZRST", "ZNAM", "NELM", "NORD", "FTVL", "HHSV", "DESC$", "$", "VAL$", "ACKS", "ACKT"]:
            field = field_of(pv, name)
            if field is not None:
                assert field.snapshot.value is not None
    assert pvs[0].severity is AlarmSeverity.NO_ALARM
