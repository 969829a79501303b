"""The output of a peer, made safe for a message, a log line or a terminal."""

from __future__ import annotations

MOST_BYTES = 4000


def harmless(output: bytes) -> str:
    """Return the end of an output on one line, its control characters escaped."""
    cut = len(output) > MOST_BYTES
    text = output[-MOST_BYTES:].decode(errors="replace")
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    text = " | ".join(filter(None, lines))
    text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return f"… {text}" if cut else text
