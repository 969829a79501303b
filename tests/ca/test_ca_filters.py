"""Channel filters as EPICS base's tools use them."""

from __future__ import annotations

import math
import time

import pytest
from caproto import AlarmSeverity
from hypothesis import given
from hypothesis import strategies as st

from ioc.ca import Client, EnumPv, FloatPv, StringArrayPv, TextPv
from ioc.ca.filters import filtered, split
from ioc.ca.site import Namespace
from tests.ca.serving import Serve
from tests.epics import Epics, eventually


@pytest.mark.parametrize(
    ("filters", "seen"),
    [
        ('{"dbnd":{"abs":1}}', [0, 2, 3.5, 100, 102, 100.5]),
        ('{"dbnd":{"m":"abs","d":1}}', [0, 2, 3.5, 100, 102, 100.5]),
        ('{"dbnd":{"d":1}}', [0, 2, 3.5, 100, 102, 100.5]),
        ("{dbnd:{abs:1}}", [0, 2, 3.5, 100, 102, 100.5]),
        ("{dbnd:{'m':'rel',d:+.1e2,},}", [0, 0.5, 2, 2.5, 3.5, 100]),
        ('{"dbnd":{"rel":10}}', [0, 0.5, 2, 2.5, 3.5, 100]),
        ('{"ts":{},"dbnd":{"abs":90}}', [0, 100]),
        ('{"dbnd":{"abs":0}}', [0, 0.5, 2, 2.5, 3.5, 100, 101, 102, 100.5]),
    ],
)
async def test_deadband(epics: Epics, serve: Serve, filters: str, seen: list[float]) -> None:
    """A monitor with a deadband tells of changes beyond it, each against what was told last; others see all."""
    pv = FloatPv("T:X", "")
    await serve(pv)
    async with epics.camonitor(f"T:X.{filters}") as monitor, epics.camonitor("T:X") as plain:
        await monitor.until(lambda lines: lines)
        await plain.until(lambda lines: lines)
        for value in (0.5, 2, 2.5, 3.5, 100, 101, 102, 100.5):
            pv.post(value)
        await plain.until(lambda lines: len(lines) == 9)
        lines = await monitor.until(lambda lines: len(lines) >= len(seen))
    assert [float(line.split()[3]) for line in lines] == seen


@pytest.mark.parametrize(
    "filters",
    [
        "{dbnd:{abs:1}}",
        "{dbnd:{d:1}}",
        '{"dbnd":{"d":1}}',
        "{'ts':{}}",
        "{ts:{},}",
        "{dbnd:{abs:.5}}",
        "{dbnd:{abs:5.}}",
        "{dbnd:{abs:+1}}",
        "{ arr : { s : 1 } }",
        "{dbnd:{abs:1}",
        "{dbnd:{abs:1.2.3}}",
        "{dbnd{abs:1}}",
        "{,ts:{}}",
        "{ts:{},,}",
    ],
)
async def test_the_spelling_of_json5(epics: Epics, serve: Serve, filters: str) -> None:
    """A name with filters as JSON5 is found if softIoc finds it."""
    await serve(FloatPv("T:X", "", value=1))
    with epics.soft_ioc('record(ai, "S:X") { field(VAL, "1") }'):
        ours, theirs = [await epics.acaget("-w", "1", f"{name}.VAL{filters}") for name in ("T:X", "S:X")]
    assert (ours.returncode == 0) == (theirs.returncode == 0)


async def test_a_deadband_hides_no_alarm(epics: Epics, serve: Serve) -> None:
    """A changed alarm, and a value that becomes unknown or known again, are told whatever the deadband."""
    pv = FloatPv("T:X", "")
    await serve(pv)
    async with epics.camonitor('T:X.VAL{"dbnd":{"abs":1000}}') as monitor:
        await monitor.until(lambda lines: lines)
        pv.post(1)
        pv.post(2, severity=AlarmSeverity.MINOR_ALARM)
        pv.post(3, severity=AlarmSeverity.MINOR_ALARM)
        pv.post(math.nan)
        pv.post(4)
        lines = await monitor.until(lambda lines: len(lines) >= 4)
    assert [line.split()[3:] for line in lines] == [["0"], ["2", "STATE", "MINOR"], ["nan", "UDF", "INVALID"], ["4"]]


@pytest.mark.parametrize(
    ("channel", "shown"),
    [
        ("T:List.[1:2]", "2 two three"),
        ("T:List.[1]", "two"),
        ("T:List.[-2:-1]", "2 three four"),
        ("T:List.[0:2:-1]", "2 one three"),
        ("T:List.[2:]", "2 three four"),
        ('T:List.{"arr":{"s":1}}', "3 two three four"),
        ('T:List.{"arr":{"s":0,"e":2,"i":2}}', "2 one three"),
        ('T:List.VAL{"arr":{"e":0},"ts":{}}', "one"),
        ("T:Text.[4:6]", "3 66 101 97"),
        ('T:Text.DESC{"arr":{"s":1}}', "a text"),
    ],
)
async def test_elements(epics: Epics, serve: Serve, channel: str, shown: str) -> None:
    """caget shows the elements that were asked for, counted as EPICS does; of what is no array, all."""
    items = StringArrayPv("T:List", "", 4, value=("one", "two", "three", "four"))
    await serve(items, TextPv("T:Text", "a text", 64, value="The Beam"))
    assert (await epics.value(channel)).strip() == shown


