"""Observables and runs into the run database."""

from ioc.recorder.manual import parse_manual
from ioc.recorder.recorder import ObservableRecorder, RecorderStore

__all__ = ["ObservableRecorder", "RecorderStore", "parse_manual"]
