"""The PV types by themselves: what may be posted and put, alarms, events."""

from __future__ import annotations

import math
from typing import Any

import pytest
from caproto import AlarmSeverity, ChannelType, SubscriptionType
from hypothesis import given
from hypothesis import strategies as st

from ioc.ca import CommandPv, EnumPv, FloatPv, IntPv, Pv, Refused, StringArrayPv, StringPv, TextPv
from ioc.ca.encoding import PutData
from ioc.ca.pv import Snapshot

CLASSES = ("Testing", "Production", "Beam")


class Ear:
    """A subscription that keeps what it was offered."""

    def __init__(self, mask: int = 0xF) -> None:
        self.mask = mask
        self.heard: list[Any] = []

    def offer(self, snapshot: Snapshot[Any]) -> None:
        self.heard.append(snapshot.value)


def text(value: str) -> PutData:
    return PutData(ChannelType.STRING, (value.encode(),))


def numbers(*values: float) -> PutData:
    return PutData(ChannelType.DOUBLE, values)


@pytest.mark.parametrize(
    ("pv", "data", "value"),
    [
        (EnumPv("E", "", CLASSES), text("Beam"), 2),
        (EnumPv("E", "", CLASSES), text("1"), 1),
        (EnumPv("E", "", CLASSES), numbers(2.0), 2),
        (EnumPv("E", "", ("5", "6")), text("6"), 1),
        (IntPv("I", ""), text("3"), 3),
        (IntPv("I", ""), text(" -3 "), -3),
        (IntPv("I", ""), text("0x10"), 16),
        (IntPv("I", ""), text("010"), 10),
        (IntPv("I", ""), text("1e3"), 1000),
        (IntPv("I", ""), numbers(2147483647.0), 2147483647),
        (FloatPv("F", ""), text("1.5e-3"), 0.0015),
        (FloatPv("F", "", minimum=0, maximum=5), numbers(5), 5.0),
        (StringPv("S", ""), text("ä" * 19), "ä" * 19),
        (StringPv("S", ""), PutData(ChannelType.LONG, (7,)), "7"),
        (StringPv("S", ""), PutData(ChannelType.CHAR, tuple(b"ab\0c")), "ab"),
        (TextPv("T", "", 8), PutData(ChannelType.CHAR, tuple(b"12345678")), "12345678"),
        (TextPv("T", "", 8), PutData(ChannelType.CHAR, ()), ""),
        (TextPv("T", "", 8), text(""), ""),
    ],
)
def test_good_puts(pv: Pv[Any], data: PutData, value: object) -> None:
    """Every form in which clients send a good value is understood."""
    assert pv.accept(data) == value


@pytest.mark.parametrize(
    ("pv", "data", "reason"),
    [
        (EnumPv("E", "", CLASSES), text("beam"), "E cannot be set to 'beam': it must be Testing, Production, Beam"),
        (EnumPv("E", "", CLASSES), text("3"), "0 to 2"),
        (EnumPv("E", "", CLASSES), numbers(-1), "0 to 2"),
        (EnumPv("E", "", CLASSES), numbers(0.5), "0 to 2"),
        (EnumPv("E", "", CLASSES), numbers(math.nan), "0 to 2"),
        (EnumPv("E", "", CLASSES), numbers(1, 1), "0 to 2"),
        (IntPv("I", ""), text("3.7"), "I cannot be set to 3.7: it must be a whole number"),
        (IntPv("I", ""), text("99999999999"), "from -2147483648 to 2147483647"),
        (IntPv("I", ""), numbers(math.inf), "whole number"),
        (IntPv("I", ""), text(""), "a number"),
        (IntPv("I", ""), text("1_000"), "a number"),
        (IntPv("I", ""), text("\u0663"), "a number"),  # a digit of another script, which only Python reads as 3
        (FloatPv("F", ""), text("\uff11.5"), "a number"),
        (EnumPv("E", "", CLASSES), text("\u0661"), ""),
        (IntPv("I", "", minimum=1, maximum=9, units="mm"), text("10"), "at least 1 and at most 9 mm"),
        (FloatPv("F", ""), text("nan"), "finite"),
        (FloatPv("F", ""), text("-inf"), "finite"),
        (FloatPv("F", ""), text("1" + "0" * 400), "finite"),
        (FloatPv("F", "", minimum=0), numbers(-0.1), "at least 0"),
        (StringPv("S", ""), text("ä" * 20), "at most 39 bytes"),
        (StringPv("S", ""), PutData(ChannelType.STRING, (b"\xff",)), "UTF-8"),
        (StringPv("S", ""), numbers(83, 2.5), "element 2, 2.5, is not the number of a whole character"),
        (TextPv("T", "", 8), PutData(ChannelType.CHAR, tuple(b"123456789")), "at most 8 bytes"),
        (TextPv("T", "", 8), PutData(ChannelType.CHAR, (195,)), "UTF-8"),
        (StringArrayPv("A", "", 3), text("x"), "read only"),
    ],
)
def test_bad_puts(pv: Pv[Any], data: PutData, reason: str) -> None:
    """A put that does not fit is refused with what it must be, and leaves the value."""
    before = pv.snapshot
    with pytest.raises(Refused) as refusal:
        pv.accept(data)
    assert reason in str(refusal.value)
    assert pv.snapshot is before


