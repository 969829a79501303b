"""Lists the contents of directories on a machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ioc.errors import PeerError
from ioc.hosts.transport import Entry, Transport, expand, from_shown, reason, shown

_UNREADABLE = """
main() {
  echo @begin
  number=0
  for path; do
    [ -r "$path" ] || echo "$number"
    number=$((number + 1))
  done
  echo @end
}
"""


@dataclass(frozen=True)
class Listing:
    """The names in one directory."""

    entries: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    """By path, as in `FiledFile`; empty if there is no such directory."""
    unreadable: frozenset[str] = frozenset()
    """Paths of the files that may not be read."""
    place: str = ""
    """The directory without links; empty if there is none."""
    problem: str = ""
    """Why the directory cannot be listed."""


def take_inventory(transport: Transport, directories: Sequence[str], timeout: float) -> dict[str, Listing]:
    """List directories, written as `RouterFacts.work_dir`.

    Raises:
        PeerError: the machine cannot be reached.
    """
    found = {directory: _list(transport, directory) for directory in directories}
    files = [path for listing in found.values() for path, entry in listing.entries.items() if entry.is_file]
    output = transport.run(_UNREADABLE, [from_shown(path) for path in files], timeout)
    words = output.partition(b"@begin\n")[2].split()
    if words[-1:] != [b"@end"]:
        raise PeerError(f"a command there gave an unexpected answer: {output[-80:]!r}")
    unreadable = frozenset(files[int(number)] for number in words[:-1])
    return {
        directory: replace(listing, unreadable=unreadable & listing.entries.keys())
        for directory, listing in found.items()
    }


def _list(transport: Transport, directory: str) -> Listing:
    try:
        place = expand(transport, os.fsdecode(from_shown(directory)))
        entries = {shown(place + b"/" + entry.name): entry for entry in transport.list_directory(place)}
        return Listing(entries, place=shown(transport.real_path(place)))
    except (FileNotFoundError, NotADirectoryError):
        return Listing()
    except OSError as error:
        return Listing(problem=reason(error))
