"""Restores the statistics of a run that an earlier process recorded."""

from __future__ import annotations

from ioc.model import Reading, RunId
from ioc.recorder.recorded_run import EarlierPart
from ioc.recorder.statistics import RunStatistics, recorded_value
from ioc.rundb import BEGINNING, Measurement, SqliteRunStore, SurveyedObservable


async def load_earlier(store: SqliteRunStore, run: RunId, part: EarlierPart) -> tuple[list[RunStatistics], float]:
    """Statistics of all observables, and the time of the last plausible sample or of storing, whichever is later.

    Raises:
        PeerError: the database does not work.
    """
    until = max(part.last_alive, part.asked_at)
    before = part.before
    part.before = part.resumed_at  # if this fails, the next attempt may also find samples of this process
    survey = await store.survey_samples(run, until, before)
    stored = {each.observable_id: each for each in await store.load_measurements(run)}
    record = await store.get_run(run)
    began_at = until if record is None else record.reserved_at
    known = [began_at if survey.last_at is None else survey.last_at]
    known += [at for each in stored.values() if (at := each.measured_at) is not None and at <= until]
    last_at = max(known)
    statistics = [
        await _load_one(store, run, each, stored.get(each.observable_id), began_at, last_at)
        for each in survey.observables
    ]
    return statistics, last_at


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

    def new_statistics(at: float) -> RunStatistics:
        return RunStatistics(at, observable_id=observable_id, name=name, manual=manual)

    page: tuple[int, int] | None = BEGINNING
    statistics = new_statistics(began_at)
    if stored is not None and stored.measured_at is not None:
        last: Reading | None = None
        if stored.last_sample is not None:
            sampled_us, seq = stored.last_sample
            page = (sampled_us, seq + 1)
            counted = await store.load_samples(run, observable_id, stored.last_sample, sampled_us)
            last = counted.samples[0] if counted.samples else None
        statistics = RunStatistics.continued(stored, last, manual=manual)
    elif stored is not None:
        statistics.begin_value = stored.begin_value
    first = stored is None
    while last_us is not None and page is not None and page[0] <= last_us:
        samples, page = await store.load_samples(run, observable_id, page, last_us)
        if first and samples:
            # Nothing is stored yet: it began with its first sample, which may be later than the start of the run.
            first = False
            statistics = new_statistics(min(samples[0].sampled_at, last_at))
            statistics.begin_value = recorded_value(samples[0])
        for sample in samples:
            # A later time stamp is from a source whose clock is ahead.
            statistics.add(sample, min(sample.sampled_at, last_at))
    return statistics
