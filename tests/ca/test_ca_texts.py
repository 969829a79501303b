"""Texts that come as arrays of characters, as Phoebus and others send them, and texts that were cut on their way."""

from __future__ import annotations

import array
import logging
from typing import Any

import caproto as ca
import pytest
from caproto import ChannelType
from hypothesis import given
from hypothesis import strategies as st
from raw_client import RawClient

from ioc.ca import Client, Pv, Refused, StringPv, TextPv
from ioc.ca.encoding import PutData
from tests.ca.serving import Serve
from tests.epics import Epics, eventually


def units(text: str) -> tuple[int, ...]:
    """What Phoebus makes of a text: Java's chars and a final 0."""
    pairs = array.array("H", text.encode("utf-16-le"))
    return (*pairs, 0)


def writable(*pvs: Pv[Any]) -> tuple[Pv[Any], ...]:
    for pv in pvs:

        async def store(client: Client, value: str, pv: Pv[Any] = pv) -> None:
            pv.post(value)

        pv.on_put = store
    return pvs


NUMBERS = (ChannelType.LONG, ChannelType.DOUBLE, ChannelType.FLOAT, ChannelType.INT, ChannelType.ENUM)
KINDS = {"text": lambda: TextPv("T", "", 40), "string": lambda: StringPv("T", "")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("native", NUMBERS)
def test_arrays_of_characters(kind: str, native: ChannelType) -> None:
    """An array of numbers is a text, one UTF-16 code unit an element, ended by a 0 or by its end."""
    pv = KINDS[kind]()
    assert pv.accept(PutData(native, units("test"))) == "test"
    assert pv.accept(PutData(native, units("test")[:-1])) == "test"
    assert pv.accept(PutData(native, (*units("te"), 88, 89))) == "te"
    assert pv.accept(PutData(native, (0, 0))) == ""
    assert pv.accept(PutData(native, units("Drück"))) == "Drück"


@pytest.mark.parametrize("native", [ChannelType.LONG, ChannelType.DOUBLE, ChannelType.ENUM])
def test_surrogate_pairs_are_one_character(native: ChannelType) -> None:
    """A character beyond the basic plane comes as two code units."""
    assert TextPv("T", "", 40).accept(PutData(native, units("a😀ß漢"))) == "a😀ß漢"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_every_text_survives(text: str) -> None:
    """Whatever Java can send arrives, or is refused because its UTF-8 is too long; it is never something else."""
    pv = TextPv("T", "", 60)
    if len(text.encode()) <= 60:
        assert pv.accept(PutData(ChannelType.LONG, units(text))) == text
    else:
        with pytest.raises(Refused, match="at most 60 bytes"):
            pv.accept(PutData(ChannelType.LONG, units(text)))


def test_one_number() -> None:
    """A single 0 is the empty text; for a DBR_STRING one number is its digits, as in EPICS base."""
    assert TextPv("T", "", 40).accept(PutData(ChannelType.LONG, (0,))) == ""
    assert TextPv("T", "", 40).accept(PutData(ChannelType.LONG, (65,))) == "A"
    assert StringPv("T", "").accept(PutData(ChannelType.LONG, (65,))) == "65"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("native", "items", "reason"),
    [
        (ChannelType.DOUBLE, (84.0, 84.5), "element 2, 84.5, is not the number of a whole character"),
        (ChannelType.DOUBLE, (84.0, float("nan")), "element 2, nan, is not the number of a UTF-16 code unit"),
        (ChannelType.DOUBLE, (84.0, float("inf")), "element 2, inf, is not"),
        (ChannelType.LONG, (84, -1), "element 2, -1, is not the number of a UTF-16 code unit, 0 to 65535"),
        (ChannelType.INT, (84, -40), "element 2, -40, is not"),
        (ChannelType.LONG, (84, 0x110000), "element 2, 1.11411e+06, is not"),
        (ChannelType.LONG, (84, 0xD83D), "element 2, 55357, is half of a character without its other half"),
        (ChannelType.LONG, (84, 0xD83D, 65, 0), "element 2, 55357, is half of a character"),
        (ChannelType.LONG, (0xDE00, 84, 0), "element 1, 56832, is half of a character"),
        (ChannelType.STRING, (b"84", b"x1"), "element 2, 'x1', is not the number of a character"),
        (ChannelType.CHAR, (84, 195), "a text must be UTF-8, but byte 2"),
    ],
)
def test_what_is_no_character_is_refused(kind: str, native: ChannelType, items: Any, reason: str) -> None:
    """The refusal names the PV, the element and what is wrong with it."""
    with pytest.raises(Refused) as refusal:
        KINDS[kind]().accept(PutData(native, items))
    assert str(refusal.value).startswith("T cannot be set: ")
    assert reason in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_that_was_cut_within_a_character(kind: str) -> None:
    """The whole characters are kept, and the remark says that there were more."""
    pv = KINDS[kind]()
    for length, kept in ((3, "Gr"), (5, "Grö")):
        data = PutData(ChannelType.STRING, ("Größe".encode()[:length],))
        assert pv.accept(data) == kept
        assert pv.remark(data).startswith(f"T was cut to '{kept}'")
    assert not pv.remark(PutData(ChannelType.STRING, ("Größe".encode(),)))
    with pytest.raises(Refused, match="before the end of its first character"):
        pv.accept(PutData(ChannelType.STRING, ("ß".encode()[:1],)))
    with pytest.raises(Refused, match="UTF-8"):
        pv.accept(PutData(ChannelType.STRING, (b"a\xff",)))


