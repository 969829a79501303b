"""Puts: with and without callback, refused, denied, slow, failing, and what the journal says."""

from __future__ import annotations

import asyncio
import logging
import time

import caproto as ca
import pytest
from raw_client import RawClient

from ioc.ca import Client, CommandPv, EnumPv, FloatPv, IntPv, Limits, PutFailed, Refused, StringPv, TextPv
from ioc.ca.encoding import PutData
from ioc.ca.puts import Journal, Puts
from tests.ca.serving import Serve
from tests.epics import Epics, eventually


def number(name: str = "T:X") -> IntPv:
    """A LONG whose owner takes every value."""

    async def store(client: Client, value: int) -> None:
        pv.post(value)

    pv = IntPv(name, "", on_put=store)
    return pv


@pytest.mark.parametrize("value", ["3.7", "99999999999", "nan", "inf", "", "x"])
async def test_a_bad_put_fails_and_changes_nothing(epics: Epics, serve: Serve, value: str) -> None:
    """caput fails with its exit status, value, alarm and time stay, and the journal has the reason."""
    pv = number()
    await serve(pv)
    before = pv.snapshot
    result = await epics.acaput("-c", "T:X", value)
    assert result.returncode != 0
    assert "Channel write request failed" in result.stderr
    assert pv.snapshot is before
    assert [put.result for put in serve.puts] == ["refused"]
    assert "T:X cannot be set to" in serve.puts[0].message


async def test_an_enum_put_out_of_range(epics: Epics, serve: Serve) -> None:
    """A state that does not exist is refused, and caget goes on working (it aborts if such a value is ever served)."""

    async def store(client: Client, value: int) -> None:
        pv.post(value)

    pv = EnumPv("T:E", "", ("a", "b"), on_put=store)
    await serve(pv)
    assert (await epics.acaput("-c", "T:E", "7")).returncode != 0
    assert await epics.value("T:E") == "a"
    assert (await epics.acaput("-c", "T:E", "1")).returncode == 0
    assert await epics.value("T:E") == "b"


async def test_texts_can_be_put_and_emptied(epics: Epics, serve: Serve) -> None:
    """caput -S sets a long text, also the empty one; one that is too long is refused as a whole."""

    async def store(client: Client, value: str) -> None:
        pv.post(value)

    pv = TextPv("T:Text", "", 50, on_put=store)
    server = await serve(pv)
    for text in ("ä" * 24, "", "line one"):
        assert (await epics.acaput("-c", "-S", "T:Text", text)).returncode == 0
        assert pv.value == text
    assert (await epics.acaput("-c", "T:Text", "plain string")).returncode == 0
    assert pv.value == "plain string"
    async with RawClient(server.port) as raw:
        channel = await raw.channel("T:Text")
        too_long = b"x" * 51
        await raw.send(channel.write(too_long, data_type=ca.ChannelType.CHAR, data_count=51, notify=True))
        assert (await raw.next(ca.ErrorResponse)).status.name == "ECA_PUTFAIL"
    assert pv.value == "plain string"


async def test_a_plain_caput_shows_the_new_value(epics: Epics, serve: Serve) -> None:
    """A read that follows a put of the same client waits a moment for it, so caput prints the new value."""

    async def slow(client: Client, value: str) -> None:
        await asyncio.sleep(0.02)
        pv.post(value)

    pv = StringPv("T:S", "", value="old", on_put=slow)
    await serve(pv)
    assert (await epics.acaput("-t", "T:S", "new")).stdout == "new\n"


async def test_a_put_with_callback_answers_when_the_work_is_done(epics: Epics, serve: Serve) -> None:
    """caput -c returns when the handler has ended; until then the command is Busy and other requests are answered."""
    finish = asyncio.Event()
    clients: list[Client] = []

    async def work(client: Client) -> None:
        clients.append(client)
        await finish.wait()

    pv = CommandPv("T:Go", "", work)
    server = await serve(pv, number())
    async with RawClient(server.port, "shifter") as client:
        go, other = await client.channel("T:Go"), await client.channel("T:X")
        await client.send(go.write((1,), notify=True))
        await eventually(lambda: pv.value == 1)
        await client.send(other.write((5,), notify=True), other.read())
        assert (await client.next(ca.WriteNotifyResponse)).status.name == "ECA_NORMAL"
        assert (await client.next(ca.ReadNotifyResponse)).data[0] == 5
        second = await epics.acaput("-c", "T:Go", "Busy")
        assert second.returncode != 0
        assert (await epics.acaput("-c", "T:Go", "Done")).returncode == 0
        assert pv.value == 1
        finish.set()
        assert (await client.next(ca.WriteNotifyResponse)).status.name == "ECA_NORMAL"
        assert pv.value == 0
    assert clients == [Client("shifter", "127.0.0.1")]


