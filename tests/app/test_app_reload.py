"""IOC:Reload: what it takes over, what it refuses, what happens when the new topology cannot be served."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from ioc.sim.ecc_state import State
from tests.app.site import RunningIoc
from tests.epics import Epics, eventually

MORE = [{"name": "gas", "type": "string"}, {"name": "energy", "units": "MeV"}]
MOVED = [{"name": "gas", "type": "float"}]


async def test_observables_change_at_run_time(ioc: RunningIoc) -> None:
    """New observables are served, gone ones are not, in any state; what has not changed keeps its value."""
    assert await ioc.put("T:Obs:gas:Value", "P10")
    assert await ioc.put("T:ECC:CoBo0:Describe")
    ioc.write(observables=MORE)
    assert await ioc.put("T:IOC:Reload")
    assert await ioc.get("T:Obs:energy:Value.EGU") == "MeV"
    assert await ioc.get("T:Obs:gas:Value") == "P10"
    assert await ioc.put("T:Obs:energy:Value", "4.5")
    assert await ioc.get("T:Obs:energy:Value") == "4.5"
    ioc.write(observables=MOVED)
    assert await ioc.put("T:IOC:Reload")
    assert await ioc.absent("T:Obs:energy:Value")
    assert await ioc.put("T:Obs:gas:Value", "2.5")
    assert ioc.ready == 1, "nothing restarted"


async def test_a_file_with_errors_changes_nothing(ioc: RunningIoc) -> None:
    """A broken file is refused with its faults; the IOC and its next reload go on."""
    ioc.file.write_text("prefix: [")
    assert not await ioc.put("T:IOC:Reload")
    assert "topology not reloaded, nothing changed" in await ioc.log()
    ioc.file.unlink()
    assert not await ioc.put("T:IOC:Reload")
    assert await ioc.get("T:State") == "Idle"
    ioc.write()
    assert await ioc.put("T:IOC:Reload")
    assert "nothing has changed" in await ioc.log()


@pytest.mark.parametrize("targets", [["slack://s3cret/b/c"], "slack://s3cret/b/c", [{"name": "t", "url": ["s3cret"]}]])
async def test_a_secret_in_the_file_goes_nowhere(
    ioc: RunningIoc, targets: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that was put into the topology in a wrong form is in no PV, log or database after a reload."""
    caplog.set_level(logging.DEBUG)
    ioc.write(notifications={"targets": targets})
    assert not await ioc.put("T:IOC:Reload")
    shown = await ioc.log()
    assert "notifications.targets" in shown
    assert "s3cret" not in shown + await ioc.get("T:Message", "-S") + caplog.text

    def rows() -> bytes:
        return b"".join(file.read_bytes() for file in ioc.file.parent.glob("runs.db*") if file.is_file())

    await eventually(lambda: b"notifications.targets" in rows())
    assert b"s3cret" not in rows()


async def test_everything_changes_while_idle(ioc: RunningIoc) -> None:
    """While every server is Idle another prefix and experiment are taken over by building the IOC anew."""
    ioc.write(prefix="U:", experiment="e2")
    assert await ioc.put("T:IOC:Reload")
    await ioc.until("State", "Idle", prefix="U:")
    assert await ioc.get("U:Experiment", "-S") == "e2"
    assert await ioc.absent("T:State")


async def test_the_second_of_two_reloads_counts(ioc: RunningIoc) -> None:
    """A reload that is granted just before the internal restart of an earlier one is not forgotten."""
    ioc.write(prefix="V:")
    assert await ioc.put("T:IOC:Reload")
    ioc.write(prefix="W:")
    assert await ioc.put("T:IOC:Reload")
    await ioc.until("State", "Idle", prefix="W:")


async def test_everything_else_is_refused_unless_idle(ioc: RunningIoc) -> None:
    """Unless every server is Idle the put fails and names who is not and what has changed."""
    assert await ioc.put("T:ECC:CoBo1:Describe")
    ioc.write(prefix="U:")
    assert not await ioc.put("T:IOC:Reload")
    log = await ioc.log()
    assert "prefix changed, but every ECC server must be Idle and at rest: CoBo1 is Described" in log
    assert ioc.ready == 1


async def test_hooks_change_while_idle(ioc: RunningIoc) -> None:
    """Hooks are taken over by an internal restart: refused unless every server is Idle, and with errors."""
    ioc.write(hooks={"failed": [{"name": "a", "run": ["true"], "timeout": 0}]})
    assert not await ioc.put("T:IOC:Reload")
    assert "hooks.failed[0].timeout is 0, but must be more than 0" in await ioc.log()
    ioc.write(hooks={"failed": [{"name": "a", "run": ["true"]}]})
    assert await ioc.put("T:ECC:CoBo1:Describe")
    assert not await ioc.put("T:IOC:Reload")
    assert "hooks changed, but every ECC server must be Idle" in await ioc.log()
    assert await ioc.put("T:ECC:CoBo1:Undo")
    assert await ioc.put("T:IOC:Reload")
    await eventually(lambda: ioc.ready == 2)


