"""Checksums of files, computed on their machine by a program that is there (`checksums.sh`).

One program takes the whole list and reports each file as it is done. It ends within a moment when `Summing.end` is
called, when this process dies and when the connection is lost; a file that was being read then has no result.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources

from ioc.errors import PeerError
from ioc.hosts.transport import Program, Transport, from_shown
from ioc.model import Checksum, Found

SCRIPT = resources.files("ioc.hosts").joinpath("checksums.sh").read_text(encoding="ascii")
ALGORITHMS = {"xxh128": 32, "sha256": 64}
"""The digits of each."""
_LOOK_SECONDS = 0.1
"""How often a silent program is checked: the longest time until it is told to end."""
_LINE_LIMIT = 4096
"""A line is much shorter, so what is longer is no checksum."""
_MOST_LINES = 10
"""Of one file; it has two or three."""
_LAST_SECONDS = 1.0
"""How long the end of the output may come after that of the program."""
_WORDS = {
    "missing": Found.Missing,
    "other": Found.OtherKind,
    "unreadable": Found.Unreadable,
    "changed": Found.Changing,
    "killed": Found.Changing,
}


class ProgramError(PeerError):
    """The program that computes checksums on a machine does not work: somebody has to fix it there."""


class NoProgramError(ProgramError):
    """The machine has no program that computes the checksum that is wanted."""


class Summing:
    """One list of files on one machine; blocks in the thread that calls `run`, any thread may `end` it."""

    def __init__(
        self, transport: Transport, host: str, paths: Sequence[str], algorithm: str, sizes: Mapping[str, int]
    ) -> None:
        self._transport = transport
        self._host = host
        self._paths = paths
        self._algorithm = algorithm
        self._sizes = sizes
        self._over = threading.Event()
        self._answered = ""
        """The algorithm that is used."""
        self._number = -1
        """Of the file that the lines are about."""
        self._lines: list[str] = []
        self._complete = False

    def end(self) -> None:
        """Let the program be ended. Does not wait."""
        self._over.set()

    def run(self, tell: Callable[[Checksum], None]) -> None:
        """Compute all, and report each as it is done.

        Raises:
            NoProgramError: there is no program for it.
            PeerError: the machine was lost, or answered nonsense, or `end` was called.
        """
        words = (word for path in self._paths for word in (from_shown(path), self._size_of(path)))
        program = self._transport.start(SCRIPT, (self._algorithm.encode(), *words))
        try:
            self._follow(program, tell)
        finally:
            program.close()

    def _size_of(self, path: str) -> bytes:
        return b"%d" % self._sizes[path] if path in self._sizes else b""

    def _follow(self, program: Program, tell: Callable[[Checksum], None]) -> None:
        rest = b""
        give_up_at = time.monotonic() + _LAST_SECONDS
        while not self._complete:
            piece = program.read(_LOOK_SECONDS)
            if self._over.is_set():
                raise PeerError(f"the checksums on {self._host} were stopped")
            if piece is None:
                # Over SSH, the status may come before the last of the output.
                if program.status() is None:
                    give_up_at = time.monotonic() + _LAST_SECONDS
                if time.monotonic() < give_up_at:
                    continue
            if not piece:
                raise PeerError(f"the program that computes checksums on {self._host} ended too early")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace"), tell)
            if len(rest) > _LINE_LIMIT or len(self._lines) > _MOST_LINES:
                raise self._nonsense(rest or self._lines[0].encode())

    def _take(self, line: str, tell: Callable[[Checksum], None]) -> None:
        """Take a line of the answer. Lines before our first one come from a login script."""
        word, _, value = line.partition(" ")
        if word == "@none":
            raise self._no_program()
        if word == "@algorithm":
            self._answered = value
        elif self._answered and word in {"@file", "@end"}:
            if self._number >= 0:
                tell(self._result(self._paths[self._number], self._lines))
            self._number, self._lines = self._number + 1, []
            self._complete = word == "@end"
            if self._complete != (self._number == len(self._paths)):
                raise self._nonsense(line.encode())
        elif self._answered:
            self._lines.append(line)

    def _result(self, path: str, lines: Iterable[str]) -> Checksum:
        size, digits, found = 0, "", Found.Whole
        for line in lines:
            if line in _WORDS:
                found = _WORDS[line]
            elif match := re.fullmatch(r"size (\d+)", line, re.ASCII):
                size = int(match[1])
            else:
                digits = line.partition(" ")[0]
        if found is not Found.Whole:
            return Checksum(path, found)
        if self._sizes.get(path, size) != size:
            return Checksum(path, Found.OtherSize, size)
        if not re.fullmatch(rf"[0-9a-f]{{{ALGORITHMS[self._answered]}}}", digits):
            raise self._nonsense(digits.encode())
        return Checksum(path, found, size, f"{self._answered}:{digits}")

    def _nonsense(self, answer: bytes) -> ProgramError:
        said = answer[:80].decode(errors="replace")
        return ProgramError(f"the program that computes checksums on {self._host} gave an invalid answer: {said!r}")

    def _no_program(self) -> NoProgramError:
        wanted = {"xxh128": "xxhsum", "sha256": "sha256sum or shasum"}.get(self._algorithm, "xxhsum, sha256sum, shasum")
        return NoProgramError(
            f"{self._host} has no program that computes checksums ({wanted}), or none that works: install the package "
            "xxhash there"
        )
