"""This machine, for ``ssh: local``."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.transport import (
    END_SECONDS,
    ENVIRONMENT,
    OUTPUT_LIMIT,
    CannotRenameError,
    Entry,
    cut_short,
    entry_of,
    fed_to_sh,
    partial,
    reason,
)

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_PIECE = 1 << 20


class LocalProgram:
    """`ioc.hosts.transport.Program` on this machine."""

    def __init__(self, script: bytes) -> None:
        self._shell = _start_shell()
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._input, self._output = self._shell.stdin, self._shell.stdout
        self._poll = select.poll()  # unlike select(), it knows descriptors above 1023
        self._poll.register(self._output, select.POLLIN)
        try:
            self._input.write(script)
            self._input.flush()
        except OSError:
            self.close()
            raise

    def read(self, seconds: float) -> bytes | None:
        return os.read(self._output.fileno(), 65536) if self._poll.poll(seconds * 1000) else None

    def status(self) -> int | None:
        return self._shell.poll()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(END_SECONDS)
        _kill_group(self._shell)
        self._shell.wait()
        self._output.close()


class LocalTransport:
    """`ioc.hosts.transport.Transport` on this machine."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        with self._lock:
            if self._closed:
                raise PeerError("this machine is no longer used: the program is closing")
            try:
                shell = _start_shell({**ENVIRONMENT, "HOME": str(Path.home())})
            except OSError as error:
                raise PeerError(f"this machine cannot start /bin/sh: {error}") from None
            self._running.add(shell)
        try:
            output, _ = shell.communicate(fed_to_sh(script, arguments), timeout)
        except subprocess.TimeoutExpired:
            raise PeerTimeout(f"a command on this machine did not end within {timeout:g} s") from None
        finally:
            _kill_group(shell)
            shell.communicate()
            with self._lock:
                self._running.discard(shell)
        if len(output) > OUTPUT_LIMIT:
            raise PeerError(f"a command on this machine wrote more than {OUTPUT_LIMIT} bytes")
        return output

    def start(self, script: str, arguments: Sequence[bytes]) -> LocalProgram:
        try:
            return LocalProgram(fed_to_sh(script, arguments))
        except OSError as error:
            raise PeerError(f"this machine cannot start /bin/sh: {reason(error)}") from None

    def check_files(self) -> None:
        """They can be handled."""

    def home(self) -> bytes:
        return os.fsencode(Path.home())

    def list_directory(self, directory: bytes) -> list[Entry]:
        entries: list[Entry] = []
        with os.scandir(directory) as found:
            for item in found:
                with contextlib.suppress(FileNotFoundError):
                    status = item.stat(follow_symlinks=False)
                    entries.append(entry_of(item.name, status.st_mode, status.st_size))
        return entries

    def real_path(self, path: bytes) -> bytes:
        return os.path.realpath(path, strict=True)

    def look(self, path: bytes) -> Entry:
        status = os.stat(path)  # noqa: PTH116 - paths are bytes here
        name = os.path.basename(path)  # noqa: PTH119
        return entry_of(name, status.st_mode, status.st_size, int(status.st_mtime))

    def read_end(self, path: bytes, limit: int) -> tuple[bytes, bool]:
        # Without O_NONBLOCK, opening a pipe in place of the file would block the thread for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - limit))
            return file.read(limit), size <= limit

    def read(self, path: bytes, size: int, take: Callable[[bytes], None]) -> None:
        left = size
        with open(path, "rb") as file:  # noqa: PTH123
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise cut_short(path, size, left)
                take(piece)
                left -= len(piece)

    def write(self, path: bytes, content: bytes) -> None:
        _write(path, "wb", content)

    def replace(self, path: bytes, content: bytes) -> None:
        unfinished = partial(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)  # noqa: PTH108
        try:
            _write(unfinished, "xb", content)
            os.rename(unfinished, path)  # noqa: PTH104
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)  # noqa: PTH108
            raise
        directory = os.open(path.rpartition(b"/")[0], os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def make_directory(self, path: bytes) -> None:
        os.mkdir(path)  # noqa: PTH102

    def move(self, source: bytes, target: bytes) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise CannotRenameError(error.errno, error.strerror) from None
            if error.errno not in _NO_HARD_LINKS:
                raise
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            os.rename(source, target)  # noqa: PTH104
        else:
            os.unlink(source)  # noqa: PTH108

    def remove(self, path: bytes) -> None:
        os.unlink(path)  # noqa: PTH108

    def drop(self) -> None:
        """No effect: there is no connection, and a hanging call to the local file system cannot be interrupted."""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for shell in self._running:
                _kill_group(shell)


def _start_shell(environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _kill_group(shell: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(shell.pid, signal.SIGKILL)


def _write(path: bytes, mode: Literal["wb", "xb"], content: bytes) -> None:
    with open(path, mode) as file:  # noqa: PTH123 - paths are bytes here
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
