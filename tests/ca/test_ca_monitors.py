"""Monitors: every update for those who keep up, the newest for those who do not, never a stop for the others."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import caproto as ca
import pytest
from caproto import AlarmSeverity
from raw_client import RawClient

from ioc.ca import EnumPv, IntPv, Limits, StringPv, TextPv
from ioc.ca.outbox import BATCH_ENTRIES, Outbox, Subscription, Turns
from tests.ca.serving import Serve
from tests.epics import PATIENCE, Epics, eventually
from tests.laps import Laps


async def test_camonitor_sees_every_change(epics: Epics, serve: Serve) -> None:
    """Values, alarms and time stamps come as they were posted, in order, also those posted at one moment."""
    pv = IntPv("T:X", "", hihi=100)
    await serve(pv)
    async with epics.camonitor("T:X") as monitor:
        await monitor.until(lambda lines: lines)
        for value in range(1, 6):
            pv.post(value, timestamp=1_700_000_000.0 + value)
        pv.post(5, severity=AlarmSeverity.MINOR_ALARM)
        pv.post(100)
        lines = await monitor.until(lambda lines: len(lines) >= 8)
    assert [line.split()[3:] for line in lines[1:]] == [
        *([str(value)] for value in range(1, 6)),
        ["5", "STATE", "MINOR"],
        ["100", "HIHI", "MAJOR"],
    ]
    assert "13:21" in lines[1]


@pytest.mark.parametrize(
    ("mask", "seen"), [("v", ["0", "1", "2"]), ("a", ["0", "1"]), ("l", ["0", "1", "2"]), ("p", ["0", "2"])]
)
async def test_masks(epics: Epics, serve: Serve, mask: str, seen: list[str]) -> None:
    """A monitor for values, alarms, the archive or properties gets those events and no others."""
    pv = EnumPv("T:E", "", ("a", "b", "c"))
    end = IntPv("T:End", "")
    await serve(pv, end)
    async with epics.camonitor("-n", "-m", mask, "T:E") as monitor, epics.camonitor("-m", "v", "T:End") as last:
        await monitor.until(lambda lines: lines)
        await last.until(lambda lines: lines)
        pv.post(1)
        pv.post(1, severity=AlarmSeverity.MAJOR_ALARM)
        pv.post(2, severity=AlarmSeverity.MAJOR_ALARM)
        pv.set_strings(("x", "y", "z"))
        end.post(1)
        await last.until(lambda lines: len(lines) > 1)
        await monitor.until(lambda lines: len(lines) >= len(seen))
        values = [line.split()[3] for line in monitor.lines]
    assert values == seen


async def test_cancel_and_clear(serve: Serve) -> None:
    """After its cancellation is confirmed a subscription is silent; clearing a channel ends its subscriptions too."""
    pv = IntPv("T:X", "")
    server = await serve(pv)
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        await client.send(channel.subscribe(subscriptionid=7), channel.subscribe(subscriptionid=8))
        await client.echo()
        await client.send(channel.unsubscribe(7))
        await client.next(ca.EventAddResponse)
        pv.post(1)
        await client.echo()
        updates = [one for one in client.received if isinstance(one, ca.EventAddResponse) and one.payload_size]
        assert [(one.subscriptionid, one.data[0]) for one in updates] == [(7, 0), (8, 0), (8, 1)]
        await client.send(channel.clear())
        await client.next(ca.ClearChannelResponse)
        pv.post(2)
        await client.echo()
        assert len([one for one in client.received if isinstance(one, ca.EventAddResponse) and one.payload_size]) == 3


async def test_events_off_and_on(serve: Serve) -> None:
    """A client that turned events off gets, when it turns them on, the present value of what changed, once."""
    changed, quiet = IntPv("T:Changed", ""), IntPv("T:Quiet", "")
    server = await serve(changed, quiet)
    async with RawClient(server.port) as client:
        for number, name in enumerate(("T:Changed", "T:Quiet")):
            await client.send((await client.channel(name)).subscribe(subscriptionid=number))
        await client.echo()
        await client.send(ca.EventsOffRequest())
        await client.echo()
        client.forget()
        for value in range(1, 50):
            changed.post(value)
        await client.echo()
        assert not [one for one in client.received if isinstance(one, ca.EventAddResponse)]
        await client.send(ca.EventsOnRequest())
        update = await client.next(ca.EventAddResponse)
        await client.echo()
        assert (update.subscriptionid, update.data[0]) == (0, 49)
        assert len([one for one in client.received if isinstance(one, ca.EventAddResponse)]) == 1


async def test_a_text_followed_as_a_number(serve: Serve) -> None:
    """If a text stops being a number, its subscription gets an error and continues; nothing else is delayed or lost."""
    text, number = StringPv("T:Text", ""), IntPv("T:X", "")
    server = await serve(text, number)
    async with RawClient(server.port) as odd, RawClient(server.port) as other:
        await odd.send((await odd.channel("T:Text")).subscribe(data_type=ca.ChannelType.TIME_DOUBLE, subscriptionid=7))
        await odd.send((await odd.channel("T:X")).subscribe(subscriptionid=8))
        await other.send((await other.channel("T:X")).subscribe(subscriptionid=9))
        for client in (odd, other):
            await client.echo()
            client.forget()
        text.post("12")
        text.post("2026-11-27T15:37:09")
        number.post(1)
        text.post("13")
        updates = [await odd.next(ca.EventAddResponse) for _ in range(4)]
        assert [(one.subscriptionid, one.status.name) for one in updates] == [
            (7, "ECA_NORMAL"),
            (7, "ECA_NOCONVERT"),
            (8, "ECA_NORMAL"),
            (7, "ECA_NORMAL"),
        ]
        assert [one.data[0] for one in updates if one.status.name == "ECA_NORMAL"] == [12, 1, 13]
        assert (await other.next(ca.EventAddResponse)).data[0] == 1


async def test_a_frozen_client_harms_nobody_and_is_dropped(
    epics: Epics, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that subscribes and never reads leaves others alone, costs bounded memory, is dropped and reported."""
    texts = [TextPv(f"T:Text{number}", "", 16384) for number in range(20)]
    counter = IntPv("T:X", "")
    server = await serve(counter, *texts, limits=Limits(stall_seconds=1.0))
    with caplog.at_level(logging.WARNING, "ioc.ca"), Laps() as laps:
        async with RawClient(server.port, "frozen") as frozen, RawClient(server.port, "healthy") as healthy:
            for number, text in enumerate(texts):
                await frozen.send((await frozen.channel(text.name)).subscribe(subscriptionid=number))
            await healthy.send((await healthy.channel("T:X")).subscribe(subscriptionid=1))
            await healthy.next(ca.EventAddResponse)
            number = 0
            deadline = time.monotonic() + PATIENCE
            while server.stats().dropped_clients == 0:
                assert time.monotonic() < deadline, "the frozen client was never dropped"
                number += 1
                for text in texts:
                    text.post(f"{number}")
                with laps.lap():
                    counter.post(number)
                    assert (await healthy.next(ca.EventAddResponse)).data[0] == number
                await asyncio.sleep(0.002)
            await eventually(lambda: server.stats().clients == 1)
    assert laps.longest < 0.5
    assert server.stats().queue_high_water <= BATCH_ENTRIES + len(texts)
    assert [text for text in caplog.messages if "frozen@127.0.0.1" in text and "read nothing" in text]


