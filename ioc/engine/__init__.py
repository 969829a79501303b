"""Performs the effects of the core and reports the results to it."""

from ioc.engine.engine import Engine
from ioc.engine.perform import Timing

__all__ = ["Engine", "Timing"]