async def test_a_monitor_of_part_of_a_text(epics: Epics, serve: Serve) -> None:
    """A monitor of part of a text follows it, as text, with every change."""
    pv = TextPv("T:Text", "", 64, value="The Beam")
    await serve(pv)
    async with epics.camonitor("-S", "T:Text.[4:6]") as monitor:
        await monitor.until(lambda lines: lines)
        pv.post("The Gas")
        lines = await monitor.until(lambda lines: len(lines) == 2)
    assert [line.split()[3:] for line in lines] == [["Bea"], ["Gas"]]


async def test_time_of_sending(epics: Epics, serve: Serve) -> None:
    """With the filter ts an old value has the present time; without it, its own."""
    pv = FloatPv("T:X", "")
    await serve(pv)
    pv.post(1, timestamp=1_000_000_000.0)
    shown = {name: (await epics.acaget("-a", name)).stdout for name in ("T:X", 'T:X.{"ts":{}}')}
    assert "2001-09" in shown["T:X"]
    assert time.strftime("%Y-%m-%d", time.localtime()) in shown['T:X.{"ts":{}}']


async def test_puts_through_a_filter(epics: Epics, serve: Serve) -> None:
    """A put to a channel with a deadband sets the PV; part of a text is read only; a denied user stays denied."""

    async def put(_: Client, value: float) -> None:
        pv.post(value)

    async def put_text(_client: Client, _value: str) -> None:
        raise AssertionError("part of a text must not be put")

    pv = FloatPv("T:X", "", on_put=put)
    await serve(pv, TextPv("T:Text", "", 64, on_put=put_text))
    assert (await epics.acaput("-c", 'T:X.{"dbnd":{"abs":1}}', "7")).returncode == 0
    assert pv.value == 7
    assert "no write" in (await epics.acainfo("T:Text.[0:3]")).stdout
    assert (await epics.acaput("T:Text.[0:3]", "1")).returncode != 0


async def test_a_removed_pv_disconnects_its_filtered_channels(epics: Epics, serve: Serve) -> None:
    """Who monitors a PV through a filter learns that it is gone."""
    server = await serve(FloatPv("T:X", ""))
    async with epics.camonitor('T:X.{"dbnd":{"abs":1}}') as monitor:
        await monitor.until(lambda lines: lines)
        server.remove("T:X")
        await monitor.until(lambda lines: "disconnected" in lines[-1])


@pytest.mark.parametrize(
    "filters",
    [
        '{"sync":{"m":"while","s":"red"}}',
        '{"dbnd":{"abs":"1"}}',
        '{"dbnd":{"abs":true}}',
        '{"dbnd":{"abs":1e999}}',
        '{"dbnd":{"abs":NaN}}',
        '{"dbnd":{"abs":1,"rel":1}}',
        '{"dbnd":1}',
        '{"arr":{"i":0}}',
        '{"arr":{"s":0.5}}',
        '{"arr":{"s":5,"e":2}}',
        '{"arr":{"x":1}}',
        '{"ts":{"num":"dbl"}}',
        '{"ts":{},"sync":{}}',
        "{}",
        "{",
        "[]",
        "[]]",
        "[9]",
        "[0:0:2]",
        "{" * 200,
        "[" * 200,
        '{"ts":{}}' + " " * 200,
    ],
)
def test_what_is_not_offered_is_not_found(filters: str) -> None:
    """A filter that EPICS has and we do not, one that makes no sense, and one that leaves nothing: no such channel."""
    assert Namespace([TextPv("T:Text", "", 8)]).find(f"T:Text.{filters}") is None


@given(st.text(max_size=300))
def test_any_filter_is_found_or_not(text: str) -> None:
    """Nothing that stands where a filter belongs makes an error."""
    pv = EnumPv("T:E", "", ("a", "b"))
    for bracket in ("{", "["):
        name, filters = split(f"T:E.{bracket}{text}")
        found = filtered(pv, filters) if filters else None
        assert found is None or (name, found.source) == ("T:E.", pv)


async def test_a_closed_client_leaves_no_listener(epics: Epics, serve: Serve) -> None:
    """When the client goes, its filter no longer listens to the PV."""
    pv = FloatPv("T:X", "")
    server = await serve(pv)
    async with epics.camonitor('T:X.{"dbnd":{"abs":1}}') as monitor:
        await monitor.until(lambda lines: lines)
        assert pv.listeners == 1
    await eventually(lambda: server.stats().clients == 0)
    assert not pv.listeners
