"""What an earlier process has recorded of a run."""

from __future__ import annotations

from collections.abc import Mapping

from ioc.model import RunId, Scalar
from ioc.recorder.needs import RecorderStore
from ioc.recorder.statistics import RunStatistics
from ioc.rundb import SampleSurvey


class Past:
    """Statistics of a run, computed from its samples one observable after the other: a long run has millions."""

    def __init__(
        self,
        store: RecorderStore,
        run: RunId,
        survey: SampleSurvey,
        began_at: float,
        begins: Mapping[str, Scalar | None],
    ) -> None:
        self._store = store
        self._run = run
        self._counts = survey.counts
        self._began_at = began_at
        self.last_at = began_at if survey.last_at is None else survey.last_at
        """When the last sample was taken whose time can be true."""
        self.begins = begins
        """Values at the begin of the run."""

    @classmethod
    async def look_back(cls, store: RecorderStore, run: RunId, until: float) -> Past:
        """See what there is now of a run that an earlier process recorded `until` that time at most.

        Raises:
            PeerError: the database does not work.
        """
        survey = await store.survey_samples(run, until)
        begins = {each.observable: each.begin_value for each in await store.load_measurements(run)}
        record = await store.last_run(run.experiment)
        began_at = record.reserved_at if record is not None and record.run == run else until
        return cls(store, run, survey, began_at, begins)

    async def statistics(self, observable: str) -> RunStatistics:
        """Of one observable, by the samples that there were when this looked back.

        A sample of later than the last one is of a source whose clock is ahead, and counts as taken with that.

        Raises:
            PeerError: the database does not work.
        """
        statistics = RunStatistics(self._began_at)
        count = self._counts.get(observable, 0)
        for sample in await self._store.load_samples(self._run, observable, count) if count else ():
            statistics.add(sample._replace(sampled_at=min(sample.sampled_at, self.last_at)))
        return statistics
