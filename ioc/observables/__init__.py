"""Observables of other IOCs, followed over Channel Access.

Theory of operation: aioca, the program's only Channel Access client, runs in a thread with an event loop of its own
(`feed`), so that the main event loop, which serves commands, never sees an update. In that thread each observable has a
`channel_monitor`, which follows one PV through its disconnections, turns each update into a `reading`, and passes on
what its `throttle` lets through. Readings are delivered in that thread, to the recorder.
"""

from ioc.observables.feed import ObservableFeed
from ioc.observables.reading import Properties, disconnected

__all__ = ["ObservableFeed", "Properties", "disconnected"]
