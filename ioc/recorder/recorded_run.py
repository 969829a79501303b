"""The statistics of all observables in one run, with the part that an earlier process recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ioc.model import Reading, RunId, Scalar, Statistics
from ioc.observables import disconnected
from ioc.recorder.statistics import RunStatistics, recorded_value
from ioc.rundb import BEGINNING, Measurement, SampleSurvey, SqliteRunStore, SurveyedObservable


@dataclass
class EarlierPart:
    """The part of a run that an earlier process recorded; all times are POSIX seconds."""

    last_alive: float
    """When that process was last known to run."""
    asked_at: float
    """When this process learned of the run. Later samples are from a source whose clock is ahead."""
    resumed_at: float | None = None
    """Since when this process records the run; None while it does not, or if the run ended with the earlier process."""
    survey: SampleSurvey | None = None
    """The samples of that process; None if the database did not answer before this one stored its own."""

    @property
    def until(self) -> float:
        """Later samples say nothing about how long that process ran."""
        return max(self.last_alive, self.asked_at)


class RecordedRun:
    """The statistics of a run while it is recorded and until they are stored."""

    def __init__(self, run: RunId, earlier: EarlierPart | None = None, ended_at: float | None = None) -> None:
        self.run = run
        self.earlier = earlier
        """The part that must be added to the statistics before they are stored; None if they are complete."""
        self.ended_at = ended_at
        """None while it is open."""
        self.failure_told = False
        """It was reported that the statistics are not stored."""
        self.statistics: dict[int, RunStatistics] = {}
        """By the id of the observable. Those of a removed observable stay and continue if it returns."""

    def shift(self, seconds: float) -> None:
        """Adjust to a clock that was set by this step."""
        for each in self.statistics.values():
            each.shift(seconds)

    def measurements(self, now: float) -> list[Measurement]:
        """The rows to store; for an open run, as if it ended now."""
        until = now if self.ended_at is None else self.ended_at
        return [each.measurement(until) for each in self.statistics.values()]

    def final(self, observable_id: int) -> Statistics | None:
        """The statistics of an observable over the ended run; None if it has none."""
        statistics = self.statistics.get(observable_id)
        return None if statistics is None or self.ended_at is None else statistics.until(self.ended_at)

    def complete(self, earlier: Iterable[RunStatistics], last_at: float) -> list[Reading]:
        """Add the statistics of the earlier process, until `last_at`; returns the gaps to be recorded in between."""
        assert self.earlier is not None
        resumed_at = self.earlier.resumed_at
        stopped_at = max(last_at, self.earlier.last_alive)
        self.earlier = None
        if resumed_at is None:
            self.statistics = {each.observable_id: each for each in earlier}
            self.ended_at = stopped_at
            return []
        gaps: list[Reading] = []
        for each in earlier:
            gap = disconnected(each.name, stopped_at)
            if not each.manual:
                each.add(gap, stopped_at)
            each.advance(resumed_at)
            present = self.statistics.setdefault(each.observable_id, each)
            if present is not each:
                present.prepend(each)
                gaps += [] if each.manual else [gap]
        return gaps


async def survey(store: SqliteRunStore, run: RunId, part: EarlierPart) -> None:
    """Look which samples the earlier process has left.

    While this process has stored none, this finds all, also those of a source whose clock is ahead; afterwards only
    those with time stamps from before `resumed_at`, because the others may be its own.

    Raises:
        PeerError: the database does not work.
    """
    part.survey = await store.survey_samples(run, part.until, part.resumed_at)


async def load_earlier(store: SqliteRunStore, run: RunId, part: EarlierPart) -> tuple[list[RunStatistics], float]:
    """Statistics of all observables, and the time of the last plausible sample or of storing, whichever is later.

    Raises:
        PeerError: the database does not work.
    """
    if part.survey is None:
        await survey(store, run, part)
    assert part.survey is not None
    observables, sampled_at = part.survey
    stored = {each.observable_id: each for each in await store.load_measurements(run)}
    record = await store.get_run(run)
    assert record is not None
    began_at = record.reserved_at
    last_at = began_at if sampled_at is None else sampled_at
    until = part.until
    last_at = max([last_at, *(at for each in stored.values() if (at := each.measured_at) is not None and at <= until)])
    found = [
        await _load_one(store, run, each, stored.get(each.observable_id), began_at, last_at) for each in observables
    ]
    return found, last_at


async def _load_one(  # noqa: PLR0917 - facts of one run and one observable
    store: SqliteRunStore,
    run: RunId,
    observable: SurveyedObservable,
    stored: Measurement | None,
    began_at: float,
    last_at: float,
) -> RunStatistics:
    """The stored statistics of one observable, continued with the later samples.

    Those are the samples of a few seconds, unless an older version stored the statistics. They are selected by their
    time stamps: if the clock of the source was set in these seconds, the statistics are approximate.
    """
    observable_id, name, manual, last_us = observable

    def begun(at: float, value: Scalar | None) -> RunStatistics:
        return RunStatistics(at, observable_id=observable_id, name=name, manual=manual, begin_value=value)

    page: tuple[int, int] | None = BEGINNING
    statistics: RunStatistics | None = None
    if stored is not None and stored.measured_at is not None:
        last: Reading | None = None
        if stored.last_sample is not None:
            sampled_us, seq = stored.last_sample
            page = (sampled_us, seq + 1)
            counted = await store.load_samples(run, observable_id, stored.last_sample, sampled_us)
            last = counted.samples[0] if counted.samples else None
        statistics = RunStatistics.continued(stored, last, manual=manual)
    elif stored is not None:
        statistics = begun(began_at, stored.begin_value)
    while last_us is not None and page is not None and page[0] <= last_us:
        samples, page = await store.load_samples(run, observable_id, page, last_us)
        for sample in samples:
            at = min(sample.sampled_at, last_at)  # a later time stamp is from a source whose clock is ahead
            if statistics is None:
                # Nothing is stored yet: it began with its first sample, which may be later than the start of the run.
                statistics = begun(at, recorded_value(sample))
            statistics.add(sample, at)
    return statistics or begun(began_at, None)