class Meddler(logging.Handler):
    """Somebody else Describes a server at the very moment at which the rebuild is announced."""

    def __init__(self, ioc: RunningIoc) -> None:
        super().__init__()
        self._ioc = ioc

    def emit(self, record: logging.LogRecord) -> None:
        if "restarts internally" in record.getMessage():
            self._ioc.servers["CoBo0"].machine.force(State.DESCRIBED)


async def test_what_was_begun_after_the_reload_was_granted_is_not_cut_off(
    ioc: RunningIoc, caplog: pytest.LogCaptureFixture
) -> None:
    """If a server leaves Idle between the answer and the rebuild, the rebuild is given up and the log says so."""
    caplog.set_level("INFO", "ioc")
    meddler = Meddler(ioc)
    logging.getLogger("ioc.run").addHandler(meddler)
    try:
        ioc.write(prefix="U:")
        assert await ioc.put("T:IOC:Reload")
        await eventually(lambda: "must be Idle and at rest: CoBo0 is Described" in caplog.text)
    finally:
        logging.getLogger("ioc.run").removeHandler(meddler)
    assert ioc.ready == 1


@pytest.mark.parametrize("changes", [{"database": "nowhere/runs.db"}, {"database": "topology.yaml"}])
async def test_a_topology_that_cannot_be_served_makes_room_for_the_one_before(
    ioc: RunningIoc, changes: dict[str, str]
) -> None:
    """If the new topology's database cannot be opened the old topology is served again, and the log says why."""
    ioc.write(prefix="U:", **changes)
    assert await ioc.put("T:IOC:Reload")
    await eventually(lambda: ioc.ready == 2)
    await ioc.until("State", "Idle")
    log = await ioc.log()
    assert "the reloaded topology cannot be served, the previous one stays in use: " in log
    assert changes["database"] in log
    ioc.write(prefix="U:")
    assert await ioc.put("T:IOC:Reload")
    await ioc.until("State", "Idle", prefix="U:")


async def test_what_was_reloaded_is_in_use_after_a_failed_reload(ioc: RunningIoc) -> None:
    """The topology that returns is the one that was in use, not that of the last internal restart."""
    ioc.write(observables=MORE)
    assert await ioc.put("T:IOC:Reload")
    ioc.write(observables=MORE, database="topology.yaml")
    assert await ioc.put("T:IOC:Reload")
    await eventually(lambda: ioc.ready == 2)
    await ioc.until("State", "Idle")
    assert "the previous one stays in use: " in await ioc.log()
    assert await ioc.put("T:Obs:energy:Value", "4.5")
    assert await ioc.get("T:Obs:energy:Value.EGU") == "MeV"


async def test_the_heap_is_left_alone_while_serving(epics: Epics, tmp_path: Path) -> None:
    """While it serves, no collection of garbage looks through all that the IOC is made of; then all is as before."""
    before = gc.get_threshold(), gc.get_freeze_count()
    async with RunningIoc(tmp_path, epics):
        objects = len(gc.get_objects())
        assert gc.get_freeze_count() > 10 * objects
        assert gc.get_threshold()[0] > before[0][0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


async def test_interlocks_change_at_run_time(ioc: RunningIoc) -> None:
    """New interlocks are served and judged at once, gone ones are not, changed limits count; nothing restarts."""
    assert await ioc.get("T:Interlock:Summary", "-S") == "no interlocks"
    assert await ioc.put("T:Obs:gas:Value", "P10")
    assert await ioc.put("T:ECC:CoBo0:Describe")
    ioc.write(interlocks=[{"name": "gas", "observable": "gas", "allowed": ["P10"], "action": "block"}])
    assert await ioc.put("T:IOC:Reload")
    assert await ioc.get("T:Interlock:gas:State") == "Ok"
    assert await ioc.get("T:Interlock:gas:Value") == "P10"
    assert await ioc.get("T:Interlock:Summary", "-S") == "the interlock is Ok"
    changed = {"name": "gas", "observable": "gas", "allowed": ["He"], "action": "block", "for_seconds": 0}
    ioc.write(
        interlocks=[changed, {"name": "hv", "observable": "hv", "low": 3, "action": "alarm", "for_seconds": 0}],
        observables=[{"name": "gas", "type": "string"}, {"name": "hv", "units": "kV"}],
    )
    assert await ioc.put("T:IOC:Reload")
    assert await ioc.get("T:Interlock:gas:State") == "Tripped"
    assert "but must be He" in await ioc.get("T:Run:BlockedBy", "-S")
    assert await ioc.put("T:Obs:hv:Value", "2.5")
    await ioc.until("Interlock:hv:State", "Tripped")
    assert await ioc.get("T:Interlock:hv:Value.EGU") == "kV"
    assert not await ioc.put("T:Interlock:gas:Low", "1")
    assert "has no limits" in await ioc.get("T:Interlock:gas:Message", "-S")
    assert await ioc.put("T:Interlock:hv:Low", "2")
    await ioc.until("Interlock:hv:Low", "2")
    ioc.write()
    assert await ioc.put("T:IOC:Reload")
    assert await ioc.absent("T:Interlock:hv:State")
    assert await ioc.get("T:Interlock:Summary", "-S") == "no interlocks"
    assert ioc.ready == 1, "nothing restarted"
