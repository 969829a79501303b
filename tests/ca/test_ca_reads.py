"""Reading with EPICS base's own tools: types, metadata, record fields."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import caproto as ca
import pytest
import uvloop
from caproto import AlarmSeverity
from raw_client import RawClient

from ioc.ca import Client, CommandPv, EnumPv, FloatArrayPv, FloatPv, IntPv, Pv, StringArrayPv, StringPv, TextPv
from tests.ca.serving import Serve
from tests.epics import Epics


async def _accept(client: Client, value: Any) -> None:
    pass


async def _command(client: Client) -> None:
    pass


def some_pvs() -> list[Pv[Any]]:
    limits: dict[str, Any] = {"lolo": -5, "low": 1, "high": 8, "hihi": 9, "minimum": -10, "maximum": 10}
    return [
        EnumPv("T:Enum", "a choice", ("Off", "Idle", "Described"), value=1, on_put=_accept),
        EnumPv("T:Two", "two states", ("No", "Yes"), value=1),
        IntPv("T:Int", "a count", units="MB", value=-7, **limits),
        FloatPv("T:Float", "a pressure", units="Torr", precision=2, value=3.14159, on_put=_accept, **limits),
        StringPv("T:String", "a name", value="short"),
        TextPv("T:Text", "a text", 40, value="two\nlines", on_put=_accept),
        StringArrayPv("T:List", "names", 5, value=("one", "two")),
        FloatArrayPv("T:History", "an hour", 5, units="Torr", value=(1.5, 2.25, 4)),
        CommandPv("T:Command", "do it", _command),
    ]


SHOWN = {
    (): {
        "T:Enum": "Idle",
        "T:Two": "Yes",
        "T:Int": "-7",
        "T:Float": "3.14159",
        "T:String": "short",
        "T:List": "5 one two",
        "T:Command": "Done",
        "T:Float.": "3.14159",
        "T:Float.VAL": "3.14159",
        "T:Float.NAME": "T:Float",
        "T:Float.DESC": "a pressure",
        "T:Float.EGU": "Torr",
        "T:Float.PREC": "2",
        "T:Float.RTYP": "ao",
        "T:Float.HIHI": "9",
        "T:Float.HIGH": "8",
        "T:Float.LOW": "1",
        "T:Float.LOLO": "-5",
        "T:Float.HOPR": "10",
        "T:Float.LOPR": "-10",
        "T:Float.DRVH": "10",
        "T:Float.DRVL": "-10",
        "T:Float.HHSV": "MAJOR",
        "T:Float.HSV": "MINOR",
        "T:Float.LSV": "MINOR",
        "T:Float.LLSV": "MAJOR",
        "T:Float.MDEL": "0",
        "T:Float.SCAN": "Passive",
        "T:Float.UDF": "0",
        "T:Int.RTYP": "longin",
        "T:Int.SCAN": "I/O Intr",
        "T:Int.EGU": "MB",
        "T:Int.SEVR": "NO_ALARM",
        "T:Int.STAT": "NO_ALARM",
        "T:Enum.RTYP": "mbbo",
        "T:Enum.ZRST": "Off",
        "T:Enum.TWST": "Described",
        "T:Enum.FFST": "",
        "T:Two.RTYP": "bi",
        "T:Two.ZNAM": "No",
        "T:Two.ONAM": "Yes",
        "T:Command.RTYP": "bo",
        "T:Command.ONAM": "Busy",
        "T:Text.RTYP": "waveform",
        "T:Text.FTVL": "CHAR",
        "T:Text.NELM": "40",
        "T:List.FTVL": "STRING",
        "T:List.NORD": "2",
        "T:History.RTYP": "waveform",
        "T:History.FTVL": "DOUBLE",
        "T:History.NELM": "5",
        "T:History.NORD": "3",
        "T:History.EGU": "Torr",
        "T:History.PREC": "3",
        "T:History.HOPR": "0",
        "T:String.RTYP": "stringin",
    },
    ("-n",): {"T:Enum": "1", "T:Two": "1"},
    ("-s",): {"T:Float": "3.14", "T:Enum": "Idle"},
    ("-#2",): {"T:List": "2 one two"},
    ("-S",): {
        "T:Text": "two\\nlines",
        "T:Text.VAL$": "two\\nlines",
        "T:String$": "short",
        "T:Float.DESC$": "a pressure",
    },
}


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_everything_that_caget_shows(epics: Epics, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    """caget reads every type and every field, on asyncio's own loop and on uvloop."""

    async def scene() -> dict[tuple[str, ...], dict[str, str]]:
        serve = Serve()
        await serve(*some_pvs())
        shown: dict[tuple[str, ...], dict[str, str]] = {}
        try:
            for options, names in SHOWN.items():
                lines = (await epics.acaget(*options, *names)).stdout.splitlines()
                shown[options] = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
        finally:
            await serve.close()
        return shown

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(scene()) == SHOWN


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("-d", "CTRL_DOUBLE", "T:Float"),
            [
                "Value: 3.14",
                "Units: Torr",
                "Precision: 2",
                "Hi disp limit: 10",
                "Lo disp limit: -10",
                "Hi alarm limit: 9",
                "Hi warn limit: 8",
                "Lo warn limit: 1",
                "Lo alarm limit: -5",
                "Hi ctrl limit: 10",
                "Lo ctrl limit: -10",
                "Severity: NO_ALARM",
            ],
        ),
        (
            ("-d", "GR_LONG", "T:Int"),
            ["Value: -7", "Units: MB", "Hi alarm limit: 9", "Status: LOLO", "Severity: MAJOR"],
        ),
        (("-d", "CTRL_ENUM", "T:Enum"), ["Value: Idle", "Enums: ( 3)", "[ 0] Off", "[ 2] Described"]),
        (("-d", "GR_ENUM", "T:Two"), ["Value: Yes", "Enums: ( 2)"]),
        (("-d", "TIME_STRING", "T:Enum"), ["Value: Idle", "Native data type: DBF_ENUM"]),
        (("-d", "GR_STRING", "T:String"), ["Value: short", "Native data type: DBF_STRING"]),
        (("-d", "STS_FLOAT", "T:Float"), ["Value: 3.14159"]),
        (("-d", "CTRL_CHAR", "T:Enum"), ["Value: 1"]),
        (("-d", "CTRL_SHORT", "T:Float"), ["Value: 3", "Units: Torr"]),
        (("-d", "CLASS_NAME", "T:Float"), ["Class Name: ao"]),
        (("-d", "STSACK_STRING", "T:Int"), ["Value: -7", "Severity: MAJOR"]),
        (("-d", "STRING", "T:Text"), ["Native data type: DBF_CHAR", "Element count: 40"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
async def test_metadata(epics: Epics, serve: Serve, arguments: tuple[str, ...], expected: list[str]) -> None:
    """Units, precision, limits, state names and alarm are true for the native type and for every other."""
    pvs = some_pvs()
    pvs[2].post(-7)
    await serve(*pvs)
    result = await epics.acaget(*arguments)
    shown = " ".join(result.stdout.split())
    assert [item for item in expected if item not in shown] == [], shown


@pytest.mark.parametrize(
    "name", ["T:None", "T:Float.NONE", "T:Float.ZRST", "T:Text.EGU", "T:Float$", 'T:Float{"ts":{}}', "T:Float[0]"]
)
async def test_names_that_do_not_exist(epics: Epics, serve: Serve, name: str) -> None:
    """A name that is no PV, a field the PV does not have, and a filter without its point are not found."""
    await serve(*some_pvs())
    result = await epics.acaget("-w", "0.3", name)
    assert result.returncode != 0
    assert "not found" in result.stderr


async def test_alarm_and_time_travel_with_the_value(epics: Epics, serve: Serve) -> None:
    """caget -a shows the posted time stamp and alarm, and the alarm fields follow."""
    pv = IntPv("T:X", "", hihi=5)
    await serve(pv)
    assert await epics.value("T:X.SEVR") == "NO_ALARM"
    pv.post(6, timestamp=1_700_000_000.25)
    shown = (await epics.acaget("-a", "T:X")).stdout
    assert "2023-11-14" in shown
    assert "13:20.250000 6 HIHI MAJOR" in shown
    assert (await epics.value("T:X.SEVR"), await epics.value("T:X.STAT")) == ("MAJOR", "HIHI")
    pv.post(1, severity=AlarmSeverity.INVALID_ALARM, status="TIMEOUT")
    assert (await epics.value("T:X.SEVR"), await epics.value("T:X.STAT")) == ("INVALID", "TIMEOUT")


async def test_text_fills_its_length(serve: Serve) -> None:
    """A text comes with its whole fixed length, NUL padded, whatever count was asked for."""
    server = await serve(*some_pvs())
    async with RawClient(server.port) as client:
        channel = await client.channel("T:Text")
        assert channel.native_data_count == 40
        await client.send(channel.read(data_count=0))
        answer = await client.next(ca.ReadNotifyResponse)
        assert bytes(answer.buffers[1]) == b"two\nlines".ljust(40, b"\0")


@pytest.mark.parametrize(
    ("name", "data_type", "count", "status"),
    [
        ("T:String", ca.ChannelType.LONG, 1, "ECA_NOCONVERT"),
        ("T:Float", ca.ChannelType.DOUBLE, 2, "ECA_BADCOUNT"),
        ("T:Float", ca.ChannelType.PUT_ACKT, 1, "ECA_NOCONVERT"),
    ],
)
async def test_reads_that_cannot_be_answered(
    serve: Serve, name: str, data_type: ca.ChannelType, count: int, status: str
) -> None:
    """A read of a text as a number, of too many elements, of a type that cannot be read is refused, not made up."""
    server = await serve(*some_pvs())
    async with RawClient(server.port) as client:
        channel = await client.channel(name)
        await client.send(ca.ReadNotifyRequest(data_type, count, channel.sid, 1))
        answer = await client.next(ca.ReadNotifyResponse)
        assert (answer.status.name, answer.ioid) == (status, 1)
        assert (await client.next(ca.ErrorResponse)).status.name == status
        await client.echo()