@pytest.mark.parametrize(
    ("value", "given", "severity", "status"),
    [
        (5.0, AlarmSeverity.NO_ALARM, AlarmSeverity.NO_ALARM, "NO_ALARM"),
        (8.0, AlarmSeverity.NO_ALARM, AlarmSeverity.MINOR_ALARM, "HIGH"),
        (9.5, AlarmSeverity.NO_ALARM, AlarmSeverity.MAJOR_ALARM, "HIHI"),
        (2.0, AlarmSeverity.NO_ALARM, AlarmSeverity.MINOR_ALARM, "LOW"),
        (1.0, AlarmSeverity.NO_ALARM, AlarmSeverity.MAJOR_ALARM, "LOLO"),
        (8.0, AlarmSeverity.INVALID_ALARM, AlarmSeverity.INVALID_ALARM, "COMM"),
        (8.0, AlarmSeverity.MINOR_ALARM, AlarmSeverity.MINOR_ALARM, "HIGH"),
        (5.0, AlarmSeverity.MAJOR_ALARM, AlarmSeverity.MAJOR_ALARM, "STATE"),
        (math.nan, AlarmSeverity.NO_ALARM, AlarmSeverity.INVALID_ALARM, "UDF"),
    ],
)
def test_limit_alarms(value: float, given: int, severity: int, status: str) -> None:
    """The alarm of a number comes from its limits unless the poster knows of something worse."""
    pv = FloatPv("F", "", value=5.0, lolo=1, low=2, high=8, hihi=9)
    pv.post(value, severity=given)
    assert (pv.severity, pv.status) == (severity, status)


def test_events_and_masks() -> None:
    """A listener hears only of the kinds of change it asked for, and nothing when nothing changed."""
    pv = EnumPv("E", "", CLASSES)
    values, alarms, properties = (
        Ear(SubscriptionType.DBE_VALUE),
        Ear(SubscriptionType.DBE_ALARM),
        Ear(SubscriptionType.DBE_PROPERTY),
    )
    for ear in (values, alarms, properties):
        pv.subscribe(ear)
    pv.post(1, timestamp=100.0)
    pv.post(1, timestamp=200.0)
    pv.post(1, severity=AlarmSeverity.MAJOR_ALARM)
    pv.set_strings(("a", "b"))
    pv.set_strings(("a", "b"))
    pv.post(0, severity=AlarmSeverity.MAJOR_ALARM)
    assert values.heard == [1, 0]
    assert alarms.heard == [1]
    assert properties.heard == [1]


def test_same_value_keeps_its_time() -> None:
    """Posting the same value and alarm again keeps the time stamp; NaN equals NaN here."""
    pv = FloatPv("F", "", value=0)
    pv.post(math.nan, timestamp=100.0)
    pv.post(math.nan, timestamp=200.0)
    assert pv.timestamp == 100.0


