"""Moves a file to its final place without ever overwriting or losing one.

A crash may follow any step; repeating the move gives the same result as without the crash:

1. *rename* is one step, or two (link, unlink): after the first the file has both names, and the second is done later.
2. Onto another file system: copy to a hidden name beside the target, compare, sync, rename that, remove the source.
   If a complete copy already has the final name, only the source is removed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ioc.hosts.transport import CannotRenameError, Transport, partial, shown
from ioc.model.graw import names

# Prints "same" if $1 and $2 are names of the same file, "copied" if $2 is an identical copy on another file system,
# "itself" if their directories are the same. Then, or if $2 is a link to $1, removing $1 would lose the file.
COMPARE = """
mount_point() { df -P "$1" | sed -n '2s/.*% *//p'; }
main() {
  if [ "${1%/*}" -ef "${2%/*}" ]; then echo itself
  elif [ -L "$2" ]; then echo different
  elif [ "$1" -ef "$2" ]; then echo same
  elif [ "$(mount_point "$1")" != "$(mount_point "$2")" ] && cmp -s "$1" "$2"; then echo copied
  else echo different
  fi
}
"""
COPY = """
main() {
  {
    if cp -p "$1" "$2" && cmp "$1" "$2" && { sync "$2" || sync; }; then echo copied; else rm -f "$2"; fi
  } 2>&1
}
"""


@dataclass(frozen=True)
class Placer:
    """Places files on one machine; `copy_seconds` is the time a copy onto another file system may take."""

    transport: Transport
    copy_seconds: float

    def place(self, source: bytes, directory: bytes) -> bytes:
        """Move `source` into `directory`, under another name if its own is taken; returns its path there.

        Raises:
            OSError: it cannot be moved; it is still in its old place.
        """
        for name in names(source.rpartition(b"/")[2]):
            target = directory + b"/" + name
            if self._placed(source, target):
                return target
        raise AssertionError

    def _placed(self, source: bytes, target: bytes) -> bool:
        """Move `source` to `target`; False if another file has that name."""
        try:
            self.transport.move(source, target)
        except FileExistsError:
            if not self._is_there(source, target):
                return False
            with contextlib.suppress(FileNotFoundError):
                self.transport.remove(partial(target))
            self.transport.remove(source)
        except CannotRenameError:
            self._copy(source, target)
        return True

    def _copy(self, source: bytes, target: bytes) -> None:
        unfinished = partial(target)
        answer = self.transport.run(COPY, (source, unfinished), self.copy_seconds).decode(errors="replace").strip()
        if answer != "copied":
            raise OSError(f"cannot copy {shown(source)} to {shown(target)}: {answer or 'the copy was cut short'}")
        self.transport.move(unfinished, target)
        self.transport.remove(source)

    def _is_there(self, source: bytes, target: bytes) -> bool:
        """Whether `target` is `source` itself or its copy, left by an interrupted attempt."""
        answer = self.transport.run(COMPARE, (source, target), self.copy_seconds).decode(errors="replace").strip()
        if answer == "itself":
            raise OSError("the directory of the run is a link to the directory that it is filed from")
        if answer not in ("same", "copied", "different"):
            raise OSError(f"cannot compare {shown(source)} with {shown(target)}: the answer was {answer[:80]!r}")
        return answer != "different"
