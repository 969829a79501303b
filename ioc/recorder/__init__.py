"""Records observables and runs in the run database.

Theory of operation: the `recorder` takes readings in the thread of the feed. Each goes to the `observable_state` of its
observable, which keeps the latest and adds it to the `statistics` of the open run, and then into the store's queue,
which another thread writes. One lock guards states and statistics; the main event loop takes it for a moment to begin
or end a run and to read statistics. Ten times a second it shows the observables that changed.

The statistics of all observables in a run are a `recorded_run`. The `saver` stores them every ten seconds and at the
end of the run, and retries as long as the database fails. After a restart, a run continues from the stored statistics
and the few samples after them. The values that the shift enters are checked by `ioc.topology.manual_value`.
"""

from ioc.recorder.recorder import Clock, ObservableRecorder

__all__ = ["Clock", "ObservableRecorder"]
