"""Where the copies of files are at a destination.

With the layout ``routers`` at ``EXPERIMENT/run_NNNN/ROUTER/FILE`` below its directory or remote; the router is part of
it, because files of two routers may have the same name. With ``merger`` at ``EXPERIMENT/run_NNNN/mm<k>/FILE``, as
`ioc.topology.merger` has it. A second file of the same name in a directory is called as filing calls one
(``.duplicate-1``). At a remote of rclone, where names are text, control characters and bytes that are not UTF-8 are
written ``\\xNN``.

A copy that has been begun stays where it is, whatever the topology says now, and so do the other files of its run:
the merger takes a run of which it finds only a part, without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ioc.hosts.placing import names
from ioc.hosts.transport import from_shown, shown
from ioc.model import RunId
from ioc.model.graw import gathered_name
from ioc.rundb.copies import PendingCopy, RunFile
from ioc.topology.merger import MergerLayout
from ioc.topology.schema import Destination

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Places:
    """The places at one destination."""

    def __init__(self, destination: Destination, merger: MergerLayout) -> None:
        self._rclone = destination.rclone is not None
        base = destination.rclone or destination.directory or ""
        self._base = base if base.endswith((":", "/")) else base + "/"
        self._merger = merger
        self._layouts = (merger, None) if destination.layout == "merger" else (None, merger)
        """The one of the topology first; None: by router."""
        self._files: Sequence[RunFile] = ()
        self._found: dict[int, bytes] = {}
        """Places of `_files`, by their id."""
        self._run_layout: MergerLayout | None = None

    @property
    def base(self) -> str:
        """The common beginning of all paths at the destination, as written in the database."""
        return shown(os.fsencode(self._base))

    def of(self, pending: PendingCopy) -> bytes:
        """Return the path of a copy; for rclone with the remote."""
        self._look(pending)
        return self._found[pending.file_id]

    def run(self, run: RunId) -> bytes:
        return os.fsencode(f"{self._base}{run.directory}")

    def temporary(self, pending: PendingCopy) -> bytes:
        """Return the name of an unfinished copy, beside its place; no program takes it for a data file.

        Empty if the copy has its name at once. So it is by rclone, because many stores copy a file to rename it; but
        not in a run for the merger, which takes a part of a file.
        """
        if self._rclone and not self.is_for_merger(pending):
            return b""
        return self.of(pending).rpartition(b"/")[0] + b"/.copy-%d.partial" % pending.file_id

    def is_for_merger(self, pending: PendingCopy) -> bool:
        """Whether its run has the layout of the merger, whatever the topology says now."""
        self._look(pending)
        return self._run_layout is not None

    def names(self, pending: PendingCopy) -> tuple[bytes, ...]:
        """Return the names of all directories that its run must have."""
        own = self.of(pending).removeprefix(self.run(pending.run) + b"/").rpartition(b"/")[0]
        wanted = self._merger.directories if self.is_for_merger(pending) else ()
        return tuple(dict.fromkeys((*map(os.fsencode, wanted), own)))

    def _look(self, pending: PendingCopy) -> None:
        if self._files is not pending.files:  # one object for all files of a run
            self._run_layout = self._layout(pending.run, pending.files)
            self._found = self._places(pending.run, pending.files, self._run_layout)
            self._files = pending.files

    def _places(self, run: RunId, files: Sequence[RunFile], layout: MergerLayout | None) -> dict[int, bytes]:
        found = {file.file_id: from_shown(file.there) for file in files if self._is_begun(run, file)}
        taken = set(found.values())
        for file in files:
            if file.file_id not in found:
                below, name = self._wanted(layout, run, file)
                place = found[file.file_id] = next(below + each for each in names(name) if below + each not in taken)
                taken.add(place)
        return found

    def _layout(self, run: RunId, files: Sequence[RunFile]) -> MergerLayout | None:
        """Return the layout of a run: the topology's, unless copies were begun in the other one."""
        own, other = self._layouts
        begun = [
            (file, from_shown(file.there).rpartition(b"/")[0] + b"/") for file in files if self._is_begun(run, file)
        ]
        strange = [(file, place) for file, place in begun if self._wanted(own, run, file)[0] != place]
        return other if any(self._wanted(other, run, file)[0] == place for file, place in strange) else own

    def _is_begun(self, run: RunId, file: RunFile) -> bool:
        """Whether a copy of it is below the present directory or remote."""
        return from_shown(file.there).startswith(self.run(run) + b"/")

    def _wanted(self, layout: MergerLayout | None, run: RunId, file: RunFile) -> tuple[bytes, bytes]:
        """Return the directory of a copy, which ends in a slash, and its name if that is not taken."""
        name = from_shown(file.path).rpartition(b"/")[2]
        directory = file.router
        if layout is not None:
            name = gathered_name(name)
            directory = layout.directory_of(file.router, name)
        if self._rclone:
            name = _CONTROL.sub(lambda found: b"\\x%02x" % found[0][0], shown(name).encode())
        return self.run(run) + os.fsencode(f"/{directory}/"), name
