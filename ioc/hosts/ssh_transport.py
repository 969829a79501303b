"""A machine reached by SSH: scripts over a session, files over SFTP."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Sequence

import paramiko

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.sessions import Sessions, pause
from ioc.hosts.sftp import SftpSession
from ioc.hosts.ssh import RefusedSessionError, SshConnection
from ioc.hosts.transport import ENVIRONMENT, OUTPUT_LIMIT, CannotRenameError, Entry, entry_of, fed_to_sh, reason
from ioc.topology.schema import Ssh

IDLE_SECONDS = 10.0
"""How long an SFTP session that nobody uses is kept; each is a process on the host."""


class SshTransport:
    """`ioc.hosts.transport.Transport` over one SSH connection."""

    def __init__(self, address: str, settings: Ssh, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._connection = SshConnection(address, settings, timeout)
        self._sessions = Sessions[SftpSession]()
        self._idle: list[tuple[SftpSession, float]] = []
        """Sessions that nobody uses, and since when."""
        self._lock = threading.Lock()
        self._home: bytes | None = None
        self._checked: paramiko.Transport | None = None

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        self._end_idle(IDLE_SECONDS)
        deadline = time.monotonic() + timeout
        channel = self._open_channel(any_session=False)
        assert isinstance(channel, paramiko.Channel)
        try:
            channel.settimeout(timeout)
            # The words must mean the same in every login shell, csh and fish too.
            environment = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
            channel.exec_command(f'exec /usr/bin/env -i HOME="$HOME" {environment} /bin/sh -s')
            channel.sendall(fed_to_sh(script, arguments))
            channel.shutdown_write()
            output = bytearray()
            while True:
                channel.settimeout(max(0.01, deadline - time.monotonic()))
                piece = channel.recv(65536)
                if not piece:
                    self._check_alive(channel)
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
            self._sessions.leave()

    def _check_alive(self, channel: paramiko.Channel) -> None:
        """Tell the end of an output from that of the connection, which look the same."""
        transport = channel.get_transport()
        if not transport.is_active():
            raise transport.get_exception() or EOFError("it was closed")

    def check_files(self) -> None:
        # Without SFTP nothing can be filed: that must be known before a run is taken, not at its end.
        if self._checked is not self._connection.transport:
            with self._session(b"."):
                self._checked = self._connection.transport

    def home(self) -> bytes:
        if self._home is None:
            self._home = self.real_path(b".")
        return self._home

    def real_path(self, path: bytes) -> bytes:
        with self._session(path) as sftp:
            return sftp.real_path(path)

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
                    raise FileExistsError(reason(error)) from None
                raise CannotRenameError(reason(error)) from None

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
            self._give_back(sftp)

    def _take(self) -> SftpSession:
        while True:
            with self._lock:
                sftp = self._idle.pop()[0] if self._idle else None
            if sftp is None:
                return self._open_session()
            if not sftp.closed:
                return sftp
            self._sessions.leave()

    def _give_back(self, sftp: SftpSession) -> None:
        if sftp.closed:
            self._sessions.leave()
        elif not self._sessions.pass_on(sftp):
            with self._lock:
                self._idle.append((sftp, time.monotonic()))
            if self._sessions.waited_for:
                self._end_idle()

    def _end_idle(self, seconds: float = 0.0) -> None:
        """End the sessions that nobody has used for so long."""
        since = time.monotonic() - seconds
        with self._lock:
            old = [sftp for sftp, at in self._idle if at <= since or sftp.closed]
            self._idle = [(sftp, at) for sftp, at in self._idle if sftp not in old]
        for sftp in old:
            sftp.close()
            self._sessions.leave()

    def _open_session(self) -> SftpSession:
        channel = self._open_channel(any_session=True)
        if isinstance(channel, SftpSession):
            return channel
        try:
            channel.settimeout(self._timeout)
            channel.invoke_subsystem("sftp")
            return SftpSession(channel)
        except TimeoutError:
            error: PeerError = PeerTimeout(f"{self._address} did not begin SFTP within {self._timeout:g} s")
        except paramiko.SFTPError as problem:
            error = PeerError(
                f"files on {self._address} cannot be handled, for SFTP does not begin as it must ({reason(problem)}): "
                "most likely a login script of the user prints text (.bashrc, .cshrc, .zshenv); it must be silent "
                "where nobody types, so that 'ssh HOST true' prints nothing"
            )
        except (paramiko.SSHException, EOFError, OSError) as problem:
            error = PeerError(
                f"files on {self._address} cannot be handled: its sshd must offer SFTP (Subsystem sftp in sshd_config) "
                f"and no login script may end the shell ({reason(problem)})"
            )
        channel.close()
        self._sessions.leave()
        raise error

    def _open_channel(self, *, any_session: bool) -> paramiko.Channel | SftpSession:
        """Open a session, which the caller must `leave`, or get one of SFTP that another thread has done with.

        Waits for its turn where the server allows few.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            permitted, sftp = self._sessions.enter(
                max(0.0, deadline - time.monotonic()), self._end_idle, any_session=any_session
            )
            if not permitted:
                raise PeerTimeout(f"{self._address} had no SSH session free within {self._timeout:g} s")
            if sftp is not None:
                return sftp
            try:
                return self._connection.open_channel()
            except RefusedSessionError:
                self._sessions.refused()
                self._end_idle()
                if not pause(deadline):
                    raise
            except BaseException:
                self._sessions.leave()
                raise
