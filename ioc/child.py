"""Runs a program of ours in a process of its own, which is always ended.

Libraries that talk to strangers, and those that draw, run there: a process can be killed, a thread cannot. Secrets go
to its standard input, never to its arguments, and its error output is discarded because it might repeat them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

from ioc.errors import PeerError, PeerTimeout

_MOST = 64 * 1024
"""Most bytes of output that are read."""
_LAST_SECONDS = 1.0


async def run_module(
    module: str, arguments: Sequence[str], data: bytes, seconds: float, *, aside: bool = False
) -> bytes:
    """Run a module of this program with `data` as its standard input; return its output once it has ended well.

    It and its children are killed after `seconds`, and if the call is cancelled. `aside`: it takes no time from others.

    Raises:
        PeerTimeout: it did not end in time.
        PeerError: it could not be started, or ended with an error.
    """
    low_priority = ["nice", "-n", "15"] if aside else []
    command = [
        *low_priority,
        sys.executable,
        "-P",
        "-m",
        module,
        *arguments,
    ]  # -P: not a module of the working directory
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise PeerError(f"a process cannot be started: {error.strerror}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(OSError):  # it ended without reading
                process.stdin.write(data)
                await process.stdin.drain()
                process.stdin.close()
            output = b""
            while len(output) < _MOST and (piece := await process.stdout.read(_MOST)):
                output += piece
            code = await process.wait()
    except TimeoutError:
        raise PeerTimeout(f"no answer within {seconds:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(_ended(process))
    if code != 0:
        raise PeerError(f"the process ended with {code}")
    return output


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a process that was killed; asyncio knows of it when the rest of its output was read."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_SECONDS):
            while await process.stdout.read(_MOST):
                pass
            await process.wait()
