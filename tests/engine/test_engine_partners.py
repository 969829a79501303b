"""The engine and partners: begun and ended with the run, whatever they raise."""

from __future__ import annotations

import pytest

from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.model import Operation, PartnerState, RunState
from tests.engine.bench import Bench
from tests.runlogic.installation import PARTNERS, topology

BUG = ZeroDivisionError("bug")


def bench_with_partners() -> Bench:
    return Bench(topology(partners=PARTNERS))


async def test_they_are_begun_and_ended() -> None:
    """Each is read, begun with the number of the run, and ended with it."""
    async with bench_with_partners() as bench:
        await bench.to_running()
        assert {name: each.state for name, each in bench.state.partners.items()} == dict.fromkeys(
            ("early", "late"), PartnerState.Active
        )
        await bench.run(Operation.Stop)
        assert [each.calls for each in bench.partners.values()] == [["begin 0", "end"]] * 2
        assert bench.state.run.state is RunState.Stopped


@pytest.mark.parametrize("fault", [PeerRejected("it refused"), PeerTimeout("it did not answer"), BUG])
async def test_a_begin_that_fails(fault: Exception) -> None:
    """The start fails and is rolled back; a partner is ended unless it has certainly not begun."""
    async with bench_with_partners() as bench:
        await bench.to_ready()
        bench.partners["early"].faults["begin"] = fault
        with pytest.raises(PeerError):
            await bench.run(Operation.Start)
        assert bench.state.run.state is RunState.Failed
        assert bench.partners["early"].calls == ["begin 0", *([] if isinstance(fault, PeerRejected) else ["end"])]
        assert bench.partners["late"].calls == []
        assert not bench.partners["early"].active


@pytest.mark.parametrize("fault", [PeerRejected("it refused"), PeerTimeout("it did not answer"), BUG])
async def test_an_end_that_fails(fault: Exception) -> None:
    """The run is closed with the reason."""
    async with bench_with_partners() as bench:
        await bench.to_running()
        bench.partners["late"].faults["end"] = fault
        with pytest.raises(PeerError):
            await bench.run(Operation.Stop)
        assert bench.state.run.state is RunState.Stopped


@pytest.mark.parametrize("fault", [PeerError("it is gone"), BUG])
async def test_one_that_cannot_be_read(fault: Exception) -> None:
    """It is Offline as long as that lasts."""
    async with bench_with_partners() as bench:
        await bench.to_ready()
        bench.partners["late"].faults["read"] = fault
        await bench.until(lambda: bench.state.partners["late"].state is PartnerState.Offline)
        bench.partners["late"].faults.clear()
        await bench.until(lambda: bench.state.partners["late"].state is PartnerState.Halted)
