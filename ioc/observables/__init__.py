"""Observables measured by other IOCs, received over Channel Access.

Theory of operation: aioca, the program's only Channel Access client, runs in its own process (`receiver`). Its work for
each update would delay commands in this process; and libca searches a new network only after a restart of its process.
In it each observable has a `channel_monitor` or a `pva_monitor`, which follows one PV through its disconnections, turns
each update into a reading, and passes on what its `throttle` lets through. The `feed` starts the process and delivers
what it sends to the recorder, in a thread.
"""

from ioc.observables.feed import ObservableFeed
from ioc.observables.monitor import Properties, disconnected

__all__ = ["ObservableFeed", "Properties", "disconnected"]
