"""Observables of other IOCs, followed over Channel Access.

Theory of operation: aioca, the program's only Channel Access client, runs in a process of its own (`receiver`). What it
does at each update would keep the interpreter from commands; and to start the process again is the way to have libca
search on a network that has appeared. In it each observable has a `channel_monitor`, which follows one PV through its
disconnections, turns each update into a `reading`, and passes on what its `throttle` lets through. The `feed` starts
the process and delivers what it sends to the recorder, in a thread.
"""

from ioc.observables.feed import ObservableFeed
from ioc.observables.reading import Properties, disconnected

__all__ = ["ObservableFeed", "Properties", "disconnected"]
