"""Observables of other IOCs, followed over Channel Access."""

from ioc.observables.feed import ObservableFeed
from ioc.observables.reading import disconnected
from ioc.observables.source import Properties

__all__ = ["ObservableFeed", "Properties", "disconnected"]
