"""The state of automatic runs: settings, plan and progress. `automatic` decides with it."""

from __future__ import annotations

from dataclasses import dataclass

from ioc.model import PlannedRun, Severity


@dataclass(frozen=True)
class Limits:
    """What the operator sets; a plan has its own lengths, sizes and number of runs."""

    minutes: float = 0.0
    """Length of a run; 0: no limit by it."""
    gb: float = 0.0
    """Size of a run's data in GB; 0: no limit by it."""
    runs: int = 0
    """Number of runs; 0: until Off."""
    pause: float = 0.0
    """Seconds between two runs."""


@dataclass(frozen=True)
class RunPlan:
    """A plan as it was when it was read: later changes of the file have no effect."""

    path: str = ""
    runs: tuple[PlannedRun, ...] = ()


@dataclass(frozen=True)
class Progress:
    """Where the sequence stands; stored at each change, so that it survives a restart."""

    enabled: bool = False
    experiment: str = ""
    """The experiment for which it was enabled."""
    title: str = ""
    """Title of its runs, still with ``{n}`` and ``{run}``."""
    done: int = 0
    """Runs that reached their length or size; in a plan, also the index of the next one."""
    failures: int = 0
    """Failures in a row."""
    run: int = -1
    """Number of the run under way; -1 between runs."""
    reached: bool = False
    """That run has reached its length or size."""
    excused: bool = False
    """An interlock stopped that run: if it was not Running yet, its start did not fail."""
    paused: float = 0.0
    """Seconds for which that run was paused, without the present pause."""
    paused_from: float | None = None
    """Duration of that run when it was paused; None while it is not paused."""
    stopped_at: float | None = None
    """When the run before it stopped, POSIX seconds; None once `dead` is known."""
    dead: float = 0.0
    """Seconds from the stop of a run to the start of the next, of the last two."""
    ended: str = ""
    """Why it is off."""
    ended_at: float = 0.0
    severity: Severity = Severity.NO_ALARM
    """Of `ended`."""


_TITLE_BYTES = 200
"""Limit of the PV Title."""


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Automatic runs: all that the core knows about them."""

    limits: Limits = Limits()
    plan: RunPlan = RunPlan()
    progress: Progress = Progress()
    waits_from: float | None = None
    """Since when, on the monotonic clock, it waits before it tries the next start; None: it does not."""
    waits_for: float = 0.0
    """Seconds that it waits at least, even if the pause between runs is shorter."""
    because: str = ""
    """Why it is not tried before; empty for the pause between two runs."""
    trying: bool = False
    """A start that `automatic` began is under way, and no number is reserved yet."""
    prepared: int = -1
    """Index of the planned run whose title, class and manual values were set by this process."""
    setting: bool = False
    """Its manual values are being set."""
    told: str = ""
    """What the message said last about the progress: a refusal stays until there is something new."""

    @property
    def enabled(self) -> bool:
        return self.progress.enabled

    @property
    def next_at(self) -> float | None:
        """The next start is not tried before this time on the monotonic clock; None: at once."""
        return None if self.waits_from is None else self.waits_from + max(self.waits_for, self.limits.pause)

    @property
    def planned(self) -> PlannedRun | None:
        """The planned run under way, else the next one; None without a plan, or when it is finished."""
        runs, done = self.plan.runs, self.progress.done
        return runs[done] if done < len(runs) else None

    @property
    def total(self) -> int:
        """Number of runs; 0: until Off."""
        return len(self.plan.runs) or self.limits.runs

    @property
    def minutes(self) -> float:
        return self.planned.minutes if self.planned is not None else self.limits.minutes

    @property
    def gb(self) -> float:
        return self.planned.gb if self.planned is not None else self.limits.gb

    def expanded(self, title: str, number: int) -> str:
        """Return the title of the run `number`; only that of an automatic run is changed."""
        if not self.enabled:
            return title
        text = title.replace("{n}", str(self.progress.done + 1)).replace("{run}", str(number))
        return text.encode()[:_TITLE_BYTES].decode(errors="ignore")
