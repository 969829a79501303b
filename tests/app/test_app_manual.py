"""Manual observables of a whole IOC: what is said of a put."""

from __future__ import annotations

from tests.app.site import RunningIoc


async def test_only_a_change_of_a_manual_value_is_logged(ioc: RunningIoc) -> None:
    """Who puts the value that it has confirms it: the log has a line for each change, and for nothing else."""
    for value in ("He", "He", "P10", "P10"):
        assert await ioc.put("T:Obs:gas:Value", value)
    said = [line.partition(" Obs:gas: ")[2].partition(" (")[0] for line in (await ioc.log()).split(r"\n")]
    assert list(filter(None, said)) == ["set from He to P10", "set to He"]