async def test_put_by_a_client(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Over the wire: the value, the journal and what is said of a text that was cut."""
    text, string = writable(TextPv("T:Text", "", 50), StringPv("T:String", ""))
    server = await serve(text, string)
    async with RawClient(server.port) as raw:
        channel = await raw.channel("T:Text")
        for value in ("test", "", "Kühlung 😀"):
            codes = units(value)
            await raw.send(channel.write(codes, data_type=ChannelType.LONG, data_count=len(codes), notify=True))
            assert (await raw.next(ca.WriteNotifyResponse)).status.name == "ECA_NORMAL"
            assert text.value == value
        channel = await raw.channel("T:String")
        with caplog.at_level(logging.WARNING):
            await raw.send(
                channel.write(("Größe".encode()[:3],), data_type=ChannelType.STRING, data_count=1, notify=True)
            )
            assert (await raw.next(ca.WriteNotifyResponse)).status.name == "ECA_NORMAL"
    assert string.value == "Gr"
    await eventually(lambda: [put.new_value for put in serve.puts] == ["test", "", "Kühlung 😀", "Gr"])
    put = serve.puts[3]
    assert (put.result, put.new_value) == ("ok", "Gr")
    assert "T:String was cut to 'Gr'" in put.message
    assert "T:String was cut to 'Gr'" in caplog.text


async def test_caput_of_an_array(epics: Epics, serve: Serve) -> None:
    """caput -a sends an array of strings: numbers of characters as softIoc takes them, or the characters themselves."""
    (pv,) = writable(TextPv("T:Text", "", 50))
    await serve(pv)
    record = 'record(waveform, "S:Text") { field(FTVL, "CHAR") field(NELM, "50") }'
    with epics.soft_ioc(record):
        for name in ("S:Text", "T:Text"):
            assert (await epics.acaput("-c", "-a", name, "4", "116", "101", "115", "116")).returncode == 0
            assert await epics.value(name, "-S") == "test"
    assert (await epics.acaput("-c", "-a", "T:Text", "3", "a", "1", "c")).returncode == 0
    assert pv.value == "a1c"
    assert (await epics.acaput("-c", "-a", "T:Text", "2", "65", "xyz")).returncode != 0
    assert "element 2, 'xyz'" in serve.puts[-1].message
    assert pv.value == "a1c"
