"""A simulated ``dataRouter``, run as a process with that name: it writes received data to .graw files.

Standard library only, run by path as a script with ``-I -S``, so that twelve of them start at once. The first four
arguments are those of the real program: control address and port, data address and port, flow type, ``FrameStorage``.
The others are the log file, the maximum bytes of a .graw file, and the maximum bytes in total. Port 0 means any free
port; it prints both ports when it listens.

Like the real one, it accepts one source at a time: while that is connected, it does not listen for data, only on its
control port. When the source resets the connection (TCP RST), it never listens for data again. With flow type ICE, it
accepts any number of sources and always listens.

It reads commands from stdin (``silence``, ``speak``, ``refuse``, ``accept``), answers each with a line, and ends when
stdin closes.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_CHUNK = 1 << 16
_PRIMARY_HEADER = 8
_COBO_TYPES = frozenset({1, 2})
_MUTANT_TYPE = 8


def time_stamp() -> str:
    """Local time with milliseconds, in the format of .graw file names."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"


def take_frames(pending: bytearray) -> Iterator[bytes]:
    """Remove the complete frames from the front of `pending`; after an impossible size, drop everything."""
    while len(pending) >= _PRIMARY_HEADER:
        size = int.from_bytes(pending[1:4], "big") << (pending[0] & 0x0F)
        if size < _PRIMARY_HEADER:
            pending.clear()
        if len(pending) < max(size, 1):
            return
        yield bytes(pending[:size])
        del pending[:size]


def _origin(frame: bytes) -> tuple[str, int]:
    """The sender of a frame, as in its file name, and its event number; no sender for a type that is not stored."""
    frame_type = int.from_bytes(frame[5:7], "big")
    if frame_type in _COBO_TYPES and len(frame) > 27:
        return f"CoBo{frame[26]}_AsAd{frame[27]}", int.from_bytes(frame[22:26], "big")
    if frame_type == _MUTANT_TYPE and len(frame) >= 18:
        return "MuTanT", int.from_bytes(frame[14:18], "big")
    return "", 0


class FrameStorage:
    """A file per AsAd, opened, appended to and closed for each frame."""

    def __init__(self, file_size: int, now: Callable[[], str] = time_stamp) -> None:
        self._file_size = file_size
        self._now = now
        self._stamp = ""  # shared by all AsAds, so the time of later files may differ from that of the first
        self._files: dict[str, tuple[Path, int, int]] = {}
        """For each AsAd: its file, the index in the file name, and the last event number."""

    def store(self, frame: bytes) -> None:
        """Append a frame to the file of its AsAd, or to a new file if the event number did not increase."""
        origin, event = _origin(frame)
        if not origin:
            return
        if origin not in self._files or event <= self._files[origin][2]:
            self._stamp = self._now()
            self._begin_file(origin, 0, event)
        path, index, _ = self._files[origin]
        self._files[origin] = path, index, event
        with path.open("ab") as file:  # created again if it was moved away
            file.write(frame)
            size = file.tell()
        if size > self._file_size:
            self._begin_file(origin, index + 1, event)

    def _begin_file(self, origin: str, index: int, event: int) -> None:
        path = Path(f"{origin}_{self._stamp}_{index:04d}.graw")
        path.write_bytes(b"")
        self._files[origin] = path, index, event


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)), backlog=0)


class Router:
    """Serves one source after the other until stdin ends."""

    def __init__(self, arguments: list[str]) -> None:
        control, self._data, flow, _, log_path, file_size, budget = arguments
        self._many = flow == "ICE"
        self._log_path = Path(log_path)
        self._budget = int(budget)
        self._silent = self._refusing = self._deaf = False
        self._storage = FrameStorage(int(file_size))
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ, self._take_commands)
        self._control = _listen(control)
        self._selector.register(self._control, selectors.EVENT_READ, self._accept_control)
        self._listener: socket.socket | None = None
        self._sources: dict[socket.socket, bytearray] = {}
        """Incomplete frame of each source."""
        self._listen_or_not()

    def run(self) -> None:
        """Print the control and the data port, and serve until stdin ends."""
        port = self._data.rpartition(":")[2]
        os.write(1, f"{self._control.getsockname()[1]} {port}\n".encode())
        self._log(f"listening for data on port {port}, writing to {Path.cwd()}")
        while 0 in self._selector.get_map():
            for key, _ in self._selector.select():
                key.data()
        self._log("ended")

    def _listen_or_not(self) -> None:
        """Listen for data, unless a source is connected or none is wanted."""
        wanted = (self._many or not self._sources) and not self._refusing and not self._deaf
        if wanted and self._listener is None:
            self._listener = _listen(self._data)
            self._data = "{}:{}".format(*self._listener.getsockname())
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        elif not wanted and self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept_control(self) -> None:
        self._control.accept()[0].close()  # the real one has an Ice interface here, which is not simulated

    def _accept(self) -> None:
        if self._listener is not None:  # or it got a command to refuse in the same turn
            source, peer = self._listener.accept()
            self._sources[source] = bytearray()
            self._selector.register(source, selectors.EVENT_READ, lambda: self._receive(source))
            self._listen_or_not()
            self._log(f"data sender connected from {peer[0]}:{peer[1]}")

    def _receive(self, source: socket.socket) -> None:
        try:
            data = source.recv(_CHUNK)
        except OSError as error:
            data = b""
            self._deaf = not self._many
            self._log(f"failed to receive data: {error.strerror}")
        pending = self._sources[source]
        pending += data
        for frame in take_frames(pending):
            self._store(frame)
        if not data:
            self._selector.unregister(source)
            del self._sources[source]
            self._listen_or_not()  # before closing, so that a source waiting for the close can connect
            source.close()
            self._log("data sender disconnected")

    def _store(self, frame: bytes) -> None:
        if self._silent or self._budget < 0:
            return
        self._budget -= len(frame)
        try:
            if self._budget < 0:
                self._log("the disk budget of the simulation is used up: data are dropped from now on")
            else:
                self._storage.store(frame)
        except OSError as error:
            self._log(f"data lost: {error}")

    def _take_commands(self) -> None:
        commands = os.read(0, _CHUNK)
        if not commands:
            self._selector.unregister(0)
        for command in commands.split():
            if command in {b"silence", b"speak"}:
                self._silent = command == b"silence"
            else:
                self._refusing = command == b"refuse"
                self._listen_or_not()
            os.write(1, b"ok\n")

    def _log(self, text: str) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(f"{time_stamp()} dataRouter: {text}\n")


if __name__ == "__main__":
    Router(sys.argv[1:]).run()
