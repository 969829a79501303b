"""The helper around EPICS base's tools itself."""

from tests.epics import Epics


async def test_tools_reach_a_soft_ioc(epics: Epics) -> None:
    """caget, caput and camonitor talk to a real softIoc, and a missing PV gives a failed exit status."""
    with epics.soft_ioc('record(ao, "T:X") { field(VAL, "1.5") field(PINI, "YES") }'):
        assert epics.caget("-t", "T:X").stdout == "1.5\n"
        async with epics.camonitor("T:X") as monitor:
            await monitor.until(lambda lines: lines)
            assert (await epics.acaput("-c", "T:X", "2")).returncode == 0
            assert (await monitor.until(lambda lines: len(lines) > 1))[1].split()[-1] == "2"
        assert (await epics.acaget("-w", "0.2", "T:Missing")).returncode != 0
