"""Tables and structures by PVAccess, seen with pvget and p4p."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from p4p.client.asyncio import Context
from p4p.nt import NTTable

from ioc.model import TableColumn, TableContent
from ioc.pva import PvaServer
from tests.epics import BINARIES, Epics, eventually
from tests.pva.conftest import Both

ODD = ["grün\n2nd line", 'a "quoted", text', "", "\ud800half", "x" * 20_000]


def content(*names: str, rows: int = 2, kind: Any = "float") -> TableContent:
    """A table of so many rows with numbers, or texts, from 0 on."""
    make = float if kind == "float" else str
    return TableContent(tuple(TableColumn(name, name, kind, tuple(map(make, range(rows)))) for name in names))


async def structure(client: Context, pv: str) -> Any:
    """The whole structure of a PV."""
    return await client.get(pv)


@dataclass
class Shown:
    """A view whose content a test sets."""

    content: TableContent
    name: str = "T:Table"
    description: str = "a table"
    is_record: bool = False
    reads: list[float] = field(default_factory=list[float])
    error: Exception | None = None

    @property
    def read(self) -> Callable[[], Awaitable[TableContent]]:
        return self._read

    async def _read(self) -> TableContent:
        self.reads.append(time.monotonic())
        if self.error is not None:
            raise self.error
        return self.content


@contextlib.asynccontextmanager
async def served(both: Both, *views: Shown) -> AsyncIterator[PvaServer]:
    """The views are served until the block ends."""
    server = PvaServer((await both()).site, views)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def test_pvget_and_p4p_read_a_table(both: Both, client: Context, epics: Epics) -> None:
    """It is an NTTable with labels, alarm and description; texts, numbers and gaps arrive as they are."""
    columns = (
        TableColumn("number", "number", "integer", (1, 2)),
        TableColumn("pressure", "pressure [Torr]", "float", (1.5, math.nan)),
        TableColumn("title", "title", "text", ("grün", "")),
    )
    async with served(both, Shown(TableContent(columns, 2, "CoBo0"))):
        shown = await epics.arun("pvget", "-w", "30", "T:Table")
        assert shown.returncode == 0, shown.stderr
        assert 'pressure [Torr]"' in shown.stdout
        assert r"gr\xC3\xBCn" in shown.stdout  # as it prints everything that is not ASCII
        assert "epics:nt/NTTable:1.0" in (await epics.arun("pvinfo", "T:Table")).stdout
        got = await structure(client, "T:Table")
        assert got.getID() == "epics:nt/NTTable:1.0"
        assert list(got["labels"]) == ["number", "pressure [Torr]", "title"]
        assert list(got["value.title"]) == ["grün", ""]
        assert (got["alarm.severity"], got["alarm.message"], got["descriptor"]) == (2, "CoBo0", "a table")
        assert [row["number"] for row in NTTable.unwrap(got)] == [1, 2]
        assert math.isnan(got["value.pressure"][1])


async def test_odd_names_and_texts(both: Both, client: Context) -> None:
    """Names that PVAccess does not allow become ones that it allows, each of its own; every text can be sent."""
    names = ["V-MM", "V_MM", "2nd", "_2nd", "value", "class", "µ", ""]
    columns = [TableColumn(name, f"label {name}", "text", tuple(ODD)) for name in names]
    async with served(both, Shown(TableContent(tuple(columns)))):
        got = await structure(client, "T:Table")
    fields = ["V_MM", "V_MM_1", "_2nd", "_2nd_1", "value", "class", "_", "__1"]
    assert list(got["value"].keys()) == fields
    assert list(got["labels"]) == [f"label {name}" for name in names]
    assert list(got["value.value"]) == [text.replace("\ud800", "?") for text in ODD]


@pytest.mark.parametrize("table", [content(), content("a", rows=0)], ids=["no columns", "no rows"])
async def test_an_empty_table(both: Both, client: Context, epics: Epics, table: TableContent) -> None:
    """A table without rows or columns is one."""
    async with served(both, Shown(table)):
        assert NTTable.unwrap(await structure(client, "T:Table")) == []
        assert (await epics.arun("pvget", "-w", "30", "T:Table")).returncode == 0


async def test_it_is_read_only_while_a_client_looks_and_twice_a_second(both: Both, client: Context) -> None:
    """Without clients nothing is read; with a client it is read every half second and sent when it has changed."""
    view, seen = Shown(content("a")), list[int]()

    async def take(value: Any) -> None:
        seen.append(len(value["value.a"]))

    async with served(both, view):
        assert view.reads == []
        monitor = client.monitor("T:Table", take)
        await eventually(lambda: seen == [2])
        view.content = content("a", rows=3)
        await eventually(lambda: seen == [2, 3])
        await eventually(lambda: len(view.reads) >= 5)
        assert seen == [2, 3]
        assert min(after - before for before, after in zip(view.reads, view.reads[1:], strict=False)) > 0.45
        monitor.close()
        client.close()
        last = await _rest(view)
        assert view.reads[-1] == last


async def _rest(view: Shown) -> float:
    """The last read, when none has come for more than the time between two."""
    async with asyncio.timeout(60):
        while time.monotonic() - view.reads[-1] < 1.2:  # noqa: ASYNC110 - the end of reading is no event
            await asyncio.sleep(0.05)
    return view.reads[-1]


async def test_a_vanished_client_costs_nothing(both: Both, epics: Epics) -> None:
    """After pvget's monitor was killed, the table is not read any more."""
    view = Shown(content("a"))
    async with served(both, view):
        process = subprocess.Popen(
            [BINARIES / "pvmonitor", "T:Table"],
            env=epics.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await eventually(lambda: len(view.reads) >= 2)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        await _rest(view)


async def test_other_columns_reach_clients(both: Both, client: Context) -> None:
    """When the columns change, a monitor is connected again and gets the new ones; so does a client that only gets."""
    view, seen = Shown(content("a")), list[Any]()

    async def take(value: Any) -> None:
        seen.append("gone" if isinstance(value, Exception) else list(value["value"].keys()))

    async with served(both, view):
        monitor = client.monitor("T:Table", take, notify_disconnect=True)
        await eventually(lambda: ["a"] in seen)
        for columns in (("a", "b"), ("b",), ("a", "b", "c")):
            view.content = content(*columns)
            await eventually(lambda: seen[-1] == list(columns))  # noqa: B023 - called at once
            assert list((await structure(client, "T:Table"))["value"].keys()) == list(columns)
        view.content = content("a", "b", "c", kind="text")
        await eventually(lambda: seen[-2:] == ["gone", ["a", "b", "c"]])
        monitor.close()


async def test_a_record_changes_as_a_whole_and_at_once(both: Both, client: Context) -> None:
    """A record is one structure; every update has all its fields from the same moment, soon after a refresh."""
    view, seen = Shown(content("a", "b", rows=1), is_record=True), list[tuple[float, float]]()

    async def take(value: Any) -> None:
        seen.append((value["a"], value["b"]))

    async with served(both, view) as server:
        monitor = client.monitor("T:Table", take)
        await eventually(lambda: seen)
        for number in range(1, 101):
            view.content = TableContent(tuple(TableColumn(n, n, "float", (float(number),)) for n in "ab"))
            server.refresh()
            await eventually(lambda: seen[-1][0] == number)  # noqa: B023 - called at once
        monitor.close()
    assert seen == [(float(number), float(number)) for number in range(101)]


async def test_an_error_of_a_view_is_logged_and_the_others_are_served(
    both: Both, client: Context, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that cannot be made is logged; its clients wait, other tables are read, and the server ends."""
    bad = Shown(content("a"), name="T:Bad", error=ZeroDivisionError())
    async with served(both, bad, Shown(content("a"))):
        waiting = asyncio.create_task(structure(client, "T:Bad"))
        await eventually(lambda: "T:Bad cannot be shown" in caplog.text)
        assert len((await structure(client, "T:Table"))["value.a"]) == 2
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_put_is_refused_and_recorded(both: Both, epics: Epics, client: Context) -> None:
    """Nobody can write a table; the refusal names it and is recorded as that of a read-only PV."""
    async with served(both, Shown(content("a"))):
        with pytest.raises(Exception, match="T:Table is read only"):
            await client.put("T:Table", {"descriptor": "mine"})
    (put,) = both.puts
    assert (put.pv, put.result, put.client.host) == ("T:Table", "denied", "127.0.0.1")
    assert put.client.user


async def test_many_clients_get_a_large_table(both: Both, epics: Epics) -> None:
    """200 rows of 100 columns reach ten clients, who read it from another process."""
    view = Shown(content(*(f"column{number}" for number in range(100)), rows=200))
    script = (
        "from p4p.client.thread import Context\n"
        "contexts = [Context('pva', nt=False) for _ in range(10)]\n"
        "print([len(each.get('T:Table')['value.column99']) for each in contexts])"
    )
    async with served(both, view):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=epics.environment(), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert out.decode().strip() == str([200] * 10)
