"""A run and how the database keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

from ioc.model.ecc import ConfigChoice
from ioc.model.enums import Action, DocumentState, RunClass, RunQuality
from ioc.model.observables import Scalar

LARGEST_RUN_NUMBER = 999_999_999
"""The largest that a user may set. The runs that follow it have room below 2**31, where the numbers of a PV end."""


@dataclass(frozen=True)
class RunId:
    """A run: numbers count from 0 within an experiment."""

    experiment: str
    number: int

    @property
    def directory(self) -> str:
        """Where its files go, relative to a router's working directory: ``EXPERIMENT/run_NNNN``."""
        return f"{self.experiment}/run_{self.number:04d}"

    def __str__(self) -> str:
        return f"run {self.number}"


class RunChanges(TypedDict, total=False):
    """The fields of a run that change once its number is reserved."""

    state: DocumentState
    run_class: RunClass
    title: str
    started_at: float | None
    stopped_at: float | None
    duration: float | None
    message: str
    size: int
    comment: str
    quality: RunQuality


@dataclass(frozen=True)
class RunRecord:
    """A run as the database keeps it (table ``runs``)."""

    run: RunId
    state: DocumentState
    run_class: RunClass
    title: str
    reserved_at: float
    """When the number was reserved; a run that never reached Running has only this time."""
    started_at: float | None = None
    """When the last server became Running."""
    stopped_at: float | None = None
    config_name: str = ""
    """The configurations in use, as in the PV ``Run:Configs``."""
    message: str = ""
    duration: float | None = None
    """Seconds from `started_at` to `stopped_at` on the monotonic clock; None until it is stopped."""
    size: int = 0
    """Total size of its filed files, computed by the database (column ``runs.bytes``)."""
    comment: str = ""
    """Comment of the shift, during the run or later."""
    quality: RunQuality = RunQuality.Unknown

    def changed(self, **changes: Unpack[RunChanges]) -> RunRecord:
        return replace(self, **changes)


@dataclass(frozen=True)
class RunConfig:
    """The configuration of one ECC server in a run (table ``run_configs``)."""

    ecc_server: str
    config: ConfigChoice
    config_digest: str = ""
    """SHA-256 (hex) of the configuration text of the electronics, as returned by the ECC server."""
    file_digests: str = ""
    """SHA-256 (hex) of each .xcfg file when the server was configured: ``name=digest …``."""


@dataclass(frozen=True)
class RunInterval:
    """A time in a run during which an interlock was tripped (table ``run_intervals``)."""

    run: RunId
    interlock: str
    began_at: float
    """When the value went outside, or the run started if that was later."""
    action: Action
    reason: str
    observable: str = ""
    """Empty if the interlock follows a PV of its own."""
    low: float | None = None
    high: float | None = None
    value: Scalar | None = None
    """The value that tripped it; None while disconnected."""
    ended_at: float | None = None
    """When the value was inside again, or the run ended; None until then."""
