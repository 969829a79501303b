"""The end of a log file as printable text."""

from __future__ import annotations

import re

from ioc.errors import PeerError
from ioc.hosts.transport import Transport, expand, reason_and_file, shown

TAIL_BYTES = 64 * 1024
"""Bytes read from the end of a file."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def read_tail(transport: Transport, path: str, lines: int, host: str) -> str:
    """Return the last `lines` lines of a file, `path` being as in the topology.

    Raises:
        PeerError: naming the file that cannot be read.
    """
    file = expand(transport, path)
    try:
        if not transport.look(file).is_file:
            raise PeerError(f"log file {shown(file)} on {host} must be a regular file")
        content, whole = transport.read_end(file, TAIL_BYTES)
    except OSError as error:
        raise PeerError(f"log file on {host} cannot be read: {reason_and_file(error)}") from None
    return last_lines(content, lines, whole=whole)


def last_lines(content: bytes, lines: int, *, whole: bool) -> str:
    """Decode the end of a file; an incomplete first line is left out if there are others."""
    text = content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("", _COLOURS.sub("", text)).removesuffix("\n")
    found = text.split("\n")
    if not whole and len(found) > 1:
        del found[0]
    return "\n".join(found[-lines:])
