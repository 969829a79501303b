"""Phoebus screens and the files beside them, from the topology; the same topology gives the same bytes."""

from ioc.screens.generate import screen_files, write_screens

__all__ = ["screen_files", "write_screens"]