async def test_a_command_starts_by_number_and_name(epics: Epics, serve: Serve) -> None:
    """A put of 1, of the text 1 or of Busy runs the handler once each, a put of 0 or Done never does."""
    runs: list[Client] = []

    async def work(client: Client) -> None:
        runs.append(client)

    server = await serve(CommandPv("T:Go", "", work))
    for value in ("1", "Busy", "0", "Done"):
        assert (await epics.acaput("-c", "T:Go", value)).returncode == 0
    assert len(runs) == 2
    async with RawClient(server.port) as client:
        channel = await client.channel("T:Go")
        for text in (b"1", b"0"):
            await client.send(channel.write((text,), data_type=ca.ChannelType.STRING, notify=True))
            await client.next(ca.WriteNotifyResponse)
    assert len(runs) == 3


async def test_the_work_goes_on_without_its_client(serve: Serve) -> None:
    """When the client that started a command goes away, the command is finished all the same."""
    finish, done = asyncio.Event(), asyncio.Event()

    async def work(client: Client) -> None:
        await finish.wait()
        done.set()

    pv = CommandPv("T:Go", "", work)
    server = await serve(pv)
    async with RawClient(server.port) as client:
        go = await client.channel("T:Go")
        await client.send(go.write((1,), notify=True))
        await eventually(lambda: pv.value == 1)
    await eventually(lambda: server.stats().clients == 0)
    finish.set()
    await eventually(done.is_set)
    await eventually(lambda: pv.value == 0)


@pytest.mark.parametrize(
    ("error", "result", "text"),
    [
        (Refused("router data3 is Dirty, it must be Clean"), "refused", "router data3 is Dirty, it must be Clean"),
        (PutFailed("ECC server CoBo0 does not answer"), "failed", "ECC server CoBo0 does not answer"),
        (KeyError("secret"), "failed", "internal error in the put to T:F: KeyError: 'secret'"),
    ],
)
async def test_a_failing_handler(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: Exception, result: str, text: str
) -> None:
    """Its text reaches the client with ECA_PUTFAIL; only an internal error is logged with a traceback."""

    async def fail(client: Client, value: float) -> None:
        raise error

    pv = FloatPv("T:F", "", on_put=fail)
    server = await serve(pv)
    before = pv.snapshot
    with caplog.at_level(logging.WARNING, "ioc.ca"):
        async with RawClient(server.port) as client:
            channel = await client.channel("T:F")
            await client.send(channel.write((1.5,), notify=True))
            answer = await client.next(ca.ErrorResponse)
    assert answer.status.name == "ECA_PUTFAIL"
    assert bytes(answer.error_message).rstrip(b"\0").decode() == text
    assert pv.snapshot is before
    assert [(put.result, put.message) for put in serve.puts] == [(result, text)]
    assert [record.exc_info is not None for record in caplog.records] == (
        [True, False] if result == "failed" and isinstance(error, KeyError) else [False]
    )


async def test_puts_to_one_pv_follow_each_other(serve: Serve) -> None:
    """Two puts to one PV are carried out one after the other, in the order in which they came."""
    order: list[str] = []

    async def store(client: Client, value: int) -> None:
        order.append(f"begin {value}")
        await asyncio.sleep(0.01)
        order.append(f"end {value}")

    server = await serve(IntPv("T:X", "", on_put=store))
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        await client.send(*(channel.write((value,), notify=True) for value in (1, 2)))
        await client.next(ca.WriteNotifyResponse)
        await eventually(lambda: len(order) == 4)
    assert order == ["begin 1", "end 1", "begin 2", "end 2"]


@pytest.mark.parametrize("puts", [5, 50, 5000])
async def test_every_put_is_in_the_journal(serve: Serve, puts: int) -> None:
    """Each put has a record; thousands in a burst are all carried out and give few, which say how many they are."""
    pv = number()
    server = await serve(pv)
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        await client.send(*(channel.write((value,), notify=False) for value in range(1, puts + 1)))
        await eventually(lambda: pv.value == puts)
        await eventually(lambda: sum(put.count for put in serve.puts) == puts)
    assert {put.result for put in serve.puts} == {"ok"}
    assert len(serve.puts) == puts if puts <= 50 else 51 <= len(serve.puts) <= 60
    assert (serve.puts[0].old_value, serve.puts[-1].new_value) == ("0", str(puts))
    assert [put.old_value for put in serve.puts[1:]] == [put.new_value for put in serve.puts[:-1]]


async def test_a_put_is_answered_before_it_is_recorded() -> None:
    """No client waits for the record of its put, and a journal that is closed at once has recorded all the same."""
    order: list[str] = []
    journal = Journal(lambda put: order.append(f"{put.result} {put.new_value}"))
    pv, puts = number(), Puts(journal)
    assert pv.on_put is not None
    puts.start(pv, pv.on_put, PutData(ca.ChannelType.LONG, (7,)), Client(), lambda _: order.append("answer"))
    await eventually(lambda: len(order) == 2)
    assert order == ["answer", "ok 7"]
    journal.note("T:X", "7", "x", Client(), "refused", "no number")
    assert len(order) == 2
    journal.close()
    assert order[2:] == ["refused x"]


