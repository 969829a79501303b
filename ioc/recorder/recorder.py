"""Follows the observables and records runs and samples in the run database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from ioc.errors import PeerError, Refused
from ioc.model import ObservableView, Reading, RunId, Scalar, Severity
from ioc.observables import ObservableFeed, Properties
from ioc.recorder.observable_state import ObservableState
from ioc.recorder.recorded_run import EarlierPart, RecordedRun, survey
from ioc.recorder.saver import Saver
from ioc.recorder.statistics import RunStatistics
from ioc.rundb import Measurement, SavedSetting, SqliteRunStore
from ioc.topology.manual_value import parse_manual
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0
_SHOW_SECONDS = 0.1
_SURVEY_SECONDS = 0.5
"""How long a run that continues waits for a slow disk before its samples are recorded."""
_STEP_SECONDS = 1.0
"""Smaller steps of the clock are corrections by NTP: it was not set."""
_SLICE = 25
"""Changed observables shown in one turn of the event loop, so that commands do not wait for all of them."""

ChangeListener = Callable[[frozenset[str]], None]
"""Takes the names of observables that changed; called on the event loop, at most ten times a second for each."""


class Clock:
    """This machine's wall clock, which may be set at any time."""

    def __init__(self) -> None:
        self._boot = time.time() - time.monotonic()

    def now(self) -> tuple[float, float]:
        """The time in POSIX seconds, and by how much it was set forward (negative: back) since the last call."""
        now = time.time()
        before, self._boot = self._boot, now - time.monotonic()
        step = self._boot - before
        return now, step if abs(step) > _STEP_SECONDS else 0.0