@pytest.mark.parametrize(
    ("pv", "value"),
    [
        (EnumPv("E", "", CLASSES), 3),
        (EnumPv("E", "", CLASSES), -1),
        (EnumPv("E", "", CLASSES), "Beam"),
        (IntPv("I", ""), 2**31),
        (IntPv("I", ""), 1.5),
        (FloatPv("F", ""), "x"),
    ],
)
def test_programming_errors(pv: Pv[Any], value: object) -> None:
    """Posting a value that the type cannot hold is an error of the poster and changes nothing."""
    before = pv.snapshot
    with pytest.raises(ValueError, match=pv.name):
        pv.post(value)
    assert pv.snapshot is before


def test_unknown_alarm_status() -> None:
    """An alarm status that EPICS does not know is an error of the poster."""
    with pytest.raises(ValueError, match="STRANGE"):
        IntPv("I", "").post(1, status="STRANGE")


@pytest.mark.parametrize("strings", [(), ("x" * 26,), tuple("abcdefghijklmnopq")])
def test_enum_strings_fit_the_wire(strings: tuple[str, ...]) -> None:
    """An enum has 1 to 16 states of at most 25 bytes."""
    with pytest.raises(ValueError, match="E"):
        EnumPv("E", "", strings)


def test_set_strings_keeps_the_value_valid() -> None:
    """When the state of an enum vanishes with its name, its value becomes 0."""
    pv = EnumPv("E", "", CLASSES, value=2)
    pv.set_strings(("a", "b"))
    assert pv.value == 0


@given(st.text(), st.integers(1, 60))
def test_text_is_cut_between_characters(value: str, size: int) -> None:
    """Whatever is posted, a text is valid UTF-8 without NULs, fits, and is the longest beginning that does."""
    pv = TextPv("T", "", size)
    pv.post(value)
    clean = value.replace("\0", "").encode("utf-8", "replace").decode()
    assert clean.startswith(pv.value)
    rest = clean[len(pv.value) :]
    assert len(pv.value.encode()) <= size < len((pv.value + rest[:1]).encode()) or not rest
    assert len(bytes(int(byte) for byte in pv.numbers(pv.value) or ())) == size


@given(st.lists(st.text(max_size=60)))
def test_lists_are_cut(items: list[str]) -> None:
    """A list keeps its first items, each below 40 bytes."""
    pv = StringArrayPv("A", "", 5)
    pv.post(items)
    assert len(pv.value) == min(len(items), 5)
    assert all(len(item.encode()) < 40 for item in pv.value)


@pytest.mark.parametrize(
    ("pv", "record_type"),
    [
        (EnumPv("E", "", ("a", "b")), "bi"),
        (EnumPv("E", "", CLASSES), "mbbi"),
        (IntPv("I", ""), "longin"),
        (FloatPv("F", ""), "ai"),
        (StringPv("S", ""), "stringin"),
        (TextPv("T", "", 10), "waveform"),
        (StringArrayPv("A", "", 10), "waveform"),
    ],
)
def test_record_types(pv: Pv[Any], record_type: str) -> None:
    """A read-only PV calls itself what an EPICS record with this behaviour is called."""
    assert pv.record_type == record_type


async def _nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("pv", "record_type"),
    [
        (EnumPv("E", "", ("a", "b"), on_put=_nothing), "bo"),
        (EnumPv("E", "", CLASSES, on_put=_nothing), "mbbo"),
        (IntPv("I", "", on_put=_nothing), "longout"),
        (FloatPv("F", "", on_put=_nothing), "ao"),
        (StringPv("S", "", on_put=_nothing), "stringout"),
        (CommandPv("C", "", _nothing), "bo"),
    ],
)
def test_record_types_of_writable_pvs(pv: Pv[Any], record_type: str) -> None:
    """A writable PV calls itself an output record."""
    assert pv.record_type == record_type


def test_set_units() -> None:
    """New units or digits are a property event, the same again are none; digits stay if they are not given."""
    pv = FloatPv("F", "", units="Torr", precision=2)
    ear = Ear(SubscriptionType.DBE_PROPERTY)
    pv.subscribe(ear)
    pv.set_units("Torr", 2)
    assert ear.heard == []
    pv.set_units("mbar")
    assert ear.heard == [0.0]
    assert (pv.properties.units, pv.properties.precision) == ("mbar", 2)
