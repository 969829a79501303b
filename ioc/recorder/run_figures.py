"""What all observables have done in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ioc.model import Reading, RunId, Statistics
from ioc.observables import disconnected
from ioc.recorder.figure import Figure
from ioc.recorder.needs import RecorderStore
from ioc.recorder.past import Past, look_back, past_figure
from ioc.rundb import Measurement, SurveyedObservable


class RunFigures:
    """The figures of a run that is recorded, and then of one that is to be stored.

    Those of observables that are gone stay: one that comes back goes on with its own.
    """

    def __init__(self, run: RunId) -> None:
        self.run = run
        self.ended_at: float | None = None
        """None while it is open."""
        self._figures: dict[int, Figure] = {}
        self._whole = True
        self._resumed_at: float | None = None
        self._last_alive = 0.0
        self._until = 0.0
        """When it was asked for: samples of later are of a source whose clock is ahead."""
        self._asked = False
        self._past: Past | None = None
        self._lacking: dict[int, SurveyedObservable] = {}

    @classmethod
    def resumed(cls, run: RunId, last_alive: float, now: float) -> RunFigures:
        """Those from `now` on of a run that another process recorded until `last_alive`; `complete` adds its part."""
        figures = cls(run)
        figures._whole, figures._resumed_at, figures._last_alive, figures._until = False, now, last_alive, now
        return figures

    @classmethod
    def left_behind(cls, run: RunId, ended_at: float, now: float) -> RunFigures:
        """Those of a run that ended when another process did, or with its last sample; `complete` gets them all."""
        figures = cls(run)
        figures._whole, figures._last_alive, figures.ended_at, figures._until = False, ended_at, ended_at, now
        return figures

    @property
    def whole(self) -> bool:
        """Whether nothing is lacking that another process has recorded."""
        return self._whole

    def figure(self, observable_id: int) -> Figure | None:
        """That of an observable, if it has one."""
        return self._figures.get(observable_id)

    def add(self, figure: Figure) -> Figure:
        """Let there be the figure of one more observable."""
        self._figures[figure.observable_id] = figure
        return figure

    def shift(self, seconds: float) -> None:
        """Count on from a clock that was set by so much."""
        for figure in self._figures.values():
            figure.shift(seconds)

    def measurements(self, now: float) -> list[Measurement]:
        """The rows of the run, as if it ended now if it is open."""
        until = now if self.ended_at is None else self.ended_at
        return [each.measurement(until) for each in self._figures.values()]

    def statistics(self, observable_id: int) -> Statistics | None:
        """Of an observable over the run, which has ended; None if it has none."""
        figure = self._figures.get(observable_id)
        return None if figure is None or self.ended_at is None else figure.statistics(self.ended_at)

    async def complete(self, store: RecorderStore, record: Callable[[Iterable[Reading]], None]) -> None:
        """Add what another process has recorded; goes on where it failed. `record` gets the gaps between.

        Raises:
            PeerError: the database does not work.
        """
        if self._whole:
            return
        if self._past is None:
            # Asked at once, the database has nothing of this process yet; later only what is older is surely not ours.
            before = self._resumed_at if self._asked else None
            self._asked = True
            past = await look_back(store, self.run, max(self._last_alive, self._until), before)
            self._lacking = {each.observable_id: each for each in past.observables}
            self._past = past
            if self._resumed_at is None:
                self.ended_at = max(past.last_at, self._last_alive)
        for observable in tuple(self._lacking.values()):
            earlier = await past_figure(store, self._past, observable)
            if self._resumed_at is None:
                self._figures[observable.observable_id] = earlier
            else:
                record(self._join(earlier, max(self._past.last_at, self._last_alive), self._resumed_at))
            del self._lacking[observable.observable_id]
        self._whole = True

    def _join(self, earlier: Figure, gap_at: float, resumed_at: float) -> list[Reading]:
        """Put the time without a recorder between what was and what is; returns what is to be recorded."""
        gap = disconnected(earlier.name, gap_at)
        if not earlier.manual:
            earlier.add(gap, gap_at)
        earlier.advance(resumed_at)
        present = self._figures.get(earlier.observable_id)
        if present is None:
            self._figures[earlier.observable_id] = earlier  # it is followed no more
            return []
        present.prepend(earlier)
        return [] if earlier.manual else [gap]
