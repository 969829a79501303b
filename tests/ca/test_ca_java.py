"""In front of Phoebus' own Channel Access library: texts, refusals, monitors, fields, a restart, long texts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ioc.ca import Client, CommandPv, EnumPv, FloatPv, IntPv, Pv, Refused, StringArrayPv, StringPv, TextPv
from ioc.pvs.group import LOG_LENGTH
from tests.ca.java_client import java_client
from tests.ca.serving import Serve
from tests.epics import Epics, eventually


def stored(pv: Pv[Any]) -> Pv[Any]:
    async def store(client: Client, value: Any) -> None:
        pv.post(value)

    pv.on_put = store
    return pv


async def _refuse(client: Client) -> None:
    await asyncio.sleep(0.01)
    raise Refused("run 12 cannot start: router data3 is Dirty")


async def test_texts(epics: Epics, serve: Serve) -> None:
    """A text as Phoebus writes it to a CHAR waveform and as it writes it to a DBR_STRING, and as bytes."""
    text, string = stored(TextPv("T:Text", "", 100)), stored(StringPv("T:String", ""))
    await serve(text, string)
    async with java_client(epics) as java:
        await java.connect("T:Text", "T:String")
        for value in ("test", "", "Kühlung Ω 漢 😀", "x" * 99):
            java.say("text", "T:Text", value)
            assert (await java.hear("put", "T:Text"))[0] == "NORMAL"
            assert text.value == value
            java.say("get", "T:Text")
            assert (await java.hear("got", "T:Text"))[:2] == ["NORMAL", value]
        java.say("bytes", "T:Text", "größer")
        assert (await java.hear("put", "T:Text"))[0] == "NORMAL"
        assert text.value == "größer"
        java.say("string", "T:String", "plain")
        assert (await java.hear("put", "T:String"))[0] == "NORMAL"
        assert string.value == "plain"


@pytest.mark.parametrize("text", ["Grüße", "Größenänderung", "αβγ", "漢字漢字"])
async def test_a_string_that_the_library_cuts(epics: Epics, serve: Serve, text: str) -> None:
    """CAJ sends as many bytes as the text has characters: whole ones are kept, and it is said."""
    pv = stored(StringPv("T:String", ""))
    await serve(pv)
    async with java_client(epics) as java:
        await java.connect("T:String")
        java.say("string", "T:String", text)
        assert (await java.hear("put", "T:String"))[0] == "NORMAL"
    assert pv.value
    assert text.startswith(pv.value)
    cut = [put.message for put in serve.puts if put.message]
    raw = text.encode()[: len(text)]
    if raw.decode("utf-8", "ignore").encode() != raw:
        assert cut, "the bytes end within a character"
        assert f"T:String was cut to '{pv.value}'" in cut[0]


async def test_refused_puts_are_told_at_once(epics: Epics, serve: Serve) -> None:
    """The listener of a put hears of a refusal within 100 ms, and goes on hearing of what is granted."""
    number = stored(IntPv("T:Number", "", maximum=10))
    kind = stored(EnumPv("T:Class", "", ("Testing", "Beam")))
    await serve(number, kind, CommandPv("T:Start", "", _refuse), IntPv("T:ReadOnly", ""))
    async with java_client(epics) as java:
        await java.connect("T:Number", "T:Class", "T:Start")
        for _ in range(2):  # the first also loads classes
            for pv, value, status in (
                ("T:Number", "3", "NORMAL"),
                ("T:Number", "11", "PUTFAIL"),
                ("T:Class", "77", "PUTFAIL"),
                ("T:Class", "1", "NORMAL"),
                ("T:Start", "1", "PUTFAIL"),
            ):
                java.say("put", pv, value)
                told, milliseconds = await java.hear("put", pv)
                assert told == status
        assert int(milliseconds) < 100
        java.say("put", "T:Class", "77")
        assert int((await java.hear("put", "T:Class"))[1]) < 100
    assert (number.value, kind.value) == (3, 1)


async def test_a_failed_read_is_told_at_once(epics: Epics, serve: Serve) -> None:
    """A read that cannot be answered reaches its listener too."""
    await serve(StringPv("T:String", "", value="no number"), FloatPv("T:Float", "", value=1.5))
    async with java_client(epics) as java:
        await java.connect("T:String", "T:Float")
        java.say("get", "T:String", "DBR_DOUBLE")
        assert (await java.hear("got", "T:String"))[0] == "NOCONVERT"
        java.say("get", "T:Float", "DBR_CTRL_STRING")
        java.say("get", "T:Float", "DBR_CTRL_DOUBLE")
        assert "1.5" in (await java.hear("got", "T:Float"))[1]


async def test_monitors_and_fields(epics: Epics, serve: Serve) -> None:
    """Every kind of PV is monitored, and so are fields."""
    pvs: dict[str, tuple[Pv[Any], Any, str]] = {
        "T:Float": (FloatPv("T:Float", "a pressure", units="Torr", hihi=9), 9.5, "9.5"),
        "T:Int": (IntPv("T:Int", ""), -3, "-3"),
        "T:Enum": (EnumPv("T:Enum", "", ("a", "b", "c")), 2, "2"),
        "T:String": (StringPv("T:String", ""), "new", "new"),
        "T:Text": (TextPv("T:Text", "", 40), "größer", "größer"),
        "T:List": (StringArrayPv("T:List", "", 3), ("x", "y"), "x,y,"),
    }
    await serve(*(pv for pv, _, _ in pvs.values()))
    fields = {"T:Float.SEVR": "2", "T:Float.EGU": "Torr", "T:Float.DESC": "a pressure", "T:Float.RTYP": "ai"}
    async with java_client(epics) as java:
        await java.connect(*pvs, *fields)
        for name in (*pvs, "T:Float.SEVR"):
            java.say("monitor", name)
            await java.hear("update", name)
        for name, (pv, value, shown) in pvs.items():
            pv.post(value)
            assert (await java.hear("update", name)) == [shown]
        assert (await java.hear("update", "T:Float.SEVR")) == ["2"]
        for name, value in fields.items():
            java.say("get", name)
            assert (await java.hear("got", name))[:2] == ["NORMAL", value]


async def test_the_server_starts_again(epics: Epics, serve: Serve) -> None:
    """After a restart of the server the client is connected again and its monitor goes on."""
    pv = IntPv("T:X", "", value=1)
    server = await serve(pv)
    async with java_client(epics) as java:
        await java.connect("T:X")
        java.say("monitor", "T:X")
        assert (await java.hear("update", "T:X")) == ["1"]
        await server.close()
        await java.hear("disconnected", "T:X")
        pv.post(2)
        await serve(pv)
        await java.hear("connected", "T:X", timeout=40)
        assert (await java.hear("update", "T:X")) == ["2"]
        pv.post(3)
        assert (await java.hear("update", "T:X")) == ["3"]


async def test_the_longest_texts(epics: Epics, serve: Serve) -> None:
    """A client with Phoebus' default of 16384 bytes for an array reads and monitors our longest texts."""
    pv = TextPv("T:Log", "", LOG_LENGTH, value="begin")
    server = await serve(pv)
    async with java_client(epics, array_bytes=16384) as java:
        await java.connect("T:Log")
        java.say("monitor", "T:Log")
        assert (await java.hear("update", "T:Log")) == ["begin"]
        pv.post("x" * 20_000)
        assert (await java.hear("update", "T:Log")) == ["x" * LOG_LENGTH]
        await eventually(lambda: server.stats().clients == 1)
