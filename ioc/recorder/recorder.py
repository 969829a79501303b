"""Follows the observables and writes runs and samples into the run database."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Sequence
from typing import Literal

from ioc.errors import PeerError, Refused
from ioc.model import ObservableView, Reading, RunId, Scalar, Severity
from ioc.observables import Properties
from ioc.recorder.clock import Clock
from ioc.recorder.manual import parse_manual
from ioc.recorder.needs import Feed, RecorderStore
from ioc.recorder.past import Past
from ioc.recorder.teller import ChangeListener, Teller
from ioc.recorder.track import Track, recorded_value
from ioc.rundb import Measurement
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 10.0


class ObservableRecorder:
    """`ioc.ports.RunRecorder`, and the observables as the PVs show them.

    Owns the feed and one task, which stores the statistics of the open run every ten seconds. Statistics that the
    database did not take at the end of a run are kept and stored by that task when it works again.
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
        """`record`: whether samples between runs are kept too."""
        self._clock = Clock()
        self._store = store
        self._feed = feed
        self._experiment = experiment
        self._record = record
        self._tracks: dict[str, Track] = {each.name: Track(each) for each in observables}
        self._run: RunId | None = None
        self._rebuilding = asyncio.Lock()
        """Held while the statistics are not those of the whole run."""
        self._unsaved: dict[RunId, list[Measurement]] = {}
        self._teller: Teller | None = None
        self._saver: asyncio.Task[None] | None = None

    async def start(self, listener: ChangeListener) -> None:
        """Define the observables in the database, load manual values and the last run's statistics, and follow.

        Raises:
            PeerError: the database does not work.
        """
        self._teller = Teller(listener)
        await self._enter_experiment(self._experiment)
        await self._feed.start(self._observables(), self._take, self._take_properties)
        self._saver = asyncio.create_task(self._save_now_and_then(), name="recorder")

    async def close(self) -> None:
        """Stop following; each observable that was connected gets a gap from now on."""
        await self._feed.close()
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
        if self._teller is not None:
            self._teller.close()
        now = self._now()
        self._record_samples([gap for track in self._tracks.values() if track.connected for gap in track.add_gap(now)])
        try:
            await self._save_open_run()
        except PeerError as error:
            _log.error("%s: the statistics of the open run are those of a few seconds ago", error)

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

    async def set_manual(self, name: str, value: Scalar) -> None:
        """Set a manual observable; on disk when it returns.

        Raises:
            Refused: there is no such manual observable, or the value does not fit its type.
            PeerError: the database did not take it; nothing has changed.
        """
        track = self._tracks.get(name)
        if track is None:
            raise Refused(f"observable {name} does not exist: it must be one of {', '.join(self._tracks) or 'none'}")
        parsed = parse_manual(track.observable, value)
        await self._store.save_setting(_setting(self._experiment, name), str(parsed))
        self._take([Reading(name, parsed, Severity.NO_ALARM, "NO_ALARM", self._now())])

    async def copy_manual_from(self, run: RunId) -> None:
        """Set the manual observables as they were at the end of a run (at its begin if it has no end)."""
        for each in await self._store.load_measurements(run):
            track = self._tracks.get(each.observable)
            value = each.begin_value if each.end_value is None else each.end_value
            if track is not None and track.observable.pv is None and value is not None:
                await self.set_manual(each.observable, value)

    async def change_experiment(self, experiment: str) -> None:
        """File what follows under another experiment, which gets the same observables with its own manual values."""
        if experiment != self._experiment:
            await self._enter_experiment(experiment)

    async def reload(self, observables: Sequence[Observable]) -> None:
        """Take other observables; those that have not changed go on without interruption, also in an open run."""
        await self._store.define_observables(self._experiment, observables)
        await self._save_open_run()
        before = self._tracks
        self._tracks = {}
        for each in observables:
            old = before.get(each.name)
            same = old is not None and (old.observable.pv, old.observable.type) == (each.pv, each.type)
            track = old if old is not None and same else Track(each)
            track.observable = each
            if not same and self._run is not None:
                self._record_samples(track.begin(self._now()))
            self._tracks[each.name] = track
        gone = [track for name, track in before.items() if self._tracks.get(name) is not track and track.connected]
        now = self._now()
        self._record_samples([gap for track in gone for gap in track.add_gap(now)])
        await self._load_manual()
        await self._feed.update(observables)
        self._tell(self._tracks)

    async def begin_run(self, run: RunId) -> None:
        await self.change_experiment(run.experiment)
        now = self._now()
        self._run = run
        self._record_samples([sample for track in self._tracks.values() for sample in track.begin(now)])
        self._tell(self._tracks)
        await self._save_open_run()

    async def end_run(self, run: RunId) -> None:
        async with self._rebuilding:
            experiment = self._experiment
            if self._run != run:
                # Nobody went on with it: it ended when the process that recorded it did.
                ended_at = await self._restore(run)
                ends: dict[str, Scalar | None] = dict.fromkeys(self._tracks)
            else:
                ended_at = self._now()
                ends = {name: recorded_value(track.reading) for name, track in self._tracks.items()}
            rows = [track.measurement(ended_at, ends[name]) for name, track in self._tracks.items()]
            for track in self._tracks.values():
                track.finish(ended_at)
            self._run = None
            self._unsaved[run] = rows
        self._tell(self._tracks)
        await self._save_finished()
        await self.change_experiment(experiment)

    async def resume_run(self, run: RunId, last_alive: float) -> None:
        async with self._rebuilding:
            await self.change_experiment(run.experiment)
            past = await Past.look_back(self._store, run, max(last_alive, self._now()))
            gap_at, now = max(past.last_at, last_alive), self._now()
            self._run = run
            resumed = [track.resume(gap_at, now, past.begins.get(name)) for name, track in self._tracks.items()]
            self._record_samples(itertools.chain.from_iterable(resumed))
            self._tell(self._tracks)
            for name, track in tuple(self._tracks.items()):
                track.prepend(await past.statistics(name), gap_at, now)
        self._tell(self._tracks)
        await self._save_open_run()

    async def _restore(self, run: RunId) -> float:
        """Take the statistics of a run from its samples; returns when the last of them was taken."""
        await self.change_experiment(run.experiment)
        past = await Past.look_back(self._store, run, self._now())
        statistics = {name: await past.statistics(name) for name in self.names}
        for name in statistics.keys() & self._tracks.keys():
            self._tracks[name].restore(statistics[name], past.begins.get(name))
        return past.last_at

    async def _enter_experiment(self, experiment: str) -> None:
        await self._store.define_observables(experiment, self._observables())
        self._experiment = experiment
        await self._load_manual()
        last = await self._store.last_run(experiment)
        measurements = () if last is None else await self._store.load_measurements(last.run)
        shown = {each.observable: each for each in measurements}
        for name, track in self._tracks.items():
            track.show(shown.get(name))
        self._tell(self._tracks)

    async def _load_manual(self) -> None:
        before = {name: track.reading for name, track in self._tracks.items()}
        settings = await self._store.load_saved_settings()
        for name, track in self._tracks.items():
            if track.observable.pv is not None or track.reading is not before.get(name):  # set meanwhile
                continue
            track.reading = None
            saved = settings.get(_setting(self._experiment, name))
            if saved is None:
                continue
            try:
                value = parse_manual(track.observable, saved.value)
            except Refused:
                _log.warning(
                    "observable %s: its stored value %r is no longer allowed and was dropped", name, saved.value
                )
            else:
                track.reading = Reading(name, value, Severity.NO_ALARM, "NO_ALARM", saved.saved_at)

    def _now(self) -> float:
        """The time; if the clock was set since the last call, all that is going on has gone on by the new one."""
        now, step = self._clock.now()
        if step:
            _log.warning("the clock of this machine was set by %+.1f s: statistics go by the time that passed", step)
            for track in self._tracks.values():
                track.shift(step)
        return now

    def _observables(self) -> list[Observable]:
        return [track.observable for track in self._tracks.values()]

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
        if self._run is not None or self._record == "always":
            self._store.add_samples(self._experiment, self._run, samples)

    def _tell(self, names: Iterable[str]) -> None:
        if self._teller is not None:
            self._teller.tell(names)

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            try:
                await self._save_finished()
                await self._save_open_run()
            except PeerError as error:
                _log.debug("statistics are stored later: %s", error)

    async def _save_open_run(self) -> None:
        if self._run is not None and not self._rebuilding.locked():
            now = self._now()
            await self._store.save_measurements(
                self._run, [track.measurement(now, None) for track in self._tracks.values()]
            )

    async def _save_finished(self) -> None:
        for run in tuple(self._unsaved):
            await self._store.save_measurements(run, self._unsaved[run])
            self._unsaved.pop(run, None)


def _setting(experiment: str, name: str) -> str:
    """Name of the setting that keeps a manual value."""
    return f"observable/{experiment}/{name}"
