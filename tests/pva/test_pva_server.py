"""PVs by PVAccess: the same as by Channel Access, seen with EPICS base's tools and with p4p."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import inspect
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import psutil
import pytest
from p4p.client.asyncio import Context, Disconnected

import ioc.ca
from ioc.ca import (
    Client,
    CommandPv,
    EnumPv,
    FloatArrayPv,
    FloatPv,
    IntPv,
    Limits,
    Pv,
    Refused,
    StringArrayPv,
    StringPv,
    TextPv,
)
from ioc.ca.outbox import ABREAST, Outbox, Subscription
from ioc.ca.pv import Listener
from ioc.pva.mirror import Mirror, client_of
from tests.epics import Epics, eventually
from tests.pva.conftest import Both


async def structure(client: Context, pv: str) -> Any:
    """The whole structure of a PV."""
    return await client.get(pv)


AT = 1_700_000_000.25
"""A time stamp that both protocols carry without rounding."""


async def nothing(client: Client, value: Any = None) -> None:
    """A put that changes nothing."""


def one_of_each() -> list[Pv[Any]]:
    """A PV of each type, each with an alarm of its own."""
    number = FloatPv("T:Float", "a float", units="Torr", precision=2, low=1, high=5, lolo=0, hihi=9, maximum=100)
    whole = IntPv("T:Int", "an int", units="runs", minimum=-1, maximum=12)
    choice = EnumPv("T:Enum", "a choice", ("Off", "On"))
    text = TextPv("T:Text", "a text", 200)
    string = StringPv("T:String", "a string")
    names = StringArrayPv("T:Names", "names", 5)
    trend = FloatArrayPv("T:Trend", "a trend", 5, units="Hz")
    number.post(9.5, timestamp=AT)
    whole.post(-7, severity=1, timestamp=AT)
    choice.post(1, severity=2, timestamp=AT)
    text.post("router data3 is Dirty: grün", severity=2, timestamp=AT)
    string.post("grün", severity=3, status="COMM", timestamp=AT)
    names.post(["one", "two"], timestamp=AT)
    trend.post([1.5, -2.0], severity=1, timestamp=AT)
    return [number, whole, choice, text, string, names, trend, CommandPv("T:Command", "a command", nothing)]


def test_no_type_is_forgotten() -> None:
    """`one_of_each`, with which each type is tested, has all types of PV that `ioc.ca` offers."""
    offered = {
        each
        for each in vars(ioc.ca).values()
        if inspect.isclass(each) and issubclass(each, Pv) and not inspect.isabstract(each)
    }
    assert {type(pv) for pv in one_of_each()} == offered


async def test_every_type_has_the_value_alarm_and_time_of_channel_access(both: Both, client: Context) -> None:
    """Each type of PV is read with the value, the severity and the time stamp that the PV has."""
    pvs = one_of_each()
    await both.by_both(*pvs)
    for pv in pvs:
        got = await structure(client, pv.name)
        value = got["value.index"] if isinstance(pv, EnumPv) else got["value"]
        several = isinstance(pv, (StringArrayPv, FloatArrayPv))
        assert (list(value) if several else value) == (list(pv.value) if several else pv.value)
        assert got["alarm.severity"] == pv.severity
        assert got["timeStamp.secondsPastEpoch"] + got["timeStamp.nanoseconds"] / 1e9 == pytest.approx(pv.timestamp)
        assert got["display.description"] == pv.description


async def test_units_limits_choices_and_reasons(both: Both, client: Context) -> None:
    """Metadata are those of the PV; the reason of an alarm is the status of a number and the text of a text."""
    await both.by_both(*one_of_each())
    number, text, choice = [await structure(client, name) for name in ("T:Float", "T:Text", "T:Enum")]
    assert (number["display.units"], number["display.precision"], number["control.limitHigh"]) == ("Torr", 2, 100)
    assert number["valueAlarm.highAlarmLimit"] == 9
    assert (number["alarm.message"], number["alarm.status"]) == ("HIHI", 1)
    assert text["alarm.message"] == "router data3 is Dirty: grün"
    assert list(choice["value.choices"]) == ["Off", "On"]
    assert (await structure(client, "T:Int"))["display.units"] == "runs"
    assert (await structure(client, "T:Trend"))["display.units"] == "Hz"


async def test_a_softioc_gives_the_same_structures(both: Both, client: Context, epics: Epics) -> None:
    """pvinfo prints the same fields for our float and enum as EPICS base's own tools expect of an NTScalar."""
    await both.by_both(*one_of_each())
    shown = await epics.arun("pvinfo", "T:Float", "T:Enum")
    assert shown.returncode == 0
    assert "epics:nt/NTScalar:1.0" in shown.stdout
    assert "epics:nt/NTEnum:1.0" in shown.stdout
    shown = await epics.arun("pvget", "T:Float", "T:Enum", "T:Text")
    assert "9.5 MAJOR DEVICE HIHI" in shown.stdout
    assert "(1) On" in shown.stdout