class ObservableRecorder:
    """`ioc.ports.RunRecorder`, and the observables as the PVs show them.

    Owns the feed and the saver. The methods belong to the event loop; the feed delivers in its own thread.
    """

    def __init__(
        self,
        store: SqliteRunStore,
        feed: ObservableFeed,
        *,
        experiment: str,
        observables: Sequence[Observable],
        record: Literal["always", "runs"],
        unrecorded: Sequence[Observable] = (),
        clock: Clock | None = None,
    ) -> None:
        """`record`: whether samples between runs are kept too. `unrecorded` are only followed (`readings`)."""
        self._clock = clock or Clock()
        self._store = store
        self._feed = feed
        self._experiment = experiment
        self._observables = tuple(observables)
        self._record = record
        self._unrecorded = tuple(unrecorded)
        self._others: dict[str, Reading] = {}
        """Latest readings of the unrecorded ones."""
        self._lock = threading.RLock()
        """Guards everything that a reading changes: states, the open run's statistics, and the set of changes."""
        self._states = {each.name: ObservableState(each) for each in observables}
        self._settings: dict[str, SavedSetting] = {}
        """Manual values of all experiments (and what else is saved), as they are or will be in the database."""
        self._run: RecordedRun | None = None
        """The open run."""
        self._changed: set[str] = set()
        self._changing = asyncio.Lock()
        """Held during changes of experiment, observables or manual values."""
        self._saver = Saver(store, self._measure, self._complete)
        self._shower: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        """Set when the experiment and its observables are known; operations of a run wait for it."""
        self._recording = False
        """Samples are recorded: what they belong to is known."""

    def when_stored_late(self, listener: Callable[[RunId], None]) -> None:
        """Call `listener` when the statistics of a run are stored after `begin_run` or `end_run` had failed."""
        self._saver.stored_late = listener

    async def follow(self, listener: ChangeListener) -> None:
        """Start the feed: values are known and shown from now on, also while the database cannot be read."""
        self._shower = asyncio.create_task(self._show_changes(listener), name="observables shown")
        await self._feed.start((*self._observables, *self._unrecorded), self._take, self._take_properties)

    async def start(self, experiment: str | None = None) -> None:
        """Begin to record what is followed: define it in the database, load manual values and the last statistics.

        `experiment` differs from the topology's if the operator has chosen another. The present values are recorded;
        earlier ones since `follow` are not.

        Raises:
            PeerError: the database does not work; this can be called again.
        """
        async with self._changing:
            self._settings = dict(await self._store.load_saved_settings())
            await self._enter_experiment(experiment or self._experiment)
        with self._lock:
            self._recording = True
            present = [state.reading for state in self._states.values() if not state.manual]
            self._record_samples([reading for reading in present if reading is not None])
        self._saver.start()
        self._started.set()

    async def close(self) -> None:
        """Stop the feed; for each connected observable a gap begins now."""
        await self._feed.close()
        await self._saver.close()
        if self._shower is not None:
            self._shower.cancel()
            await asyncio.gather(self._shower, return_exceptions=True)
        with self._lock:
            now = self._now()
            self._record_samples([gap for state in self._states.values() for gap in state.leave(now)])
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._saver.save_in_time()
        except (PeerError, TimeoutError) as error:
            reason = str(error) or "the run database is slow"
            _log.error("%s: the statistics of the last run are those of a few seconds ago", reason)

    async def save(self) -> None:
        """Store the statistics of the open run and everything else that is not stored yet.

        Raises:
            PeerError: the database does not work; everything not stored is kept.
        """
        await self._saver.save()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all observables, in display order."""
        return tuple(self._states)

    def values(self, names: Iterable[str]) -> list[ObservableView]:
        """Current views, without statistics, of those of `names` that exist."""
        states = self._states  # no lock: a reading is replaced as a whole
        return [states[name].view() for name in names if name in states]

    def views(self, names: Iterable[str]) -> list[ObservableView]:
        """Current views, with statistics, of those of `names` that exist."""
        with self._lock:
            now = self._now()
            return [self._states[name].view(now) for name in names if name in self._states]

    def readings(self, names: Iterable[str]) -> list[Reading]:
        """Latest readings of those of `names` that have had one, also unrecorded ones."""
        states = self._states
        found = [states[name].reading if name in states else self._others.get(name) for name in names]
        return [reading for reading in found if reading is not None]

    def disconnected(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that have no value now: source gone, manual value never set, or no such observable."""
        states = self._states
        return tuple(name for name in names if name not in states or not states[name].connected)

    async def set_manual(self, name: str, value: Scalar) -> tuple[Scalar | None, Scalar]:
        """Set a manual observable. Returns the value before, None if there was none, and the new one in its type.

        It is on disk when this returns, unless the database cannot be written: then it is stored as soon as possible.

        Raises:
            Refused: there is no such manual observable, or the value does not fit its type.
        """
        self._check_started()
        async with self._changing:
            state = self._states.get(name)
            if state is None:
                raise Refused(
                    f"observable {name} does not exist: it must be one of {', '.join(self._states) or 'none'}"
                )
            before = state.reading
            parsed = parse_manual(state.observable, value)
            await self._set({name: parsed})
            return None if before is None else before.value, parsed

    async def copy_manual_from(self, run: RunId) -> None:
        """Set the manual observables to their values at the end of a run (at its begin if it has no end).

        Those whose type or unit has changed since are left out.
        """
        self._check_started()
        async with self._changing:
            values: dict[str, Scalar] = {}
            for each in await self._store.load_measurements(run):
                state = self._states.get(each.observable)
                value = each.begin_value if each.end_value is None else each.end_value
                if state is None or not state.manual or value is None:
                    continue
                if each.observable_id == state.observable_id:
                    values[each.observable] = parse_manual(state.observable, value)
                else:
                    _log.warning(
                        "observable %s is not copied from run %d: its type or units have changed since",
                        each.observable,
                        run.number,
                    )
            await self._set(values)

    async def change_experiment(self, experiment: str) -> None:
        """Record under another experiment from now on; it gets the same observables with its own manual values."""
        await self._started.wait()
        async with self._changing:
            if experiment != self._experiment:
                await self._enter_experiment(experiment)

    async def reload(self, observables: Sequence[Observable], unrecorded: Sequence[Observable] = ()) -> None:
        """Change the observables; unchanged ones continue without interruption, also in an open run.

        Raises:
            PeerError: the database did not accept them; the previous ones stay.
            Refused: the database has not been read yet.
        """
        self._check_started()
        async with self._changing:
            same = {each.name for each in observables if self._is_followed(each)}
            others = [each for each in unrecorded if each in self._unrecorded]
            await self._feed.update([*(each for each in self._observables if each.name in same), *others])
            with self._lock:
                now = self._now()
                left = [state for name, state in self._states.items() if name not in same]
                self._record_samples([gap for state in left for gap in state.leave(now)])
                self._others = {each.name: self._others[each.name] for each in others if each.name in self._others}
            try:
                ids = await self._store.define_observables(self._experiment, observables)
            except PeerError:
                await self._feed.update((*self._observables, *self._unrecorded))
                self._join(left)
                raise
            self._follow(observables, ids)
            self._unrecorded = tuple(unrecorded)
            await self._feed.update((*observables, *unrecorded))

    async def begin_run(self, run: RunId) -> None:
        recorded = RecordedRun(run)
        await self._open(recorded)
        await self._saver.begin(recorded)

    async def end_run(self, run: RunId, ended_at: float | None = None) -> None:
        await self._started.wait()
        async with self._changing:  # so that the end never overtakes the begin
            self._end(run, ended_at)
        await self._saver.save_in_time()

    async def resume_run(self, run: RunId, last_alive: float) -> None:
        await self._open(RecordedRun(run, EarlierPart(last_alive, asked_at=self._now())))
        await self._saver.save()

    async def _open(self, run: RecordedRun) -> None:
        await self._started.wait()
        async with self._changing:
            if run.run.experiment != self._experiment:
                await self._enter_experiment(run.run.experiment)
            if run.earlier is not None:
                with contextlib.suppress(PeerError, TimeoutError):
                    async with asyncio.timeout(_SURVEY_SECONDS):
                        await survey(self._store, run.run, run.earlier)
            with self._lock:
                if run.earlier is not None:
                    run.earlier.resumed_at = self._now()
                self._run = run
                self._join(self._states.values())
            self._saver.add(run)

    def _end(self, run: RunId, ended_at: float | None) -> None:
        with self._lock:
            recorded, now = self._run, self._now()
            if recorded is not None and recorded.run == run:
                self._run, recorded.ended_at = None, now
                self._show_finished(recorded)
                return
        # No process continued it: it ended with the process that recorded it.
        ended_at = now if ended_at is None else ended_at
        self._saver.add(RecordedRun(run, EarlierPart(ended_at, asked_at=now), ended_at))

    def _is_followed(self, observable: Observable) -> bool:
        """Whether this observable exists already; texts, order, dead band and rate may differ."""
        state = self._states.get(observable.name)
        present = None if state is None else state.observable
        return present is not None and all(
            getattr(present, key) == getattr(observable, key) for key in ("pv", "type", "units")
        )

    def _join(self, states: Iterable[ObservableState]) -> None:
        """Let these take part in the open run, if there is one."""
        with self._lock:
            if self._run is not None:
                run, now = self._run, self._now()
                self._record_samples([sample for state in states for sample in state.join(run, now)])
            self._changed.update(self._states)

    async def _enter_experiment(self, experiment: str) -> None:
        ids = await self._store.define_observables(experiment, self._observables)
        last = await self._store.last_run(experiment)
        measurements = () if last is None else await self._store.load_measurements(last.run)
        measured = {each.observable_id: each.statistics for each in measurements}
        with self._lock:
            self._experiment = experiment
            self._follow(self._observables, ids)
            for state in self._states.values():
                state.finish(measured.get(state.observable_id))

    def _follow(self, observables: Sequence[Observable], ids: Mapping[str, int]) -> None:
        """Create the states of these observables; some continue, and manual ones get the values of the experiment."""
        with self._lock:
            before, states = self._states, dict[str, ObservableState]()
            for each in observables:
                state = before[each.name] if self._is_followed(each) else ObservableState(each, ids[each.name])
                state.describe(each)
                state.observable_id = ids[each.name]
                if state.manual:
                    state.reading = self._saved_reading(each)
                states[each.name] = state
            self._observables, self._states = tuple(observables), states
            self._join([state for name, state in states.items() if before.get(name) is not state])

    def _check_started(self) -> None:
        if not self._started.is_set():
            raise Refused("observables cannot be set: the run database has not been read yet")

    def _saved_reading(self, observable: Observable) -> Reading | None:
        name = observable.name
        saved = self._settings.get(_setting(self._experiment, name))
        if saved is None:
            return None
        try:
            value = parse_manual(observable, saved.value)
        except Refused:
            _log.warning("observable %s: the stored value %r is no longer allowed and was dropped", name, saved.value)
            return None
        return Reading(name, value, Severity.NO_ALARM, "NO_ALARM", saved.saved_at)

    async def _set(self, values: Mapping[str, Scalar]) -> None:
        now = self._now()
        settings = {_setting(self._experiment, name): str(value) for name, value in values.items()}
        self._settings.update({name: SavedSetting(value, now) for name, value in settings.items()})
        await self._saver.save_settings(settings)
        self._take([Reading(name, value, Severity.NO_ALARM, "NO_ALARM", now) for name, value in values.items()])

    def _now(self) -> float:
        """The time; adjusts the open run if the clock was set since the last call."""
        with self._lock:
            now, step = self._clock.now()
            if step:
                _log.warning("the clock of this machine was set by %+.1f s: statistics use the elapsed time", step)
                if self._run is not None:
                    self._run.shift(step)
            return now

    def _take(self, readings: Sequence[Reading]) -> None:
        with self._lock:
            now, states = self._now(), self._states
            self._record_samples(
                [states[each.observable].take(each, now) for each in readings if each.observable in states]
            )
            self._others.update({each.observable: each for each in readings if each.observable not in states})
            self._changed.update([each.observable for each in readings])

    def _take_properties(self, name: str, properties: Properties) -> None:
        with self._lock:
            state = self._states.get(name)
            if state is None:
                return
            declared, before = state.observable.units, state.properties
            state.properties = properties
            self._changed.add(name)
        if declared and properties.units not in {"", declared, before.units if before else ""}:
            _log.warning(
                "observable %s: its source %s has units %s, but the topology has %s, which are shown",
                name,
                state.observable.pv,
                properties.units,
                declared,
            )

    def _record_samples(self, samples: Iterable[Reading]) -> None:
        run = None if self._run is None else self._run.run
        if self._recording and (run is not None or self._record == "always"):
            self._store.add_samples(self._experiment, run, samples)

    async def _show_changes(self, listener: ChangeListener) -> None:
        while True:
            await asyncio.sleep(_SHOW_SECONDS)
            with self._lock:
                changed, self._changed = list(self._changed), set()
            for start in range(0, len(changed), _SLICE):
                try:
                    listener(frozenset(changed[start : start + _SLICE]))
                except Exception:
                    _log.exception("observables cannot be shown")
                await asyncio.sleep(0)

    def _measure(self, run: RecordedRun) -> list[Measurement]:
        with self._lock:
            return run.measurements(self._now())

    def _complete(self, run: RecordedRun, earlier: Sequence[RunStatistics], last_at: float) -> None:
        """Add the earlier process's part of a run; show the result if the run has ended and none has begun since."""
        with self._lock:
            self._store.add_samples(run.run.experiment, run.run, run.complete(earlier, last_at))
            if run.ended_at is not None and self._run is None and run.run.experiment == self._experiment:
                self._show_finished(run)

    def _show_finished(self, run: RecordedRun) -> None:
        for state in self._states.values():
            state.finish(run.final(state.observable_id))
        self._changed.update(self._states)


def _setting(experiment: str, name: str) -> str:
    """Name of the setting that keeps a manual value."""
    return f"observable/{experiment}/{name}"
