"""A hook that is a program, on this machine or over SSH."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import resources

from ioc.errors import PeerError
from ioc.hosts.transport import OUTPUT_LIMIT, Transport, follow

SCRIPT = resources.files("ioc.hooks").joinpath("hook.sh").read_text(encoding="ascii")
MOST_BYTES = 4000
"""Of the output of a hook that are kept."""
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
        status = follow(self._transport.start(SCRIPT, self._words), self._over, self._keep)
        if status is None:
            raise PeerError("it was ended")
        return status

    def _keep(self, piece: bytes) -> None:
        self._written += len(piece)
        self.output = (self.output + piece)[-MOST_BYTES - 1 :]
        if self._written > OUTPUT_LIMIT:
            raise PeerError(f"it was ended, because it wrote more than {OUTPUT_LIMIT} bytes")


def harmless(output: bytes) -> str:
    """Return the end of an output on one line; it can do no harm in a message, a line of the log or a terminal."""
    cut = len(output) > MOST_BYTES
    text = output[-MOST_BYTES:].decode(errors="replace")
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    text = " | ".join(filter(None, lines))
    text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return f"… {text}" if cut else text
