"""Runs that another process began, in the recorder on a real run database."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ioc.errors import PeerError
from ioc.model import RunClass, RunId, Severity
from ioc.rundb import Measurement, SamplePage, SampleSurvey
from ioc.rundb.times import to_text
from ioc.topology.schema import Observable
from tests.epics import eventually
from tests.recorder.rig import ALL, Rig, as_killed, interrupted_run, rig
from tests.rundb.rows import execute, locked, reading, rows

SAMPLES = """SELECT value, status, run_id FROM samples
    JOIN observables o ON o.id = observable_id WHERE name = 'pressure' AND run_id = 1 ORDER BY sampled_us"""


async def measured(it: Rig, run: RunId, name: str = "pressure") -> Measurement:
    """What is stored of an observable in a run."""
    (found,) = [each for each in await it.store.load_measurements(run) if each.observable == name]
    return found


async def test_a_quiet_source_was_connected_until_the_ioc_died(database: Path) -> None:
    """The gap of a restart begins when the process before was last alive, not at the last sample of a quiet PV."""
    run = await interrupted_run(database, 5.0)
    async with rig(database) as it:
        last_alive = time.time()
        await it.recorder.resume_run(run, last_alive)
        await it.store.flush()
        sampled = rows(database, "SELECT sampled_us FROM samples WHERE status = 'disconnected' ORDER BY sampled_us")
        assert sampled[-1][0] == pytest.approx(last_alive * 1e6, abs=1000)


async def test_an_interrupted_run_goes_on_with_a_gap(database: Path) -> None:
    """After a restart the figures go on from the stored samples, and the time between is a gap."""
    run = await interrupted_run(database, 5.0, 9.0)
    async with rig(database) as it:
        await it.recorder.resume_run(run, 0.0)
        it.feed.send(1.0)
        statistics = it.statistics("pressure")
        assert (statistics.samples, statistics.minimum, statistics.maximum) == (3, 1.0, 9.0)
        await it.recorder.end_run(run)
        (measured,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
        assert (measured.begin_value, measured.end_value, measured.statistics.samples) == (5.0, 1.0, 3)
        assert measured.statistics.disconnected_seconds > 0
        await it.store.flush()
        statuses = [status for _, status, _ in rows(database, SAMPLES)]
        assert statuses[:2] == ["NO_ALARM"] * 2
        assert set(statuses[2:-1]) == {"disconnected"}
        assert statuses[-1] == "NO_ALARM"


async def test_a_run_that_ended_with_its_process_is_closed_from_its_samples(database: Path) -> None:
    """A run that nobody goes on with gets the statistics that its samples give."""
    run = await interrupted_run(database, 5.0, 9.0)
    async with rig(database) as it:
        await it.recorder.end_run(run)
        (measured,) = [each for each in await it.store.load_measurements(run) if each.observable == "pressure"]
        assert (measured.begin_value, measured.end_value, measured.statistics.samples) == (5.0, None, 2)
        assert (measured.statistics.minimum, measured.statistics.maximum) == (5.0, 9.0)


async def test_closing_an_old_run_leaves_the_experiment_as_it_is(database: Path) -> None:
    """A run of another experiment that is closed after a restart does not take the recorder there."""
    async with rig(database) as it:
        old = (await it.store.reserve_run("e0", "", RunClass.Beam, "")).run
        await it.recorder.set_manual("target_gas", "P10")
        await it.recorder.end_run(old)
        it.feed.send(5.0)
        await it.store.flush()
        assert it.recorder.disconnected(["target_gas"]) == ()
        names = (
            "SELECT e.name FROM samples JOIN observables o ON o.id = observable_id "
            "JOIN experiments e ON e.id = o.experiment_id WHERE o.name = 'pressure'"
        )
        assert rows(database, names) == [("e1",)]


async def test_a_value_that_is_there_already_goes_on_in_a_resumed_run(database: Path) -> None:
    """What came between the restart and the decision to go on counts in the run from that decision on."""
    run = await interrupted_run(database, 5.0)
    async with rig(database) as it:
        it.feed.send(7.0)
        await it.recorder.resume_run(run, 0.0)
        statistics = it.statistics("pressure")
        assert (statistics.samples, statistics.maximum) == (2, 7.0)
        await it.store.flush()
        stored = [value for value, _, _ in rows(database, SAMPLES)]
        assert (stored[0], stored[-1]) == (5.0, 7.0)


async def test_samples_stored_before_the_past_is_read_count_once(database: Path) -> None:
    """Samples of this process that are on disk before it reads those of the earlier one are not counted with them."""
    run = await interrupted_run(database, 5.0)
    async with rig(database) as it:
        it.feed.send(7.0)
        survey, load = it.store.survey_samples, it.store.load_samples

        async def survey_late(*key: object) -> SampleSurvey:
            await it.store.flush()
            return await survey(*key)  # type: ignore[arg-type]

        async def load_late(*key: object) -> SamplePage:
            it.feed.send(8.0)
            await it.store.flush()
            return await load(*key)  # type: ignore[arg-type]

        it.store.survey_samples = survey_late  # type: ignore[method-assign]
        it.store.load_samples = load_late  # type: ignore[method-assign]
        await it.recorder.resume_run(run, 0.0)
        await it.store.flush()
        stored = [value for value, _, _ in rows(database, SAMPLES) if value is not None]
        assert it.statistics("pressure").samples == len(stored)
        assert set(stored) == {5.0, 7.0, 8.0}


async def test_the_last_run_is_shown_after_a_restart(database: Path) -> None:
    """The figures of the last run are visible again when the IOC comes back."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        await it.recorder.end_run(run)
    async with rig(database) as it:
        statistics = it.statistics("pressure")
        assert (statistics.samples, statistics.minimum, statistics.maximum) == (1, 5.0, 5.0)