class Pipe:
    """Takes what an outbox writes."""

    def __init__(self) -> None:
        self.written = b""

    def __call__(self, data: bytes) -> None:
        self.written += data


def values_in(stream: bytes) -> list[tuple[int, int]]:
    """(subscription, value) of each update of a LONG in a stream."""
    circuit = ca.VirtualCircuit(ca.CLIENT, ("here", 1), 0)
    messages: Any = circuit.recv(stream)[0] if stream else ()
    return [(message.subscriptionid, int(message.data[0])) for message in messages]


async def test_the_newest_value_wins_while_the_socket_is_full() -> None:
    """While the transport is full one update per subscription waits, the newest; later all come again, in order."""
    pipe = Pipe()
    outbox = Outbox(Turns(), pipe)
    first, second = IntPv("T:A", ""), IntPv("T:B", "")
    for number, pv in enumerate((first, second)):
        Subscription(outbox, pv, identifier=number, data_type=5, count=1, mask=1).start()
    outbox.flush()
    outbox.pause()
    for value in range(1, 101):
        first.post(value)
        second.post(-value)
    outbox.flush()
    assert len(outbox) == 2
    assert values_in(pipe.written) == [(0, 0), (1, 0)]
    outbox.resume()
    await eventually(lambda: not len(outbox))
    second.post(1)
    first.post(1)
    first.post(2)
    await eventually(lambda: not len(outbox))
    assert values_in(pipe.written) == [(0, 0), (1, 0), (0, 100), (1, -100), (1, 1), (0, 1), (0, 2)]
    outbox.close()


