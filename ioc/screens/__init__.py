"""Phoebus screens and the files beside them, from the topology; the same topology gives the same bytes."""

from ioc.screens.archiver import archiver_list
from ioc.screens.generate import screen_files, write_screens

__all__ = ["archiver_list", "screen_files", "write_screens"]
