"""Tests of a machine in addition to the regular check. It changes nothing but a file that it makes and removes."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass

from ioc.errors import PeerError
from ioc.hosts.transport import Transport, exists, expand, from_shown, reason_and_file, shown

# They need no program but date and the shell.
_TOOLS = """
main() {
  echo @begin
  [ -r /proc/self/stat ] && echo has proc
  for tool in ps lsof; do command -v "$tool" >/dev/null && echo "has $tool"; done
  echo @end
}
"""
_CLOCK = """
main() {
  echo @begin
  echo "now $(date +%s)"
  echo @end
}
"""
_PREFIX = b".attpc-ioc-check-"


@dataclass(frozen=True)
class Tools:
    """The tools of a machine for finding routers, and its clock."""

    has_proc: bool
    """It has /proc (Linux), so that no program is needed."""
    missing: tuple[str, ...]
    """Those of ps and lsof that it lacks."""
    ahead: float
    """Seconds by which its clock is ahead of ours; exact to a second."""


def read_tools(transport: Transport, timeout: float) -> Tools:
    """Log in and look.

    Raises:
        PeerError: the login fails, or runs no commands.
    """
    has = {found[1] for found in _words(transport.run(_TOOLS, (), timeout)) if found[0] == "has"}
    # The first script waited for the login, which may take seconds.
    asked_at = time.time()
    output = transport.run(_CLOCK, (), timeout)
    middle = (asked_at + time.time()) / 2
    now = [found[1] for found in _words(output) if found[0] == "now" and len(found) == 2 and found[1].isdecimal()]
    if not now:
        answer = output.decode(errors="replace")[-80:].strip()
        raise PeerError(
            "a login over SSH must run commands, but this one ran none: check the user's shell and login scripts, "
            f"ForceCommand in sshd_config and command= in authorized_keys (the answer was {answer!r})"
        )
    # The clock shows whole seconds: the middle of that second is the best guess.
    return Tools("proc" in has, tuple(tool for tool in ("ps", "lsof") if tool not in has), int(now[0]) + 0.5 - middle)


def _words(output: bytes) -> list[list[str]]:
    lines = output.decode(errors="replace").partition("@begin\n")[2].partition("@end")[0].splitlines()
    return [line.split() for line in lines if line.strip()]


def try_writing(transport: Transport, path: str, below: str) -> str:
    """Make and remove an empty file in the directory `path`/`below`, or in the nearest one above it that exists.

    Returns:
        The directory that was tried.

    Raises:
        PeerError: no file can be made or removed there.
    """
    above = expand(transport, os.fsdecode(from_shown(path))).rstrip(b"/")
    directory = (above + b"/" + below.encode()).rstrip(b"/")
    try:
        while directory and not exists(transport, directory):
            directory = directory.rpartition(b"/")[0]
        if not transport.look(directory or b"/").is_directory:
            raise PeerError(f"{shown(directory)} must be a directory, but is a file")
        file = directory + b"/" + _PREFIX + secrets.token_hex(8).encode()
        transport.write(file, b"")
        transport.remove(file)
    except OSError as error:
        raise PeerError(f"no file can be written in {shown(directory)}: {reason_and_file(error)}") from None
    return shown(directory or b"/")
