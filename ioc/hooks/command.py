"""A hook that is a program, on this machine or over SSH."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from importlib import resources

from ioc.errors import PeerError
from ioc.hooks.output import MOST_BYTES
from ioc.hosts.transport import OUTPUT_LIMIT, Program, Transport

SCRIPT = resources.files("ioc.hooks").joinpath("hook.sh").read_text(encoding="ascii")
_LOOK_SECONDS = 0.05
"""How often a silent program is checked."""
_LAST_SECONDS = 1.0
"""How long the status of a program may come after the end of its output."""
_SPARE_SECONDS = 5
"""The machine of the program ends it this long after its time-out, should we no longer be able to."""


class Command:
    """One run of a program, in a thread of its own; any thread may end it."""

    def __init__(
        self, transport: Transport, program: Sequence[str], document: str, variables: Sequence[str], timeout: float
    ) -> None:
        self._transport = transport
        limit = str(int(timeout) + _SPARE_SECONDS)
        words = (limit, document, str(len(variables)), *variables, *program)
        self._words = tuple(word.encode(errors="replace") for word in words)
        self._over = threading.Event()
        self.output = b""
        """The end of what it has written so far."""
        self._written = 0

    def end(self) -> None:
        """Let the program be ended, with its children. Does not wait."""
        self._over.set()

    def run(self) -> int:
        """Run the program; return its exit status.

        Raises:
            PeerError: it could not be run, or was ended.
        """
        program = self._transport.start(SCRIPT, self._words)
        try:
            return self._follow(program)
        finally:
            program.close()

    def _follow(self, program: Program) -> int:
        while not self._over.is_set():
            piece = program.read(_LOOK_SECONDS)
            if piece:
                self._keep(piece)
                continue
            if piece is None and program.status() is None:
                continue
            # It has ended. A child that left its process group may keep the output open for ever.
            while piece is None and (last := program.read(0)):
                self._keep(last)
            return self._status(program)
        raise PeerError("it was ended")

    def _keep(self, piece: bytes) -> None:
        self._written += len(piece)
        self.output = (self.output + piece)[-MOST_BYTES - 1 :]
        if self._written > OUTPUT_LIMIT:
            raise PeerError(f"it was ended, because it wrote more than {OUTPUT_LIMIT} bytes")

    @staticmethod
    def _status(program: Program) -> int:
        """Return the exit status, which may come a little after the end of the output."""
        until = time.monotonic() + _LAST_SECONDS
        while (status := program.status()) is None:
            if time.monotonic() > until:
                raise PeerError("its end was not seen")
            time.sleep(_LOOK_SECONDS / 10)
        return status
