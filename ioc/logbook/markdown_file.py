"""A Markdown file that grows by one section for each entry.

Invisible comments with the id enclose each section, so that a section that a kill cut off is recognised and written
again as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ioc.errors import PeerError, PeerTimeout
from ioc.logbook.entries import Entry, as_markdown, escaped
from ioc.logbook.spool import Waiting
from ioc.topology.schema import Logbook

Result = TypeVar("Result")
_SECONDS = 20.0
_TAIL = 1024 * 1024
"""Bytes at the end in which an entry is searched: far more than the longest one."""


class MarkdownFile:
    """One file; pictures are written into a folder beside it."""

    def __init__(self, topology: Logbook, threads: Executor) -> None:
        self._path = Path(topology.file or "")
        self._threads = threads

    @property
    def _pictures(self) -> Path:
        return self._path.with_name(f"{self._path.name}-plots")

    def body(self, entry: Entry, picture: str) -> str:
        return as_markdown(entry, picture and quote(f"{self._pictures.name}/{picture}"))

    async def has(self, entry: Waiting) -> bool:
        return await self._in_thread(partial(self._has, entry))

    async def add(self, entry: Waiting, picture: bytes | None) -> None:
        await self._in_thread(partial(self._add, entry, picture))

    async def _in_thread(self, do: Callable[[], Result]) -> Result:
        try:
            async with asyncio.timeout(_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, do)
        except TimeoutError:  # an OSError, too
            raise PeerTimeout(f"{self._path} could not be written within {_SECONDS:g} s") from None
        except OSError as error:
            raise PeerError(f"{self._path} cannot be written: {error.strerror}") from None

    def _has(self, entry: Waiting) -> bool:
        begin, end = _marks(entry.id)
        with _opened(self._path) as file:
            at = max(0, os.fstat(file).st_size - _TAIL)
            tail = os.pread(file, _TAIL, at)
            if end in tail:
                return True
            cut = tail.rfind(begin)
            if cut >= 0 and _section(entry).startswith(tail[cut:]):  # else somebody has written behind it
                os.ftruncate(file, at + cut)
            return False

    def _add(self, entry: Waiting, picture: bytes | None) -> None:
        if picture is not None:
            self._pictures.mkdir(exist_ok=True)
            (self._pictures / entry.picture).write_bytes(picture)
        section = _section(entry)
        with _opened(self._path) as file:
            size = os.fstat(file).st_size
            try:
                _write(file, section)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise


def _section(entry: Waiting) -> bytes:
    begin, end = _marks(entry.id)
    return b"".join([begin, f"\n\n## {escaped(entry.title)}\n\n{entry.body}\n".encode(), end, b"\n\n"])


def _marks(identity: str) -> tuple[bytes, bytes]:
    return f"<!-- attpc-ioc {identity} -->".encode(), f"<!-- end of {identity} -->".encode()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@contextlib.contextmanager
def _opened(path: Path) -> Generator[int]:
    # Without O_NONBLOCK, opening a pipe in place of the file would block the thread for ever.
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)
