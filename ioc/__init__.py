"""attpc-ioc: an EPICS IOC that runs the data acquisition of the AT-TPC.

The layers, lowest first, are listed in ``docs/developers.md`` and enforced by import-linter.
"""

__version__ = "0.1.0"