async def test_a_run_is_recorded_from_the_restart_on_if_the_database_is_locked_then(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked when the run is gone on with, the database gets all samples later, and the figures are whole."""
    monkeypatch.setattr("ioc.recorder.saver._SAVE_SECONDS", 0.05)
    run = await interrupted_run(database, 5.0, 9.0)
    async with rig(database, "runs") as it:
        with locked(database):
            with pytest.raises(PeerError):
                await it.recorder.resume_run(run, 0.0)
            it.feed.send(1.0)
            assert it.statistics("pressure").samples == 1
        await eventually(lambda: it.statistics("pressure").samples == 3)
        await it.recorder.end_run(run)
        figures = await measured(it, run)
    assert (figures.begin_value, figures.end_value, figures.statistics.samples) == (5.0, 1.0, 3)
    assert (figures.statistics.minimum, figures.statistics.maximum) == (1.0, 9.0)
    assert [value for value, _, _ in rows(database, SAMPLES) if value is not None] == [5.0, 9.0, 1.0]


async def test_figures_are_not_replaced_by_a_part_of_them(database: Path) -> None:
    """As long as the past of a run cannot be read, the figures that are stored stay as they are."""
    run = await interrupted_run(database, 5.0, 9.0)
    async with rig(database) as it:
        load, broken = it.store.load_samples, [True]

        async def fail(*key: object) -> SamplePage:
            if broken:
                raise PeerError("the disk hangs")
            return await load(*key)  # type: ignore[arg-type]

        it.store.load_samples = fail  # type: ignore[method-assign]
        with pytest.raises(PeerError, match="the disk hangs"):
            await it.recorder.resume_run(run, 0.0)
        it.feed.send(7.0)
        with pytest.raises(PeerError, match="the disk hangs"):
            await it.recorder.end_run(run)
        assert (await measured(it, run)).statistics.samples == 2
        broken.clear()
        await it.recorder.end_run(RunId("e1", 0))
        figures = await measured(it, run)
    assert (figures.statistics.minimum, figures.statistics.maximum, figures.statistics.samples) == (5.0, 9.0, 3)
    assert (figures.begin_value, figures.end_value) == (5.0, 7.0)


async def test_only_what_came_after_the_stored_figures_is_read(database: Path) -> None:
    """A restart in a long run reads no more samples than came since its figures were stored, and counts all."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        for number in range(500):
            it.feed.send(float(number))
        await it.recorder.save()
        it.feed.send(1000.0)
        it.feed.send(2000.0)
        await it.store.flush()
        killed = as_killed(database)
    async with rig(killed) as it:
        load, read = it.store.load_samples, []

        async def count(*key: object) -> SamplePage:
            page = await load(*key)  # type: ignore[arg-type]
            read.extend(page.samples)
            return page

        it.store.load_samples = count  # type: ignore[method-assign]
        await it.recorder.resume_run(run, 0.0)
        assert (it.statistics("pressure").samples, it.statistics("pressure").maximum) == (503, 2000.0)
    assert len([sample for sample in read if sample.observable == "pressure"]) == 3


async def test_figures_of_an_older_program_are_made_from_the_samples(database: Path) -> None:
    """Where nothing says until when the stored figures count, they are computed from all samples of the run."""
    run = await interrupted_run(database, 5.0, 9.0)
    execute(database, "UPDATE measurements SET minimum = -1, mean_seconds = NULL, measured_us = NULL")
    async with rig(database) as it:
        await it.recorder.resume_run(run, 0.0)
        statistics = it.statistics("pressure")
    assert (statistics.samples, statistics.minimum, statistics.maximum) == (2, 5.0, 9.0)


async def test_a_quiet_value_counts_until_the_ioc_died(database: Path) -> None:
    """10 for a minute, 20 for nine until the IOC dies: a run that nobody goes on with has the mean 19."""
    async with rig(database) as it:
        began = time.time() - 1000
        run = await it.run()
        await it.store.flush()
        execute(database, f"UPDATE runs SET reserved_at = '{to_text(began)}'")
        it.store.add_samples("e1", run, [reading(10.0, began), reading(20.0, began + 60)])
    async with rig(database) as it:
        await it.recorder.end_run(run, began + 600)
        figures = await measured(it, run)
        await it.recorder.end_run(run, began + 600)
        again = await measured(it, run)
    assert figures.statistics.mean == pytest.approx(19.0, abs=0.1)
    assert (figures.end_value, figures.statistics.samples) == (20.0, 2)
    assert again.statistics.mean == pytest.approx(figures.statistics.mean)
    assert replace(again, statistics=figures.statistics, mean_seconds=figures.mean_seconds) == figures


async def test_observables_that_came_later_are_not_in_an_old_run(database: Path) -> None:
    """A run that is closed after a restart has the observables that were recorded in it, and no others."""
    run = await interrupted_run(database, 5.0)
    async with rig(database) as it:
        await it.recorder.reload((*ALL, Observable(name="later", pv="L")))
        await it.recorder.end_run(run)
        names = {each.observable for each in await it.store.load_measurements(run)}
    assert names == {each.name for each in ALL}


async def test_the_end_of_a_run_waits_only_so_long_for_its_past(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run ends in time although the samples of its past are still read; its figures follow by themselves."""
    monkeypatch.setattr("ioc.recorder.saver._PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("ioc.recorder.saver._SAVE_SECONDS", 0.05)
    run = await interrupted_run(database, 5.0)
    async with rig(database) as it:
        load, reading, waited = it.store.load_samples, asyncio.Event(), asyncio.Event()

        async def wait(*key: object) -> SamplePage:
            waited.set()
            await reading.wait()
            return await load(*key)  # type: ignore[arg-type]

        it.store.load_samples = wait  # type: ignore[method-assign]
        resuming = asyncio.create_task(it.recorder.resume_run(run, 0.0))
        await eventually(waited.is_set)
        it.feed.send(7.0)
        with pytest.raises(PeerError, match="statistics follow when the samples of an earlier process have been read"):
            await it.recorder.end_run(run)
        told: list[RunId] = []
        it.recorder.when_stored_late(told.append)
        reading.set()
        await resuming
        await eventually(lambda: told == [run])
        figures = await measured(it, run)
    assert (figures.begin_value, figures.end_value, figures.statistics.samples) == (5.0, 7.0, 2)


async def test_an_end_that_could_not_be_stored_is_stored_when_the_ioc_ends(database: Path) -> None:
    """Locked at the end of a run, the database gets its figures when the IOC is stopped soon after."""
    async with rig(database) as it:
        it.feed.send(5.0)
        run = await it.run()
        await it.recorder.begin_run(run)
        it.feed.send(2.0)
        with locked(database), pytest.raises(PeerError):
            await it.recorder.end_run(run)
    async with rig(database) as it:
        figures = await measured(it, run)
    assert (figures.end_value, figures.statistics.samples, figures.statistics.minimum) == (2.0, 2, 2.0)


async def test_a_number_beyond_all_integers_does_not_stop_the_statistics(database: Path) -> None:
    """What an instrument sends for 'no reading', 9.91e37, is stored, and so are the runs after it."""
    async with rig(database) as it:
        for value in (9.91e37, 2**70, 3.0):
            it.feed.send(value)
            run = await it.run()
            await it.recorder.begin_run(run)
            await it.recorder.end_run(run)
            figures = await measured(it, run)
            assert (figures.begin_value, figures.end_value) == (float(value), float(value))
            assert figures.statistics.worst_severity is Severity.NO_ALARM


async def test_samples_after_the_last_sign_of_life_count(database: Path) -> None:
    """The IOC tells every few seconds that it lives: a run that it left behind ends with the last sample, if later."""
    async with rig(database) as it:
        began = time.time() - 100
        run = await it.run()
        execute(database, f"UPDATE runs SET reserved_at = '{to_text(began)}'")
        it.store.add_samples("e1", run, [reading(10.0, began), reading(20.0, began + 54), reading(None, began + 58)])
    async with rig(database) as it:
        await it.recorder.end_run(run, began + 50)
        figures = await measured(it, run)
    assert figures.statistics.mean == pytest.approx((54 * 10 + 4 * 20) / 58)


async def test_a_begin_that_was_not_stored_is_that_of_the_first_sample(database: Path) -> None:
    """Killed before its figures were stored, an observable that was added in the run goes on from its first sample."""
    async with rig(database) as it:
        began = time.time() - 100
        run = await it.run()
        execute(database, f"UPDATE runs SET reserved_at = '{to_text(began)}'")
        it.store.add_samples("e1", run, [reading(10.0, began + 40), reading(20.0, began + 50)])
    async with rig(database) as it:
        await it.recorder.resume_run(run, began + 60)
        it.feed.send(5.0)
        await it.recorder.end_run(run)
        figures = await measured(it, run)
    assert (figures.begin_value, figures.end_value, figures.statistics.samples) == (10.0, 5.0, 3)
    assert figures.statistics.disconnected_seconds == pytest.approx(40, abs=1)
