"""A machine reached by SSH: scripts over a session, files over SFTP."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Sequence

import paramiko

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.sftp import SftpSession
from ioc.hosts.ssh import SshConnection, reason
from ioc.hosts.transport import OUTPUT_LIMIT, CannotRenameError, Entry, entry_of, fed_to_sh
from ioc.topology.schema import Ssh


class SshTransport:
    """`ioc.hosts.transport.Transport` over one SSH connection."""

    def __init__(self, address: str, settings: Ssh, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._connection = SshConnection(address, settings, timeout)
        self._idle: list[SftpSession] = []
        self._lock = threading.Lock()
        self._home: bytes | None = None

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        channel = self._connection.open_channel()
        try:
            channel.settimeout(timeout)
            channel.exec_command("exec /bin/sh -s")
            channel.sendall(fed_to_sh(script, arguments))
            channel.shutdown_write()
            output = bytearray()
            while True:
                channel.settimeout(max(0.01, deadline - time.monotonic()))
                piece = channel.recv(65536)
                if not piece:
                    return bytes(output)
                output += piece
                if len(output) > OUTPUT_LIMIT:
                    raise PeerError(f"a command on {self._address} wrote more than {OUTPUT_LIMIT} bytes")
        except TimeoutError:
            raise PeerTimeout(f"{self._address} did not end a command within {timeout:g} s") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise PeerError(
                f"the SSH connection to {self._address} was lost during a command: {reason(error)}"
            ) from None
        finally:
            channel.close()

    def home(self) -> bytes:
        if self._home is None:
            with self._session(b".") as sftp:
                self._home = sftp.normalize(".").encode()
        return self._home

    def list_directory(self, directory: bytes) -> list[Entry]:
        with self._session(directory) as sftp:
            return sftp.entries(directory)

    def look(self, path: bytes) -> Entry:
        with self._session(path) as sftp:
            attributes = sftp.stat(path)
        return entry_of(path.rpartition(b"/")[2], attributes.st_mode or 0, attributes.st_size or 0)

    def read_end(self, path: bytes, limit: int) -> tuple[bytes, bool]:
        with self._session(path) as sftp, sftp.open(path, "rb") as file:
            size = file.stat().st_size or 0
            file.seek(max(0, size - limit))
            return file.read(min(size, limit)), size <= limit

    def write(self, path: bytes, content: bytes) -> None:
        with self._session(path) as sftp, sftp.open(path, "wb") as file:
            file.set_pipelined(pipelined=True)
            file.write(content)

    def make_directory(self, path: bytes) -> None:
        with self._session(path) as sftp:
            sftp.mkdir(path)

    def move(self, source: bytes, target: bytes) -> None:
        with self._session(source) as sftp:
            try:
                sftp.rename(source, target)
            except OSError as error:
                # SFTP has one code for all failures that are neither "no such file" nor "permission denied".
                if error.errno is not None or sftp.closed:
                    raise
                with contextlib.suppress(FileNotFoundError):
                    sftp.lstat(target)
                    raise FileExistsError(str(error)) from None
                raise CannotRenameError(str(error)) from None

    def remove(self, path: bytes) -> None:
        with self._session(path) as sftp:
            sftp.remove(path)

    def drop(self) -> None:
        self._connection.drop()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _session(self, path: bytes) -> Generator[SftpSession]:
        """Lend an SFTP session to one thread, for `path`; there are as many as are needed at the same time."""
        sftp = self._take()
        try:
            yield sftp
        except TimeoutError:
            sftp.close()  # an answer that comes late would be taken for that of the next request
            raise PeerTimeout(f"{self._address} did not answer SFTP within {self._timeout:g} s") from None
        except (paramiko.SSHException, paramiko.SFTPError, EOFError) as error:
            sftp.close()
            raise PeerError(f"the SSH connection to {self._address} was lost: {reason(error)}") from None
        except OSError as error:
            if sftp.closed:
                raise PeerError(f"the SSH connection to {self._address} was lost: {reason(error)}") from None
            error.filename = path
            raise
        finally:
            if not sftp.closed:
                with self._lock:
                    self._idle.append(sftp)

    def _take(self) -> SftpSession:
        while True:
            with self._lock:
                sftp = self._idle.pop() if self._idle else None
            if sftp is None:
                return self._open_session()
            if not sftp.closed:
                return sftp

    def _open_session(self) -> SftpSession:
        channel = self._connection.open_channel()
        try:
            channel.settimeout(self._timeout)
            channel.invoke_subsystem("sftp")
            return SftpSession(channel)
        except TimeoutError:
            channel.close()
            raise PeerTimeout(f"{self._address} did not begin SFTP within {self._timeout:g} s") from None
        except (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError) as error:
            channel.close()
            raise PeerError(
                f"{self._address} must offer SFTP (Subsystem sftp in sshd_config): {reason(error)}"
            ) from None
