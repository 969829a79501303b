"""A simulated ``dataRouter``, run as a process of that name: takes data streams and writes .graw files where it stands.

Standard library only, run by path as a script with ``-I -S``, so that twelve of them start at once. Arguments: TCP port
(0: any), log file, bytes at which a .graw file is full, bytes it may write in all. It prints its port when it listens.
A stream is the id of the source, a line feed, and data until the end; each stream is a new file. On stdin it takes the
lines ``silence`` and ``speak``; when stdin ends, so does the process, since whoever started it is gone.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from pathlib import Path

_CHUNK = 1 << 16


def _time_stamp() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"


class GrawFiles:
    """The files of one stream: ``CoBo0_TIME_0000.graw``, ``…_0001.graw`` and so on, each up to `file_size` bytes."""

    def __init__(self, source: str, file_size: int) -> None:
        name = "".join(character for character in source if character.isalnum() or character in "_-.") or "source"
        self._stem = f"{name}_{_time_stamp()}"
        self._file_size = file_size
        self._index = 0
        self._room = 0
        self._file = -1

    def write(self, data: bytes) -> None:
        """Append, unbuffered, so that the size on disk is what was written."""
        while data:
            if self._room == 0:
                self._next_file()
            part, data = data[: self._room], data[self._room :]
            os.write(self._file, part)
            self._room -= len(part)

    def _next_file(self) -> None:
        self.close()
        path = Path(f"{self._stem}_{self._index:04d}.graw")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._index += 1
        self._room = self._file_size

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._room = 0


class Router:
    """Accepts streams and writes each to its files until stdin ends."""

    def __init__(self, port: int, log_path: Path, file_size: int, budget: int) -> None:
        self._log_path = log_path
        self._file_size = file_size
        self._budget = budget
        self._silent = False
        self._running = True
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(32)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, self._take_command)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until stdin ends."""
        self._log(f"listening on port {self.port}, writing to {Path.cwd()}")
        while self._running:
            for key, _ in self._selector.select():
                key.data()
        self._log("ended")

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        stream = Stream(connection)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive(stream))

    def _receive(self, stream: Stream) -> None:
        try:
            data = stream.connection.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(stream.connection)
            stream.close()
            self._log(f"data sender {stream.source or 'unknown'} disconnected")
            return
        payload = stream.payload(data)
        if stream.files is None and stream.source:
            stream.files = GrawFiles(stream.source, self._file_size)
            self._log(f"data sender {stream.source} connected")
        if stream.files is not None and payload and not self._silent and self._budget > 0:
            self._write(stream.files, payload[: self._budget])

    def _write(self, files: GrawFiles, payload: bytes) -> None:
        try:
            files.write(payload)
        except OSError as error:
            self._log(f"data lost: {error}")
            return
        self._budget -= len(payload)
        if self._budget <= 0:
            self._log("the disk budget of the simulation is used up: data are dropped from now on")

    def _take_command(self) -> None:
        command = os.read(0, _CHUNK)
        if not command:
            self._running = False
        for line in command.split():
            self._silent = line == b"silence"

    def _log(self, text: str) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(f"{_time_stamp()} dataRouter: {text}\n")


class Stream:
    """One connection from a data source."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.source = ""
        self.files: GrawFiles | None = None
        self._head = b""

    def payload(self, data: bytes) -> bytes:
        """What of `data` belongs into the file; the first line is the source's id."""
        if self.source:
            return data
        line, end, rest = (self._head + data).partition(b"\n")
        self._head = line
        if end:
            self.source = line.decode(errors="replace") or "unnamed"
        return rest

    def close(self) -> None:
        self.connection.close()
        if self.files is not None:
            self.files.close()


def main(port: str, log_path: str, file_size: str, budget: str) -> None:
    """Run one router; see the module's docstring."""
    router = Router(int(port), Path(log_path), int(file_size), int(budget))
    os.write(1, b"%d\n" % router.port)
    router.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