async def test_an_update_is_encoded_once_for_all() -> None:
    """A hundred subscribers of one type share the bytes of an update; another type is encoded separately."""
    pipe = Pipe()
    outbox = Outbox(Turns(), pipe)
    pv = IntPv("T:A", "")
    for number in range(100):
        Subscription(outbox, pv, identifier=number, data_type=5 if number else 19, count=1, mask=1).start()
    outbox.flush()
    assert sorted(pv.snapshot.encoded) == [(5, 1), (19, 1)]
    outbox.close()


async def test_a_batch_leaves_room_for_others() -> None:
    """Much that waits is written in pieces; between them the event loop runs other work."""
    writes: list[int] = []
    outbox = Outbox(Turns(), lambda data: writes.append(len(data)))
    pvs = [TextPv(f"T:{number}", "", 16384) for number in range(40)]
    for number, pv in enumerate(pvs):
        Subscription(outbox, pv, identifier=number, data_type=4, count=0, mask=1).start()
    turns = 0
    while len(outbox):
        turns += 1
        await asyncio.sleep(0)
    assert len(writes) == turns >= 8
    assert max(writes) <= 65_536 + 16_384 + 24
    outbox.close()


async def test_who_has_little_to_send_is_first() -> None:
    """A client of one PV gets its update while those of a thousand PVs, posted after it, are sent to another."""
    turns = Turns()
    few, many = Pipe(), Pipe()
    pvs = [IntPv(f"T:{number}", "") for number in range(1000)]
    boxes = Outbox(turns, many), Outbox(turns, few)
    for number, pv in enumerate(pvs):
        Subscription(boxes[0], pv, identifier=number, data_type=5, count=1, mask=1).start()
    Subscription(boxes[1], pvs[0], identifier=0, data_type=5, count=1, mask=1).start()
    await eventually(lambda: not any(len(box) for box in boxes))
    few.written = many.written = b""
    for pv in pvs[:BATCH_ENTRIES]:
        pv.post(7)
    assert values_in(few.written) == [(0, 7)]
    for pv in pvs[BATCH_ENTRIES:]:
        pv.post(7)
    await eventually(lambda: not any(len(box) for box in boxes))
    assert values_in(many.written) == [(number, 7) for number in range(1000)]
    for box in boxes:
        box.close()


async def test_a_thousand_pvs_at_once(serve: Serve) -> None:
    """1000 PVs posted at one moment reach a client completely and in order."""
    pvs = [IntPv(f"T:{number}", "") for number in range(1000)]
    server = await serve(*pvs)
    async with RawClient(server.port) as client:
        channels = [await client.channel(pv.name) for pv in pvs]
        await client.send(*(channel.subscribe(subscriptionid=number) for number, channel in enumerate(channels)))
        await client.echo()
        for pv in pvs:
            pv.post(1)
        updates = [await client.next(ca.EventAddResponse) for _ in pvs]
        assert [(update.subscriptionid, update.data[0]) for update in updates] == [(n, 1) for n in range(1000)]