async def test_a_change_arrives_within_five_milliseconds(both: Both, client: Context) -> None:
    """A monitor gets every value that is posted, in order, and most of them within 5 ms."""
    pv = FloatPv("T:Float", "")
    await both.by_both(pv)
    loop, seen, late = asyncio.get_running_loop(), list[float](), list[float]()
    posted: dict[float, float] = {}

    async def take(value: Any) -> None:
        seen.append(value["value"])
        late.append(loop.time() - posted.get(value["value"], math.inf))

    monitor = client.monitor("T:Float", take)
    await eventually(lambda: seen == [0.0])
    for number in range(1, 101):
        posted[float(number)] = loop.time()
        pv.post(float(number))
        await eventually(lambda: seen[-1] == float(number))  # noqa: B023 - called at once
    monitor.close()
    assert seen == [float(number) for number in range(101)]
    assert sorted(late[1:])[50] < 0.05


async def test_a_burst_is_sent_by_both_in_the_same_pieces(both: Both, client: Context) -> None:
    """While many PVs are posted that a client of PVAccess monitors, Channel Access sends them in pieces, too."""
    pvs = [FloatPv(f"T:{number}", "") for number in range(3 * ABREAST)]
    await both.by_both(*pvs)
    outbox = Outbox(both.servers[0].site.turns, bytearray().extend)
    for number, pv in enumerate(pvs):
        Subscription(outbox, pv, identifier=number, data_type=6, count=1, mask=1).start()
    seen = Counter[str]()

    def take(name: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def count(_: Any) -> None:
            seen[name] += 1

        return count

    monitors = [client.monitor(pv.name, take(pv.name)) for pv in pvs]
    await eventually(lambda: len(seen) == len(pvs) and not len(outbox))
    waiting = list[int]()
    for pv in pvs:
        pv.post(1.0)
        waiting.append(len(outbox))
    assert max(waiting) <= ABREAST
    await eventually(lambda: min(seen.values()) == 2 and not len(outbox))
    outbox.close()
    for monitor in monitors:
        monitor.close()


async def test_new_units_and_states_reach_monitors(both: Both, client: Context) -> None:
    """A change of metadata is an update that carries them."""
    number, choice = FloatPv("T:Float", ""), EnumPv("T:Enum", "", ("a", "b"))
    await both.by_both(number, choice)
    units, choices = list[str](), list[list[str]]()

    async def take_units(value: Any) -> None:
        units.append(value["display.units"])

    async def take_choices(value: Any) -> None:
        choices.append(list(value["value.choices"]))

    monitors = [client.monitor("T:Float", take_units), client.monitor("T:Enum", take_choices)]
    await eventually(lambda: units and choices)
    number.set_units("mbar", 1)
    choice.set_strings(("x", "y", "z"))
    await eventually(lambda: units[-1] == "mbar" and choices[-1] == ["x", "y", "z"])
    for monitor in monitors:
        monitor.close()


class LeftPv(FloatPv):
    """Counts how often a subscriber has left."""

    left = 0

    def unsubscribe(self, listener: Listener) -> None:
        self.left += 1
        super().unsubscribe(listener)


async def test_a_client_that_comes_as_the_last_one_leaves_stays(both: Both) -> None:
    """Both may happen before the event loop has a turn; the new client is not disconnected."""
    pv = LeftPv("T:Float", "")
    await both.by_both(pv)
    mirror = Mirror(pv, both.servers[0].site, Counter(), asyncio.get_running_loop())
    mirror.onFirstConnect(mirror.shared)
    await eventually(mirror.shared.isOpen)
    mirror.onLastDisconnect(mirror.shared)
    mirror.onFirstConnect(mirror.shared)
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon_threadsafe(turn.set)
    await turn.wait()
    assert mirror.shared.isOpen()
    assert (pv.listeners, pv.left) == (1, 0)
    mirror.onLastDisconnect(mirror.shared)
    await eventually(lambda: not mirror.shared.isOpen() and pv.listeners == 0)


async def test_without_clients_a_pv_has_no_subscriber(both: Both, client: Context, epics: Epics) -> None:
    """The PVs cost nothing until a client connects, and again after the last one has left."""
    pv = FloatPv("T:Float", "")
    await both.by_both(pv)
    assert pv.listeners == 0
    seen: list[float] = []

    async def take(value: Any) -> None:
        seen.append(value["value"])

    monitor = client.monitor("T:Float", take)
    await eventually(lambda: seen)
    assert pv.listeners == 1
    monitor.close()
    client.close()
    await eventually(lambda: pv.listeners == 0)
    assert (await epics.arun("pvget", "T:Float")).returncode == 0
    await eventually(lambda: pv.listeners == 0)


@pytest.mark.parametrize(
    ("pv", "put", "expected"),
    [
        ("T:Float", "6.5", 6.5),
        ("T:Int", "-3", -3),
        ("T:Enum", "On", 1),
        ("T:Enum", "1", 1),
        ("T:Text", "He + 10 % CO2, grün", "He + 10 % CO2, grün"),
        ("T:String", "ß-decay", "ß-decay"),
    ],
)
async def test_pvput_writes(both: Both, epics: Epics, pv: str, put: str, expected: object) -> None:
    """pvput changes each type, and the put is recorded with user and host as one of Channel Access."""
    got: list[Any] = []

    async def take(client: Client, value: Any) -> None:
        got.append(value)

    await both.by_both(
        FloatPv("T:Float", "", on_put=take),
        IntPv("T:Int", "", on_put=take),
        EnumPv("T:Enum", "", ("Off", "On"), on_put=take),
        TextPv("T:Text", "", 100, on_put=take),
        StringPv("T:String", "", on_put=take),
    )
    done = await epics.arun("pvput", pv, put)
    assert done.returncode == 0, done.stderr
    assert got == [expected]
    (record,) = both.puts
    assert (record.pv, record.result, record.client.host) == (pv, "ok", "127.0.0.1")
    assert record.client.user


async def test_a_command_answers_when_it_is_done(both: Both, client: Context) -> None:
    """A put to a command returns when its work has ended, and shows Busy meanwhile."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def work(client: Client) -> None:
        begun.set()
        await go.wait()

    pv = CommandPv("T:Command", "", work)
    await both.by_both(pv)
    put = asyncio.create_task(client.put("T:Command", {"value.index": 1}))
    await begun.wait()
    assert (await structure(client, "T:Command"))["value.index"] == 1
    assert not put.done()
    go.set()
    await put
    assert pv.value == 0


async def test_a_refusal_carries_its_reason(both: Both, client: Context, epics: Epics) -> None:
    """What is refused fails with the reason, for p4p and for pvput, and is recorded."""

    async def refuse(client: Client) -> None:
        raise Refused("run 12 cannot start: ECC server CoBo0 is Idle, but must be Ready")

    await both.by_both(CommandPv("T:Command", "", refuse), FloatPv("T:Float", "", maximum=10, on_put=nothing))
    with pytest.raises(Exception, match="CoBo0 is Idle, but must be Ready"):
        await client.put("T:Command", {"value.index": 1})
    shown = await epics.arun("pvput", "T:Float", "11")
    assert shown.returncode == 1
    assert "T:Float cannot be set to 11: it must be at most 10" in shown.stdout + shown.stderr
    assert [put.result for put in both.puts] == ["refused", "refused"]


@pytest.mark.parametrize(("value", "result"), [(b"B\xe4ta", "refused"), (b"\xff", "refused"), (b"B\xc3\xa4ta", "ok")])
async def test_a_text_that_is_not_utf_8(both: Both, client: Context, value: bytes, result: str) -> None:
    """It is refused with the reason and recorded, as by Channel Access; the log has no error of ours."""
    pv = TextPv("T:Text", "", 20, value="before", on_put=nothing)
    await both.by_both(pv)
    if result == "ok":
        await client.put("T:Text", {"value": value})
    else:
        with pytest.raises(Exception, match="T:Text cannot be set: a text must be UTF-8, but byte "):
            await client.put("T:Text", {"value": value})
    assert [put.result for put in both.puts] == [result]


async def test_who_may_not_write_is_told_and_recorded(both: Both, client: Context, epics: Epics) -> None:
    """The rules of Channel Access apply: a read-only PV and a user without access are denied with a reason."""
    await both.by_both(FloatPv("T:Read", ""), FloatPv("T:Write", "", on_put=nothing))
    with pytest.raises(Exception, match="T:Read is read only"):
        await client.put("T:Read", {"value": 1.0})
    (read,) = both.puts
    both.denied_users.add(read.client.user)
    with pytest.raises(Exception, match="may not write T:Write"):
        await client.put("T:Write", {"value": 1.0})
    assert [put.result for put in both.puts] == ["denied", "denied"]


async def test_one_client_cannot_pile_up_puts(both: Both, client: Context) -> None:
    """A client that does not wait for its puts is refused beyond the limit."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def work(client: Client, value: float) -> None:
        begun.set()
        await go.wait()

    await both.by_both(
        FloatPv("T:A", "", on_put=work), FloatPv("T:B", "", on_put=work), limits=Limits(unfinished_puts=1)
    )
    first = asyncio.create_task(client.put("T:A", {"value": 1.0}))
    await begun.wait()
    with pytest.raises(Exception, match=r"earlier puts from .* are not finished"):
        await client.put("T:B", {"value": 1.0})
    go.set()
    await first


@pytest.mark.parametrize("on_put", [nothing, None])
async def test_a_put_that_is_too_long_is_refused(both: Both, client: Context, on_put: Any) -> None:
    """The limit is that of Channel Access, the reason tells both sizes, and the record has only the beginning."""
    await both.by_both(TextPv("T:Text", "", 2000, on_put=on_put), limits=Limits(request_bytes=1000))
    with pytest.raises(Exception, match="T:Text cannot be set to 1001 bytes: a put must have at most 1000"):
        await client.put("T:Text", {"value": "x" * 1001})
    (record,) = both.puts
    assert record.result == "refused"
    assert record.new_value == "x" * 200 + "…"


class FromEvil:
    """An operation of a client that reports an odd account."""

    def peer(self) -> str:
        return "[::ffff:127.0.0.1]:1234"

    def account(self) -> str:
        return "ca/eve\n\x1b[2J" + "l" * 200


def test_the_reported_account_is_cleaned() -> None:
    """It is recorded and logged, so it has neither control characters nor any length."""
    operation: Any = FromEvil()
    assert client_of(operation) == Client("eve[2J" + "l" * 92, "127.0.0.1")


async def test_a_removed_pv_disconnects_and_its_successor_is_found(both: Both, client: Context) -> None:
    """A client of a removed PV is disconnected, and connects to a new PV of that name, even of another type."""
    server = await both.by_both(FloatPv("T:Pv", ""))
    channel_access = both.servers[0]
    seen: list[Any] = []

    async def take(value: Any) -> None:
        seen.append("gone" if isinstance(value, Exception) else value["value"])

    monitor = client.monitor("T:Pv", take, notify_disconnect=True)
    await eventually(lambda: 0.0 in seen)
    channel_access.remove("T:Pv")
    server.forget_removed()
    await eventually(lambda: seen[-1] == "gone")
    channel_access.add(TextPv("T:Pv", "", 20, value="new"))
    await eventually(lambda: seen[-1] == "new")
    monitor.close()


async def test_a_replaced_pv_is_not_served_before_it_is_forgotten(both: Both, client: Context) -> None:
    """A client that connects between the removal of a PV and `forget_removed` gets the new PV of that name."""
    server = await both.by_both(FloatPv("T:Pv", ""))
    assert server.makeChannel("T:Pv", "") is not None
    both.servers[0].remove("T:Pv")
    both.servers[0].add(TextPv("T:Pv", "", 20, value="new"))
    assert (await structure(client, "T:Pv"))["value"] == "new"
    server.forget_removed()
    assert (await structure(client, "T:Pv"))["value"] == "new"


async def test_a_pv_removed_while_a_client_connects_stays_closed(both: Both) -> None:
    """It is not served although a client had found it."""
    pv = FloatPv("T:Pv", "")
    await both.by_both(pv)
    mirror = Mirror(pv, both.servers[0].site, Counter(), asyncio.get_running_loop())
    both.servers[0].remove("T:Pv")
    mirror.onFirstConnect(mirror.shared)
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon_threadsafe(turn.set)
    await turn.wait()
    assert not mirror.shared.isOpen()
    assert pv.listeners == 0


async def test_a_restarted_server_is_found_again(both: Both, client: Context) -> None:
    """Clients see the end of the server, and its successor."""
    server = await both.by_both(FloatPv("T:Pv", "", value=1.0))
    seen: list[Any] = []

    async def take(value: Any) -> None:
        seen.append("gone" if isinstance(value, Disconnected) else value["value"])

    monitor = client.monitor("T:Pv", take, notify_disconnect=True)
    await eventually(lambda: 1.0 in seen)
    await server.close()
    await eventually(lambda: seen[-1] == "gone")
    await server.start()
    await eventually(lambda: seen[-1] == 1.0)
    monitor.close()


@pytest.mark.parametrize(
    ("variables", "interfaces"),
    [
        ({"EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1"}, "127.0.0.1"),
        ({"EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.2"}, "127.0.0.2"),
    ],
)
async def test_interfaces_are_those_of_channel_access(
    epics: Epics, both: Both, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], interfaces: str
) -> None:
    """Without an interface list of its own, PVAccess is offered only where Channel Access is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = await both.by_both(FloatPv("T:Float", ""))
    listening = {
        connection.laddr.ip
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == "LISTEN" and connection.laddr.port == server.port
    }
    assert listening == {interfaces}
