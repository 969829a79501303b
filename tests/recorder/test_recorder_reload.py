"""Observables that come, go and change while the recorder works, on a real run database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from ioc.errors import PeerError
from ioc.model import RunClass, ValueType
from ioc.topology.schema import Observable
from tests.epics import eventually
from tests.recorder.rig import ALL, COUNT, ENERGY, HandClock, rig
from tests.rundb.rows import GAS, PRESSURE, locked, rows

OTHERS = tuple(each for each in ALL if each is not PRESSURE)
MEASURED = """SELECT units, source_pv, begin_value, end_value, minimum, maximum, samples FROM measurements
    JOIN observables ON observables.id = observable_id WHERE name = 'pressure' ORDER BY observable_id"""


async def test_observables_change_in_an_open_run(database: Path) -> None:
    """A new one begins to be recorded, one that is gone ends, the others go on."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        extra = Observable(name="extra", pv="X")
        await it.recorder.reload((extra, PRESSURE.model_copy(update={"label": "P"}), GAS))
        assert it.feed.followed == ["extra", "pressure"]
        it.feed.send(3.0, name="extra")
        it.feed.send(4.0, name="valve")
        it.feed.send(6.0)
        await it.recorder.end_run(run)
        measured = {each.observable: each.statistics.samples for each in await it.store.load_measurements(run)}
        assert (measured["extra"], measured["pressure"]) == (1, 2)
        assert it.recorder.names == ("extra", "pressure", "target_gas")


async def test_an_observable_that_comes_back_goes_on(database: Path) -> None:
    """Taken out of the topology in an open run and put back, an observable has one row: gap and all."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(9.0)
        await it.recorder.reload(OTHERS)
        it.feed.send(99.0)
        await it.recorder.reload(ALL)
        it.feed.send(7.0)
        assert it.statistics("pressure").samples == 3
        await it.recorder.end_run(run)
    assert rows(database, MEASURED) == [("Torr", "GAS:P", 5.0, 7.0, 5.0, 9.0, 3)]


@pytest.mark.parametrize("change", [{"pv": "GAS:NEW"}, {"units": "mbar"}])
async def test_an_observable_that_changes_in_a_run_begins_anew(database: Path, change: dict[str, str]) -> None:
    """Another source or unit is another observable: neither run keeps values of the one under the other."""
    changed = PRESSURE.model_copy(update=change)
    async with rig(database) as it:
        define = it.store.define_observables

        async def define_slowly(experiment: str, observables: tuple[Observable, ...]) -> dict[str, int]:
            it.feed.send(999.0)  # the old source is heard no more
            return await define(experiment, observables)

        it.feed.send(5.0)
        for number in range(2):
            run = await it.run()
            await it.recorder.begin_run(run)
            if number:
                it.feed.send(6.0)
                it.store.define_observables = define_slowly  # type: ignore[method-assign]
                await it.recorder.reload((changed, *OTHERS))
                assert it.recorder.disconnected(["pressure"]) == ("pressure",)
                it.feed.send(700.0)
            await it.recorder.end_run(run)
    units, pv = change.get("units", "Torr"), change.get("pv", "GAS:P")
    old, before, after = rows(database, MEASURED)
    assert old == ("Torr", "GAS:P", 5.0, 5.0, 5.0, 5.0, 1)
    assert before == ("Torr", "GAS:P", 5.0, None, 5.0, 6.0, 2)
    assert after == (units, pv, None, 700.0, 700.0, 700.0, 1)


async def test_a_reload_that_the_database_does_not_take_changes_nothing(database: Path) -> None:
    """While the database is locked the observables stay as they were, followed and recorded."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        with locked(database), pytest.raises(PeerError):
            await it.recorder.reload((PRESSURE.model_copy(update={"pv": "GAS:NEW"}), GAS))
        assert it.recorder.names == tuple(each.name for each in ALL)
        assert it.feed.followed == ["pressure", "valve"]
        it.feed.send(8.0)
        await it.recorder.end_run(run)
    assert rows(database, MEASURED) == [("Torr", "GAS:P", 5.0, 8.0, 5.0, 8.0, 2)]