async def test_unfinished_puts_are_bounded(serve: Serve) -> None:
    """A client that starts put after put without end is refused, and told so."""
    finish = asyncio.Event()

    async def wait(client: Client, value: int) -> None:
        await finish.wait()

    server = await serve(IntPv("T:X", "", on_put=wait), limits=Limits(unfinished_puts=3))
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        await client.send(*(channel.write((value,), notify=True) for value in range(4)))
        answer = await client.next(ca.ErrorResponse)
        assert b"3 earlier puts" in bytes(answer.error_message)
        assert [(put.new_value, put.result) for put in serve.puts] == [("3", "refused")]
        assert "3 earlier puts" in serve.puts[0].message
        finish.set()
        await client.next(ca.WriteNotifyResponse)


async def test_a_put_that_cannot_be_decoded(serve: Serve) -> None:
    """One with fewer bytes than elements is refused, and in the journal like any other."""
    server = await serve(number())
    async with RawClient(server.port, "shifter") as client:
        channel = await client.channel("T:X")
        request = bytearray(bytes(channel.write((5.0,), data_type=ca.ChannelType.DOUBLE, notify=False)))
        request[6:8] = (2).to_bytes(2, "big")
        await client.send_bytes(bytes(request))
        assert (await client.next(ca.ErrorResponse)).status.name == "ECA_PUTFAIL"
    assert [(put.pv, put.old_value, put.new_value, put.client, put.result) for put in serve.puts] == [
        ("T:X", "0", "", Client("shifter", "127.0.0.1"), "refused")
    ]
    assert serve.puts[0].message.startswith("T:X: a put ")


async def test_the_journal_has_what_a_put_of_one_char_means(serve: Serve) -> None:
    """To a number or an enum one CHAR is its number, to a text its character; several are a text everywhere."""

    async def put(client: Client, value: object) -> None:
        pass

    server = await serve(
        IntPv("T:X", "", on_put=put),
        EnumPv("T:E", "", ("a", "b"), on_put=put),
        TextPv("T:T", "", 40, on_put=put),
        StringPv("T:S", "", on_put=put),
    )
    async with RawClient(server.port) as client:
        for name, items in (
            ("T:X", b"A"),
            ("T:E", b"\x01"),
            ("T:E", b"\xff"),
            ("T:T", b"A"),
            ("T:S", b"A"),
            ("T:X", b"AB"),
        ):
            channel = await client.channel(name)
            await client.send(channel.write(tuple(items), data_type=ca.ChannelType.CHAR, notify=True))
            await client.next(ca.WriteNotifyResponse)
    assert [put.new_value for put in serve.puts] == ["65", "1", "255", "A", "A", "AB"]
    assert "cannot be set to '255': it must be a, b" in serve.puts[2].message


async def test_a_number_that_is_far_too_large_is_said_in_short(serve: Serve) -> None:
    """A refusal shows a number as people write it, not with 300 digits."""
    server = await serve(number())
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        for value in (1e300, 99999999999.0):
            await client.send(channel.write((value,), data_type=ca.ChannelType.DOUBLE, notify=True))
            await client.next(ca.WriteNotifyResponse)
    assert "T:X cannot be set to 1e+300: it must be from -2147483648" in serve.puts[0].message
    assert "T:X cannot be set to 99999999999: it must be from -2147483648" in serve.puts[1].message


async def test_closing_the_server_ends_the_work(serve: Serve) -> None:
    """A command that is under way when the server ends is cancelled and written down."""
    never = asyncio.Event()

    async def work(client: Client) -> None:
        await never.wait()

    pv = CommandPv("T:Go", "", work)
    server = await serve(pv)
    async with RawClient(server.port) as client:
        await client.send((await client.channel("T:Go")).write((1,), notify=True))
        await eventually(lambda: pv.value == 1)
        await server.close()
    assert pv.value == 0
    assert [put.result for put in serve.puts] == ["failed"]
    assert "the IOC ended" in serve.puts[0].message


async def test_put_callback_is_fast(serve: Serve) -> None:
    """A put with callback takes around a millisecond at most, not the 40 ms of a socket with Nagle's algorithm."""
    server = await serve(number())
    times: list[float] = []
    async with RawClient(server.port) as client:
        channel = await client.channel("T:X")
        for value in range(200):
            begun = time.perf_counter()
            await client.send(channel.write((value,), notify=True))
            await client.next(ca.WriteNotifyResponse)
            times.append(time.perf_counter() - begun)
    assert sorted(times)[len(times) // 2] < 0.01
