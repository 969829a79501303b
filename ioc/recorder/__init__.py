"""Observables and runs into the run database."""

from ioc.recorder.manual import parse_manual
from ioc.recorder.recorder import ObservableRecorder, RecorderStore
from ioc.recorder.track import ObservableView

__all__ = ["ObservableRecorder", "ObservableView", "RecorderStore", "parse_manual"]