async def test_a_reload_and_another_experiment_at_once(database: Path) -> None:
    """Whichever comes first, the observables of the reload are those of the new experiment, and a run has them."""
    extra = Observable(name="extra", pv="X")
    async with rig(database) as it:
        await asyncio.gather(it.recorder.change_experiment("e2"), it.recorder.reload((*ALL, extra)))
        it.feed.send(3.0, name="extra")
        run = (await it.store.reserve_run("e2", "", RunClass.Beam, "")).run
        await it.recorder.begin_run(run)
        await it.recorder.end_run(run)
        assert {each.observable for each in await it.store.load_measurements(run)} >= {"extra", "pressure"}


async def test_what_is_copied_from_a_run_fits_the_observables_of_today(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The value of an observable that has another type since is left out and said; the others are copied."""
    async with rig(database) as it:
        await it.recorder.set_manual("energy", 1.5)
        await it.recorder.set_manual("target_gas", "P10")
        await it.recorder.set_manual("count", 3)
        run = await it.run()
        await it.recorder.begin_run(run)
        await it.recorder.end_run(run)
        whole = ENERGY.model_copy(update={"type": ValueType.Integer})
        await it.recorder.reload((PRESSURE, GAS, whole, COUNT))
        await it.recorder.set_manual("target_gas", "He")
        await it.recorder.set_manual("count", 4)
        await it.recorder.copy_manual_from(run)
        values = {view.name: view.reading.value for view in it.recorder.values(it.recorder.names) if view.reading}
    assert values == {"target_gas": "P10", "count": 3}
    assert "observable energy is not copied from run 0: its type or units have changed since" in caplog.text


async def test_a_value_that_was_held_back_counts_from_its_own_time(database: Path) -> None:
    """With one reading in 20 s let through, what comes late is not taken for that of a source with a wrong clock."""
    slow = PRESSURE.model_copy(update={"max_rate": 0.05})
    clock = HandClock()
    async with rig(database, clock=clock) as it:
        await it.recorder.reload((slow, *OTHERS))
        it.feed.send(0.0, at=clock.time)
        run = await it.run()
        await it.recorder.begin_run(run)
        began = clock.time
        clock.time += 20
        it.feed.send(100.0, at=began + 1)
        clock.time += 20
        await it.recorder.end_run(run)
        (figures,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
    assert figures.statistics.mean == pytest.approx(97.5)


async def test_what_is_only_followed_is_never_recorded(database: Path) -> None:
    """An unrecorded PV has readings and is reported as changed, but has no view, no row and no sample; it may go."""
    beam = Observable.model_construct(name="Interlock:beam", pv="BEAM:Current", type=ValueType.Float)
    async with rig(database, unrecorded=[beam]) as made:
        made.feed.send(2.5, name=beam.name)
        await eventually(lambda: any(beam.name in names for names in made.changes))
        (reading,) = made.recorder.readings([beam.name, "nothing", "pressure"])
        assert (reading.observable, reading.value) == (beam.name, 2.5)
        assert made.recorder.values([beam.name]) == []
        assert beam.name not in made.recorder.names
        await made.recorder.reload(ALL, [beam])
        assert made.recorder.readings([beam.name]) == [reading], "it goes on without interruption"
        await made.recorder.reload(ALL)
        assert made.recorder.readings([beam.name]) == []
        assert beam.name not in made.feed.followed
        await made.store.flush()
    with sqlite3.connect(database) as db:
        assert not db.execute("SELECT name FROM observables WHERE name LIKE 'Interlock%'").fetchall()
        assert not db.execute("SELECT value FROM samples WHERE value = 2.5").fetchall()


async def test_a_late_reading_of_a_pv_that_goes_does_not_stay(database: Path) -> None:
    """What an unrecorded PV still sends while a reload removes it has no reading afterwards."""
    beam = Observable.model_construct(name="Interlock:beam", pv="BEAM:Current", type=ValueType.Float)
    async with rig(database, unrecorded=[beam]) as made:
        define = made.store.define_observables

        async def define_meanwhile(experiment: str, observables: Sequence[Observable]) -> dict[str, int]:
            made.feed.send(2.5, name=beam.name)
            return await define(experiment, observables)

        made.store.define_observables = define_meanwhile  # type: ignore[method-assign]
        await made.recorder.reload(ALL)
        assert made.recorder.readings([beam.name]) == []
