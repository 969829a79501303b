"""An IOC that starts while another program has locked the run database."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ioc.rundb import SqliteRunStore
from tests.app.site import RunningIoc
from tests.epics import Epics, eventually
from tests.rundb.rows import locked, rows

SOURCE = 'record(ai, "GAS:P") { field(VAL, "7.5") field(EGU, "Torr") field(PINI, "YES") }'
PRESSURE = [{"name": "pressure", "pv": "GAS:P"}, {"name": "gas", "type": "string"}]
RECORDED = "SELECT value FROM samples JOIN observables o ON o.id = observable_id WHERE name = 'pressure'"


async def test_observables_are_followed_before_the_database_is_read(
    epics: Epics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their PVs show what is so now; manual ones wait for theirs; recording begins with the present value."""
    database = tmp_path / "runs.db"
    await (await SqliteRunStore.open(database)).close()
    with ExitStack() as lock, epics.soft_ioc(SOURCE):
        monkeypatch.setenv("EPICS_CA_ADDR_LIST", epics.env["EPICS_CA_ADDR_LIST"])
        lock.enter_context(locked(database))
        async with RunningIoc(tmp_path, epics, observables=PRESSURE) as ioc:
            await ioc.until("Obs:pressure:Value", "7.5")
            await ioc.until("Obs:pressure:Connected", "Yes")
            assert await ioc.get("T:Obs:pressure:Value.SEVR") == "NO_ALARM"
            assert "the run database has not been read yet" in await ioc.get("T:Run:BlockedBy", "-S")
            assert not await ioc.put("T:Obs:gas:Value", "He"), "what was stored is not known yet"
            lock.close()
            await eventually(lambda: rows(database, RECORDED) == [(7.5,)])
            await ioc.until("Obs:gas:Connected", "Yes")
            assert await ioc.put("T:Obs:gas:Value", "He")
