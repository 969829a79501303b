"""``attpc-ioc web`` as a process, and a client that reads its stream."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from tests.epics import Epics

COMMAND = [sys.executable, "-c", "from ioc.cli.main import main; main()", "web"]


class Answer:
    """What the server answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.text = self.body.decode(errors="replace")


class Web:
    """A running server of the page. A context manager that ends it, if need be by force."""

    def __init__(self, topology: Path, epics: Epics, *options: str) -> None:
        self.command = [*COMMAND, "--topology", str(topology), "--port", "0", *options]
        self.environment = epics.environment()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " is at http://" in line, line + self.process.communicate()[1]
        self.address = line.split(" is at ")[1].split()[0].rstrip("/")
        self.port = int(self.address.rpartition(":")[2])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str, float]:
        """End it by a signal: exit status, what it said, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err, time.monotonic() - began

    def ask(self, page: str, method: str = "GET", headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        """Ask for a page; `query` is appended."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, page + ("?" + urlencode(query) if query else ""), headers=dict(headers or {}))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    async def viewer(self, headers: str = "Host: 127.0.0.1\r\n") -> Viewer:
        """A browser that reads the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        writer.write(f"GET /events HTTP/1.1\r\n{headers}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, head
        return Viewer(reader, writer)


class Viewer:
    """Reads the events of one stream and keeps what they say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.values: dict[str, list[Any]] = {}
        self.event: dict[str, Any] = {}
        self.times: list[float] = []
        """Monotonic times of the events."""

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Read events until a condition is true."""
        try:
            async with asyncio.timeout(seconds):
                while not self.event or not condition():
                    await self.read()
        except TimeoutError:
            raise AssertionError(f"not true within {seconds} s: {self.event.get('sentence')}") from None

    async def read(self) -> None:
        """Read one event."""
        line = b""
        while not line.startswith(b"data: "):
            line = await self._reader.readuntil(b"\n")
        self.times.append(time.monotonic())
        self.event = json.loads(line[6:])
        self.values.update(self.event["set"])

    def text(self, key: str) -> str:
        return str(self.values.get(key, [""])[0])

    def mark(self, key: str) -> str:
        return str(self.values.get(key, ["", ""])[1])

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
