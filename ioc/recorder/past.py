"""What an earlier process has recorded of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ioc.model import Reading, RunId
from ioc.recorder.figure import Figure
from ioc.recorder.needs import RecorderStore
from ioc.rundb import BEGINNING, Measurement, SurveyedObservable


@dataclass(frozen=True)
class Past:
    """What is in the database of a run that this process did not begin."""

    run: RunId
    began_at: float
    last_at: float
    """When the last sample was taken whose time can be true, or figures were stored."""
    observables: tuple[SurveyedObservable, ...]
    measured: Mapping[int | None, Measurement]
    """By the id of the observable."""


async def look_back(store: RecorderStore, run: RunId, until: float, before: float | None) -> Past:
    """See what there is now of a run that an earlier process recorded `until` that time at most.

    With `before`, samples of that time and later are not looked at, also if they are of a source whose clock is ahead.

    Raises:
        PeerError: the database does not work.
    """
    survey = await store.survey_samples(run, until, before)
    measured = {each.observable_id: each for each in await store.load_measurements(run)}
    record = await store.get_run(run)
    began_at = until if record is None else record.reserved_at
    known = [began_at if survey.last_at is None else survey.last_at]
    known += [at for each in measured.values() if (at := each.measured_at) is not None and at <= until]
    return Past(run, began_at, max(known), survey.observables, measured)


async def past_figure(store: RecorderStore, past: Past, observable: SurveyedObservable) -> Figure:
    """Of one observable: what was stored last, and the samples that came after.

    Only those are read, a few seconds' worth, unless an older program stored what there is. They are told by their time
    stamps: if the clock of the source was set in these seconds, they are counted about right.

    Raises:
        PeerError: the database does not work.
    """
    observable_id, name, manual, last_us = observable
    figure = Figure(observable_id, name, past.began_at, manual=manual)
    measured = past.measured.get(observable_id)
    if measured is not None:
        figure.begin_value = measured.begin_value
    page: tuple[int, int] | None = BEGINNING
    if measured is not None and measured.measured_at is not None:
        last: Reading | None = None
        if measured.last_sample is not None:
            sampled_us, seq = measured.last_sample
            page = (sampled_us, seq + 1)
            counted = await store.load_samples(past.run, observable_id, measured.last_sample, sampled_us)
            last = counted.samples[0] if counted.samples else None
        figure.go_on_with(measured, measured.measured_at, last)
    first = measured is None
    while last_us is not None and page is not None and page[0] <= last_us:
        samples, page = await store.load_samples(past.run, observable_id, page, last_us)
        if first and samples:
            # Nothing was stored of it yet: it began with its first sample, which may be later than the run.
            first = False
            figure = Figure(observable_id, name, min(samples[0].sampled_at, past.last_at), manual=manual)
            figure.begin(samples[0])
        for sample in samples:
            # One that is later than the last is of a source whose clock is ahead.
            figure.add(sample, min(sample.sampled_at, past.last_at))
    return figure
