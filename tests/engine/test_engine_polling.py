"""How often the engine looks at its peers, by the loop's clock."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from ioc.errors import PeerError, PeerHangs, PeerTimeout
from ioc.model import ConfigChoice, EccState, Operation
from ioc.runlogic import events as ev
from ioc.runlogic.permits import blocked_by, grouped
from tests.engine.bench import Bench


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]


async def test_servers_are_read_every_second_and_hosts_every_two() -> None:
    """At rest GetState is asked once a second and a host is looked at every two."""
    async with Bench() as bench:
        await asyncio.sleep(20.5)
        for ecc in bench.ecc.values():
            assert gaps(ecc.read_at) == [1.0] * 20
        for host in bench.hosts:
            assert gaps(host.looked_at) == [2.0] * 10


async def test_a_transition_is_watched_at_once_and_five_times_a_second() -> None:
    """The server that was sent a transition is read at once and every 0.2 s until the reply, the others as before."""
    async with Bench() as bench:
        ecc = bench.ecc["CoBo0"]
        ecc.takes = 5.0
        await asyncio.sleep(10.5)
        began = asyncio.get_running_loop().time()
        await bench.server("CoBo0", Operation.Describe)
        during = [at for at in ecc.read_at if at >= began]
        assert during[0] - began < 0.05
        assert gaps(during)[:-1] == [0.2] * (len(during) - 2)
        assert len(during) >= 25
        await asyncio.sleep(10.5)
        assert gaps(ecc.read_at)[-8:] == [1.0] * 8
        assert len([at for at in bench.ecc["CoBo1"].read_at if began <= at < began + 5]) == 5


async def test_servers_at_rest_are_read_together() -> None:
    """They are read at the same moments and none twice, also after a transition of one and a late answer of another."""
    async with Bench() as bench:
        first, second = bench.ecc["CoBo0"], bench.ecc["CoBo1"]
        first.takes = 0.37
        await asyncio.sleep(10.55)
        await bench.server("CoBo0", Operation.Describe)
        real = second.get_state

        async def late() -> object:
            await asyncio.sleep(1.7)
            second.get_state = real  # type: ignore[method-assign]
            return await real()

        second.get_state = late  # type: ignore[method-assign]
        await asyncio.sleep(10)
        rest = asyncio.get_running_loop().time()
        await asyncio.sleep(20)
        moments = [[round(at, 3) for at in ecc.read_at if at >= rest] for ecc in (first, second)]
        assert moments[0] == moments[1]
        assert [later - earlier for earlier, later in itertools.pairwise(moments[0])] == [1.0] * 19


async def test_a_slow_server_delays_no_other() -> None:
    """A server whose GetState takes its whole time-out is read less often; the others are not."""
    async with Bench() as bench:
        slow = bench.ecc["CoBo0"]
        real = slow.get_state

        async def hang() -> object:
            await asyncio.sleep(5)
            return await real()

        slow.get_state = hang  # type: ignore[method-assign]
        await asyncio.sleep(20.5)
        assert gaps(bench.ecc["CoBo1"].read_at) == [1.0] * 20
        assert len(slow.read_at) <= 5


async def test_configurations_are_read_when_a_server_comes_online() -> None:
    """The list is asked for at the first contact and after each absence; one that cannot be had harms nothing."""
    async with Bench() as bench:
        ecc = bench.ecc["CoBo0"]
        ecc.configs = ZeroDivisionError("bug")
        await bench.until(lambda: bench.state.servers["CoBo0"].online)
        await asyncio.sleep(3)
        ecc.configs = (ConfigChoice("a", "b", "c"),)
        ecc.down = PeerError("connection refused")
        await bench.until(lambda: not bench.state.servers["CoBo0"].online)
        ecc.down = None
        await bench.until(lambda: bench.state.servers["CoBo0"].offers == ecc.configs)


async def test_the_next_run_directory_is_what_hosts_are_asked_for() -> None:
    """Looks ask for the directory of the next run, which advances with the runs."""
    async with Bench() as bench:
        await bench.to_running()
        await bench.run(Operation.Stop)
        await asyncio.sleep(5)
        assert bench.hosts[0].asked_for[0] == "e20/run_0000"
        assert bench.hosts[0].asked_for[-1] == "e20/run_0001"


@contextlib.asynccontextmanager
async def restarted_after_a_run(directory: str) -> AsyncIterator[tuple[Bench, list[bool]]]:
    """A new engine after run 0 of a detector in Ready, whose hosts have this run directory; and what it permitted."""
    async with Bench() as bench:
        await bench.to_running()
        await bench.run(Operation.Stop)
    database = bench.store.database
    async with Bench(state=EccState.Ready) as bench:
        bench.store.database = database
        for host in bench.hosts:
            host.run_directories = {directory}
        bench.engine.post(ev.ObservablesMissing(frozenset()))
        permitted: list[bool] = []
        bench.engine.subscribe(lambda state: permitted.append(not blocked_by(bench.engine.plan, state)))
        yield bench, permitted


async def test_a_restart_blames_no_directory_of_another_run() -> None:
    """The first look asks for run 0, as the database was not read yet: the next, at once, decides on run 1."""
    async with restarted_after_a_run("e20/run_0000") as (bench, permitted):
        await bench.until(lambda: permitted and permitted[-1])
        assert bench.hosts[0].asked_for == ["e20/run_0000", "e20/run_0001"]
        await asyncio.sleep(0.5)
        assert blocked_by(bench.engine.plan, bench.state) == ()


async def test_after_a_restart_no_start_is_permitted_before_the_look_for_the_next_run() -> None:
    """Also for a moment: a directory of run 1 that is there already is found first."""
    async with restarted_after_a_run("e20/run_0001") as (bench, permitted):
        await bench.until(
            lambda: "already has a directory for run 1" in str(blocked_by(bench.engine.plan, bench.state))
        )
        assert asyncio.get_running_loop().time() < 1.0, "the regular look comes after two seconds"
        await asyncio.sleep(10)
        assert not any(permitted)


@pytest.mark.parametrize("fault", [PeerError("no route to host"), ZeroDivisionError("bug")])
async def test_a_host_that_cannot_be_asked_is_asked_again(fault: Exception) -> None:
    """While a host cannot be asked its routers are unknown, with the reason; when it answers again they are known."""
    async with Bench(state=EccState.Ready) as bench:
        host = bench.hosts[0]
        await bench.until(lambda: bench.state.routers["data0"].online)
        host.faults["router_facts"] = fault
        await bench.until(lambda: bench.state.routers["data0"].facts is None)
        assert bench.state.routers["data0"].message.text
        assert bench.state.routers["data1"].online
        host.faults.clear()
        await bench.until(lambda: bench.state.routers["data0"].online)


async def test_an_hour_offline_is_one_line() -> None:
    """A server and a host that are away for an hour are each logged when they go and when they come back."""
    async with Bench() as bench:
        await bench.until(lambda: bench.state.servers["CoBo0"].online and bench.state.routers["data0"].online)
        before = len(bench.journal)
        bench.ecc["CoBo0"].down = PeerError("connection refused")
        bench.hosts[0].faults["router_facts"] = PeerError("no route to host")
        await asyncio.sleep(3600)
        bench.ecc["CoBo0"].down = None
        bench.hosts[0].faults.clear()
        await asyncio.sleep(10)
        assert len(bench.journal) - before == 4, bench.log[before:]


async def test_a_list_of_configurations_that_failed_is_read_again() -> None:
    """It fails once when the server comes Online: a few seconds later it is there, and nothing complains any more."""
    async with Bench() as bench:
        bench.ecc["CoBo0"].configs = PeerError("ECC server CoBo0: its list of configurations is no XML")
        await bench.until(lambda: bench.state.servers["CoBo0"].list_failed)
        bench.ecc["CoBo0"].configs = (ConfigChoice("a", "b", "c"),)
        await bench.until(lambda: bench.state.servers["CoBo0"].offers, seconds=10.0)
        assert bench.state.servers["CoBo0"].message.text == "list of configurations read again"
        assert len([text for text in bench.log if "no XML" in text]) == 1


async def test_the_core_hears_within_a_second_whether_the_database_can_be_written() -> None:
    """A start is blocked with the reason, and permitted again."""
    async with Bench() as bench:
        await bench.to_ready()
        bench.store.fault = PeerError("it is locked by another program")
        await bench.until(lambda: blocked_by(bench.engine.plan, bench.state), seconds=1.0)
        assert blocked_by(bench.engine.plan, bench.state) == (
            "the run database cannot be written: it is locked by another program",
        )
        bench.store.fault = None
        await bench.until(lambda: not blocked_by(bench.engine.plan, bench.state), seconds=1.0)


async def test_a_list_that_fails_again_when_asked_for_is_reported_again() -> None:
    """The core says the first failure only; who asks for the list must be told in log and message of the second."""
    async with Bench() as bench:
        await bench.until(lambda: bench.state.servers["CoBo0"].list_read)
        bench.ecc["CoBo0"].configs = PeerError("no answer")
        logged: list[bool] = []
        for _ in range(2):
            with pytest.raises(PeerError) as failure:
                await bench.engine.refresh_configs("CoBo0")
            logged.append(failure.value.logged)
        assert logged == [True, False]


@pytest.mark.parametrize(
    ("failures", "advice"),
    [
        ([PeerError("refused")], "start getEccSoapServer on its host"),
        ([PeerTimeout("no connection")], "start getEccSoapServer on its host"),
        ([PeerHangs("no answer")], "restart getEccSoapServer on its host"),
        ([PeerHangs("no answer"), PeerTimeout("no connection")], "restart getEccSoapServer on its host"),
        ([PeerHangs("no answer"), PeerError("refused")], "start getEccSoapServer on its host"),
    ],
)
async def test_a_server_that_hangs_must_be_restarted(failures: list[Exception], advice: str) -> None:
    """One that accepts connections without an answer hangs, until it answers or refuses them."""
    async with Bench() as bench:
        for failure in failures:
            bench.ecc["CoBo0"].down = failure
            await asyncio.sleep(2)  # by the loop's clock: it is read every second
        assert f"ECC server CoBo0 is Offline: {advice}" in grouped(bench.engine.plan, bench.state)
