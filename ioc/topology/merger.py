"""The directories that attpc_merger expects of a run: ``run_NNNN/mm<k>`` for the files of CoBo k."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from ioc.model.graw import cobo_of, is_merged
from ioc.topology.schema import Topology

COBOS = range(11)
"""The CoBos of a full AT-TPC: the merger (0.3.1) stops if one of their directories is missing, even if it is empty."""
_COBO = re.compile(r"CoBo\[(\d{1,3})\]", re.IGNORECASE)
_OTHER = "other"
"""Directory of files of an unknown router that belong to no CoBo."""


@dataclass(frozen=True)
class MergerLayout:
    """Which directory of a run holds which files."""

    cobo_directories: tuple[str, ...]
    router_directories: tuple[str, ...]
    """Of the routers without a CoBo."""
    _copies: Mapping[str, Collection[int]]
    """For each router, the CoBos whose files another router writes first; merged as well, they would be there twice."""

    @classmethod
    def of(cls, topology: Topology) -> Self:
        cobos = set(COBOS)
        copies: dict[str, set[int]] = {}
        writers: set[str] = set()
        for source in topology.data_sources:
            if match := _COBO.fullmatch(source.id):
                number = int(match[1])
                cobos.add(number)
                first, *others = source.data_routers
                writers.add(first)
                for router in others:
                    copies.setdefault(router, set()).add(number)
        others = tuple(router.name for router in topology.data_routers if router.name not in writers)
        return cls(tuple(f"mm{number}" for number in sorted(cobos)), others, copies)

    @property
    def directories(self) -> tuple[str, ...]:
        """All that each run has."""
        return (*self.cobo_directories, *self.router_directories)

    def directory_of(self, router: str, name: bytes) -> str:
        """Return the directory of a file of this name; `router` is empty if it is not known."""
        cobo = cobo_of(name)
        if cobo is not None and cobo not in self._copies.get(router, ()):
            return f"mm{cobo}"
        if router in self.cobo_directories and is_merged(name):  # a router called mm3: the merger would take it
            return f"{router}-{_OTHER}"
        return router or _OTHER
