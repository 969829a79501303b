"""Follows the observables and writes runs and samples into the run database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from ioc.errors import PeerError, Refused
from ioc.model import ObservableView, Reading, RunId, Scalar, Severity
from ioc.observables import Properties
from ioc.recorder.bookkeeper import Bookkeeper
from ioc.recorder.clock import Clock
from ioc.recorder.manual import parse_manual
from ioc.recorder.needs import Feed, RecorderStore
from ioc.recorder.run_figures import RunFigures
from ioc.recorder.teller import ChangeListener, Teller
from ioc.recorder.track import Track
from ioc.rundb import SavedSetting
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0


class ObservableRecorder:
    """`ioc.ports.RunRecorder`, and the observables as the PVs show them.

    Owns the feed and the bookkeeper.
    """

    def __init__(
        self,
        store: RecorderStore,
        feed: Feed,
        *,
        experiment: str,
        observables: Sequence[Observable],
        record: Literal["always", "runs"],
    ) -> None:
        """`commands` go before news of observables; `record`: whether samples between runs are kept too."""
        self._clock = Clock()
        self._store = store
        self._feed = feed
        self._experiment = experiment
        self._observables = tuple(observables)
        self._record = record
        self._tracks: dict[str, Track] = {}
        self._changing = asyncio.Lock()
        """Held by who changes experiment, observables or manual values."""
        self._books = Bookkeeper(store, self._now, self._show_ended)
        self._teller: Teller | None = None
        self._started = asyncio.Event()
        """What belongs to a run waits for it: the experiment and its observables are known then."""

    def when_made_up(self, listener: Callable[[RunId], None]) -> None:
        """Tell `listener` when the figures of a run are stored, after `begin_run` or `end_run` had failed to."""
        self._books.made_up = listener

    async def start(self, listener: ChangeListener, experiment: str | None = None) -> None:
        """Define the observables in the database, load manual values and the last run's statistics, and follow.

        `experiment` is another one than the topology's, if the operator has chosen it.

        Raises:
            PeerError: the database does not work; this can be called again.
        """
        self._teller = Teller(listener)
        async with self._changing:
            await self._enter_experiment(experiment or self._experiment)
        await self._feed.start(self._observables, self._take, self._take_properties)
        self._books.start()
        self._started.set()

    async def close(self) -> None:
        """Stop following; each observable that was connected gets a gap from now on."""
        await self._feed.close()
        await self._books.close()
        if self._teller is not None:
            self._teller.close()
        now = self._now()
        self._record_samples([gap for track in self._tracks.values() for gap in track.leave(now)])
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._books.save_in_time()
        except TimeoutError:
            _log.error("the run database is slow: the statistics of the last run are those of a few seconds ago")
        except PeerError as error:
            _log.error("%s: the statistics of the last run are those of a few seconds ago", error)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all observables, in display order."""
        return tuple(self._tracks)

    def values(self, names: Iterable[str]) -> list[ObservableView]:
        """Those of `names` that exist as they are now, without statistics."""
        return [self._tracks[name].view() for name in names if name in self._tracks]

    def views(self, names: Iterable[str]) -> list[ObservableView]:
        """Those of `names` that exist as they are now, with statistics."""
        now = self._now()
        tracks = [self._tracks[name] for name in names if name in self._tracks]
        return [track.view(track.statistics(now)) for track in tracks]

    def disconnected(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that have no value now: source gone, manual value never set, or no such observable."""
        return tuple(name for name in names if name not in self._tracks or not self._tracks[name].connected)

    async def set_manual(self, name: str, value: Scalar) -> Scalar | None:
        """Set a manual observable. Returns the value before, None if there was none.

        It is on disk when this returns, unless the database cannot be written: then it is stored as soon as it can.

        Raises:
            Refused: there is no such manual observable, or the value does not fit its type.
        """
        self._check_started()
        async with self._changing:
            track = self._tracks.get(name)
            if track is None:
                raise Refused(
                    f"observable {name} does not exist: it must be one of {', '.join(self._tracks) or 'none'}"
                )
            before = track.reading
            await self._set({name: parse_manual(track.observable, value)})
            return None if before is None else before.value

    async def copy_manual_from(self, run: RunId) -> None:
        """Set the manual observables as they were at the end of a run (at its begin if it has no end).

        That of an observable that has another type or unit since is left out.
        """
        self._check_started()
        async with self._changing:
            values: dict[str, Scalar] = {}
            for each in await self._store.load_measurements(run):
                track = self._tracks.get(each.observable)
                value = each.begin_value if each.end_value is None else each.end_value
                if track is None or not track.manual or value is None:
                    continue
                if each.observable_id == track.observable_id:
                    values[each.observable] = parse_manual(track.observable, value)
                else:
                    _log.warning(
                        "observable %s is not copied from run %d: its type or units have changed since",
                        each.observable,
                        run.number,
                    )
            await self._set(values)

    async def change_experiment(self, experiment: str) -> None:
        """File what follows under another experiment, which gets the same observables with its own manual values."""
        await self._started.wait()
        async with self._changing:
            if experiment != self._experiment:
                await self._enter_experiment(experiment)

    async def reload(self, observables: Sequence[Observable]) -> None:
        """Take other observables; those that have not changed go on without interruption, also in an open run.

        Raises:
            PeerError: the database did not take them; those before are followed again.
            Refused: the database has not been read yet.
        """
        self._check_started()
        async with self._changing:
            same = {each.name for each in observables if self._goes_on(each)}
            await self._feed.update([each for each in self._observables if each.name in same])
            now = self._now()
            left = [track for name, track in self._tracks.items() if name not in same]
            self._record_samples([gap for track in left for gap in track.leave(now)])
            try:
                settings = await self._saved_settings()
                ids = await self._store.define_observables(self._experiment, observables)
            except PeerError:
                await self._feed.update(self._observables)
                self._join(left)
                raise
            self._follow(observables, ids, settings)
            await self._feed.update(observables)
        self._tell(self._tracks)

    async def begin_run(self, run: RunId) -> None:
        figures = RunFigures(run)
        await self._open(figures)
        await self._books.begin(figures)

    async def end_run(self, run: RunId, ended_at: float | None = None) -> None:
        await self._started.wait()
        async with self._changing:  # so that it never overtakes the begin
            self._end(run, ended_at)
        await self._books.save_in_time()

    async def resume_run(self, run: RunId, last_alive: float) -> None:
        await self._open(RunFigures.resumed(run, last_alive, self._now()))
        await self._books.save()

    async def _open(self, figures: RunFigures) -> None:
        await self._started.wait()
        async with self._changing:
            if figures.run.experiment != self._experiment:
                await self._enter_experiment(figures.run.experiment)
            self._books.open = figures
            self._join(self._tracks.values())
        self._tell(self._tracks)

    def _end(self, run: RunId, ended_at: float | None) -> None:
        figures, now = self._books.open, self._now()
        if figures is None or figures.run != run:
            # Nobody went on with it: it ended when the process that recorded it did.
            figures = RunFigures.left_behind(run, now if ended_at is None else ended_at, now)
        else:
            figures.ended_at = now
            for track in self._tracks.values():
                track.finish(figures.statistics(track.observable_id))
        self._books.end(figures)
        self._tell(self._tracks)

    def _goes_on(self, observable: Observable) -> bool:
        """Whether there is this observable already: what may have changed are words, order, dead band and rate."""
        track = self._tracks.get(observable.name)
        present = None if track is None else track.observable
        return present is not None and all(
            getattr(present, key) == getattr(observable, key) for key in ("pv", "type", "units")
        )

    def _join(self, tracks: Iterable[Track]) -> None:
        """Let these take part in the open run, if there is one."""
        if self._books.open is not None:
            figures, now = self._books.open, self._now()
            self._record_samples([sample for track in tracks for sample in track.join(figures, now)])

    async def _enter_experiment(self, experiment: str) -> None:
        ids = await self._store.define_observables(experiment, self._observables)
        settings = await self._saved_settings()
        last = await self._store.last_run(experiment)
        measurements = () if last is None else await self._store.load_measurements(last.run)
        self._experiment = experiment
        self._follow(self._observables, ids, settings)
        measured = {each.observable_id: each.statistics for each in measurements}
        for track in self._tracks.values():
            track.finish(measured.get(track.observable_id))
        self._tell(self._tracks)

    def _follow(
        self, observables: Sequence[Observable], ids: Mapping[str, int], settings: Mapping[str, SavedSetting]
    ) -> None:
        """Have tracks of these, of which some go on; manual ones have the values of the experiment."""
        going_on = {each.name: self._tracks[each.name] for each in observables if self._goes_on(each)}
        self._observables = tuple(observables)
        self._tracks = {
            each.name: going_on[each.name] if each.name in going_on else Track(each, ids[each.name])
            for each in observables
        }
        for each in observables:
            track = self._tracks[each.name]
            track.follow(each)
            track.observable_id = ids[each.name]
            if track.manual:
                track.reading = self._saved_reading(track, settings.get(_setting(self._experiment, each.name)))
        self._join([track for name, track in self._tracks.items() if name not in going_on])

    async def _saved_settings(self) -> Mapping[str, SavedSetting]:
        return {**await self._store.load_saved_settings(), **self._books.unsaved}

    def _check_started(self) -> None:
        if not self._started.is_set():
            raise Refused("observables cannot be set: the run database has not been read yet")

    def _saved_reading(self, track: Track, saved: SavedSetting | None) -> Reading | None:
        if saved is None:
            return None
        name = track.observable.name
        try:
            value = parse_manual(track.observable, saved.value)
        except Refused:
            _log.warning("observable %s: its stored value %r is no longer allowed and was dropped", name, saved.value)
            return None
        return Reading(name, value, Severity.NO_ALARM, "NO_ALARM", saved.saved_at)

    async def _set(self, values: Mapping[str, Scalar]) -> None:
        await self._books.save_settings(
            {_setting(self._experiment, name): str(value) for name, value in values.items()}
        )
        now = self._now()
        self._take([Reading(name, value, Severity.NO_ALARM, "NO_ALARM", now) for name, value in values.items()])

    def _now(self) -> float:
        """The time; if the clock was set since the last call, all that is going on has gone on by the new one."""
        now, step = self._clock.now()
        if step:
            _log.warning("the clock of this machine was set by %+.1f s: statistics go by the time that passed", step)
            if self._books.open is not None:
                self._books.open.shift(step)
        return now

    def _take(self, readings: Sequence[Reading]) -> None:
        now = self._now()
        tracks = self._tracks
        samples = [tracks[each.observable].take(each, now) for each in readings if each.observable in tracks]
        self._record_samples(samples)
        self._tell({sample.observable for sample in samples})

    def _take_properties(self, name: str, properties: Properties) -> None:
        track = self._tracks.get(name)
        if track is not None:
            declared = track.observable.units
            if declared and properties.units and properties.units not in {declared, track.units}:
                _log.warning(
                    "observable %s: its source %s has units %s, but the topology says %s, which is what is shown",
                    name,
                    track.observable.pv,
                    properties.units,
                    declared,
                )
            track.units, track.precision, track.labels = properties.units, properties.precision, properties.labels
            self._tell((name,))

    def _record_samples(self, samples: Iterable[Reading]) -> None:
        run = None if self._books.open is None else self._books.open.run
        if run is not None or self._record == "always":
            self._store.add_samples(self._experiment, run, samples)

    def _tell(self, names: Iterable[str]) -> None:
        if self._teller is not None:
            self._teller.tell(names)

    def _show_ended(self, figures: RunFigures) -> None:
        """Show what is now known of a run that has ended, if none has begun since."""
        if figures.ended_at is not None and self._books.open is None and figures.run.experiment == self._experiment:
            for track in self._tracks.values():
                track.finish(figures.statistics(track.observable_id))
            self._tell(self._tracks)


def _setting(experiment: str, name: str) -> str:
    """Name of the setting that keeps a manual value."""
    return f"observable/{experiment}/{name}"
