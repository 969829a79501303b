"""Performs what the core decides, and tells it what came of it."""

from ioc.engine.engine import Engine
from ioc.engine.timing import Timing

__all__ = ["Engine", "Timing"]
