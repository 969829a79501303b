"""Observables and runs into the run database.

The `recorder` has a `track` of each observable, which takes its readings. In a run each has a `figure`: values at begin
and end and the `statistics` between. All of these are the `run_figures`, which the `bookkeeper` stores in the database;
`past` is what another process has recorded of a run. The `teller` says what has changed; `manual` checks what the shift
types; `clock` notices that the time was set.
"""

from ioc.recorder.manual import parse_manual
from ioc.recorder.recorder import ObservableRecorder, RecorderStore

__all__ = ["ObservableRecorder", "RecorderStore", "parse_manual"]
