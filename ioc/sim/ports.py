"""Ports for simulated servers and for tests.

A port that the kernel picks (bind to 0, close, use) can be taken before its server has it, or while its server is away:
by any connection of any process. Ours lie below the kernel's, and each is claimed until this process has had a
thousand others, by a lock of one byte in a file that all simulators and tests of this user share.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PORTS = range(12_000, 32_000)
"""Linux gives 32768 and more to whoever asks for any port, macOS 49152 and more."""
_CLAIMS = 1000


def free_port() -> int:
    """A port that nobody uses or gets, neither TCP nor UDP."""
    return next(_free)


def _free_ports() -> Iterator[int]:
    # Stays open: closing it would end the claims.
    with (Path(tempfile.gettempdir()) / f"attpc-ioc-ports-{os.getuid()}").open("ab") as file:
        claimed: deque[int] = deque()
        for port in itertools.cycle(random.SystemRandom().sample(_PORTS, len(_PORTS))):
            if _claim(file, port):
                claimed.append(port)
                if _unused(port):
                    yield port
            if len(claimed) > _CLAIMS:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, claimed.popleft())


_free = _free_ports()


def _claim(file: BinaryIO, port: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _unused(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        try:
            udp.bind(("", port))
            tcp.bind(("", port))
        except OSError:
            return False
    return True
