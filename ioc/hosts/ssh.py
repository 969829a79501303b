"""A machine reached by SSH: scripts over a session, files over SFTP.

Everything on a host shares one connection (`ioc.hosts.ssh_connection`), which allows few sessions at a time
(``MaxSessions`` in sshd_config, 10 by default). A session is either a script, which ends with it, or SFTP, which one
thread at a time may use. An SFTP session belongs to

* a thread, while that is within `SshTransport._sftp`; afterwards the next thread in the queue gets it as it is, because
  opening another one takes far longer than most operations over it;
* the idle list otherwise, until another thread takes it, a thread waits for a session, or the next script finds it
  unused for `IDLE_SECONDS`.

`Sessions` counts the open ones. The first refusal shows how many the server allows; from then on threads queue for a
session, because a filing that uses session after session must not delay the regular look at the routers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import paramiko

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.sftp import SftpSession
from ioc.hosts.ssh_connection import RefusedSessionError, SshConnection, end, lost
from ioc.hosts.transport import (
    END_SECONDS,
    ENVIRONMENT,
    OUTPUT_LIMIT,
    CannotRenameError,
    Entry,
    entry_of,
    fed_to_sh,
    partial,
    reason,
)
from ioc.topology.schema import Ssh

IDLE_SECONDS = 10.0
"""How long an unused SFTP session is kept; each is a process on the host."""
REFUSED_PAUSE = 0.02
"""Seconds that a server gets to notice the end of a session before the next request."""


@dataclass(eq=False)
class _Turn:
    """A thread that waits for a session."""

    takes_sftp: bool
    """It can use an SFTP session that another thread no longer needs."""
    come: threading.Event = field(default_factory=threading.Event)
    sftp: SftpSession | None = None
    """That session; None: one may be opened."""


class Sessions:
    """Counts the open sessions and learns from refusals how many the server allows; first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._limit = 0
        """0: not known yet."""
        self._waiting: deque[_Turn] = deque()

    def enter(self, seconds: float, make_room: Callable[[], None], *, takes_sftp: bool = False) -> _Turn | None:
        """Wait for permission to open one, or for an SFTP session that is passed on; None if neither came in time.

        `make_room` is called if none is free; it ends unused ones.
        """
        turn = _Turn(takes_sftp)
        with self._lock:
            self._waiting.append(turn)
            self._permit()
        if not turn.come.is_set():
            make_room()
        if not turn.come.wait(seconds):
            with self._lock:
                if not turn.come.is_set():
                    self._waiting.remove(turn)
                    return None
        return turn

    def pass_on(self, sftp: SftpSession) -> bool:
        """Give a session to who waits longest; False if nobody waits, or that one cannot use it."""
        with self._lock:
            if not self._waiting or not self._waiting[0].takes_sftp:
                return False
            turn = self._waiting.popleft()
            turn.sftp = sftp
            turn.come.set()
            return True

    @property
    def waited_for(self) -> bool:
        return bool(self._waiting)

    def leave(self, *, refused: bool = False) -> None:
        """A session has ended or could not be opened; `refused`: because the server allows no more."""
        with self._lock:
            self._open -= 1
            if refused:
                self._limit = max(1, self._open)
            self._permit()

    def _permit(self) -> None:
        while self._waiting and (not self._limit or self._open < self._limit):
            self._open += 1
            self._waiting.popleft().come.set()


class SshProgram:
    """`ioc.hosts.transport.Program` in a session of its own."""

    def __init__(self, address: str, channel: paramiko.Channel, leave: Callable[[], None]) -> None:
        self._address = address
        self._channel = channel
        self._leave = leave

    def read(self, seconds: float) -> bytes | None:
        self._channel.settimeout(seconds)
        try:
            piece = self._channel.recv(65536)
        except TimeoutError:
            piece = None
        if not piece and self._channel.exit_status == -1:
            transport = self._channel.get_transport()
            if not transport.is_active():
                raise lost(self._address, transport.get_exception() or EOFError("it was closed"))
        return piece

    def status(self) -> int | None:
        return self._channel.exit_status if self._channel.status_event.is_set() else None

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
            self._channel.status_event.wait(END_SECONDS)
        end(self._channel)
        self._leave()


class SshTransport:
    """`ioc.hosts.transport.Transport` over one SSH connection."""

    def __init__(self, address: str, settings: Ssh, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._connection = SshConnection(address, settings, timeout)
        self._sessions = Sessions()
        self._idle: list[tuple[SftpSession, float]] = []
        """Unused sessions, and since when."""
        self._lock = threading.Lock()
        self._home: bytes | None = None
        self._checked: paramiko.Transport | None = None

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        self._end_idle(IDLE_SECONDS)
        deadline = time.monotonic() + timeout
        channel = self._open_channel(takes_sftp=False)
        assert isinstance(channel, paramiko.Channel)
        try:
            channel.settimeout(timeout)
            # The words must mean the same in every login shell, including csh and fish.
            environment = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
            channel.exec_command(f'exec /usr/bin/env -i HOME="$HOME" {environment} /bin/sh -s')
            self._feed(channel, fed_to_sh(script, arguments))
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
            raise PeerTimeout(f"a command on {self._address} did not end within {timeout:g} s") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise lost(self._address, error) from None
        finally:
            end(channel)
            self._sessions.leave()

    def start(self, script: str, arguments: Sequence[bytes]) -> SshProgram:
        channel = self._open_channel(takes_sftp=False)
        assert isinstance(channel, paramiko.Channel)
        program = SshProgram(self._address, channel, self._sessions.leave)
        try:
            channel.settimeout(self._timeout)
            channel.exec_command("exec /bin/sh -s")  # means the same in every login shell
            self._feed(channel, fed_to_sh(script, arguments))
        except TimeoutError:
            program.close()
            raise PeerTimeout(f"{self._address} did not start a command within {self._timeout:g} s") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            program.close()
            raise lost(self._address, error) from None
        return program

    def _feed(self, channel: paramiko.Channel, script: bytes) -> None:
        """Send a script. If the command ended without reading it, its output says why."""
        try:
            channel.sendall(script)
        except TimeoutError:
            raise
        except OSError:
            self._check_alive(channel)

    def _check_alive(self, channel: paramiko.Channel) -> None:
        """Distinguish the end of an output from the end of the connection, which look the same."""
        transport = channel.get_transport()
        if not transport.is_active():
            raise transport.get_exception() or EOFError("it was closed")

    def check_files(self) -> None:
        # Without SFTP nothing can be filed: that must be known before a run starts, not at its end.
        if self._checked is not self._connection.transport:
            with self._sftp(b".") as sftp:
                if sftp.read_only():
                    raise PeerError(
                        f"SFTP on {self._address} is read-only: its sftp-server must run without -R (Subsystem sftp "
                        "in sshd_config), or nothing can be filed"
                    )
                self._checked = self._connection.transport

    def home(self) -> bytes:
        if self._home is None:
            self._home = self.real_path(b".")
        return self._home

    def real_path(self, path: bytes) -> bytes:
        with self._sftp(path) as sftp:
            return sftp.real_path(path)

    def list_directory(self, directory: bytes) -> list[Entry]:
        with self._sftp(directory) as sftp:
            return sftp.entries(directory)

    def look(self, path: bytes) -> Entry:
        with self._sftp(path) as sftp:
            attributes = sftp.stat(path)
        name = path.rpartition(b"/")[2]
        return entry_of(name, attributes.st_mode or 0, attributes.st_size or 0, attributes.st_mtime or 0)

    def read_end(self, path: bytes, limit: int) -> tuple[bytes, bool]:
        with self._sftp(path) as sftp, sftp.open(path, "rb") as file:
            size = file.stat().st_size or 0
            file.seek(max(0, size - limit))
            return file.read(min(size, limit)), size <= limit

    def read(self, path: bytes, size: int, take: Callable[[bytes], None]) -> None:
        with self._sftp(path) as sftp:
            sftp.read_file(path, size, take)

    def write(self, path: bytes, content: bytes) -> None:
        with self._sftp(path) as sftp, sftp.open(path, "wb") as file:
            file.set_pipelined(pipelined=True)
            file.write(content)

    def replace(self, path: bytes, content: bytes) -> None:
        unfinished = partial(path)
        with self._sftp(path) as sftp:
            # Not truncated: what an earlier connection still writes must not get into this one's file.
            with contextlib.suppress(FileNotFoundError):
                sftp.remove(unfinished)
            try:
                with sftp.open(unfinished, "wxb") as file:
                    file.write(content)
                    sftp.sync(file)
                sftp.posix_rename(unfinished, path)
            except OSError:
                if not sftp.closed:
                    with contextlib.suppress(OSError):
                        sftp.remove(unfinished)
                raise

    def make_directory(self, path: bytes) -> None:
        with self._sftp(path) as sftp:
            sftp.mkdir(path)

    def move(self, source: bytes, target: bytes) -> None:
        with self._sftp(source) as sftp:
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
        with self._sftp(path) as sftp:
            sftp.remove(path)

    def drop(self) -> None:
        self._connection.drop()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _sftp(self, path: bytes) -> Generator[SftpSession]:
        """Lend an SFTP session to one thread, for `path`; more are opened as needed."""
        sftp = self._take()
        try:
            yield sftp
        except TimeoutError:
            end(sftp)  # a late answer would be mistaken for that of the next request
            raise PeerTimeout(f"{self._address} did not answer SFTP within {self._timeout:g} s") from None
        except (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError) as error:
            if isinstance(error, OSError) and not sftp.closed:
                error.filename = path
                raise
            end(sftp)
            raise lost(self._address, error) from None
        finally:
            self._give_back(sftp)

    def _take(self) -> SftpSession:
        while True:
            with self._lock:
                sftp = self._idle.pop()[0] if self._idle else None
            if sftp is None:
                return self._open_sftp()
            if not sftp.closed:
                return sftp
            self._sessions.leave()

    def _give_back(self, sftp: SftpSession) -> None:
        if not sftp.closed and self._sessions.pass_on(sftp):
            return
        with self._lock:
            self._idle.append((sftp, time.monotonic()))
        if sftp.closed or self._sessions.waited_for:
            self._end_idle()

    def _end_idle(self, seconds: float = 0.0) -> None:
        since = time.monotonic() - seconds
        with self._lock:
            old = [sftp for sftp, at in self._idle if at <= since or sftp.closed]
            self._idle = [(sftp, at) for sftp, at in self._idle if sftp not in old]
        for sftp in old:
            end(sftp)
            self._sessions.leave()

    def _open_sftp(self) -> SftpSession:
        channel = self._open_channel(takes_sftp=True)
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
                f"SFTP on {self._address} begins with something else ({reason(problem)}): most likely a login script "
                "of the user prints text (.bashrc, .cshrc, .zshenv). Change it so that 'ssh HOST true' prints nothing"
            )
        except (paramiko.SSHException, EOFError, OSError) as problem:
            # Which error a closed channel raises depends on who is faster; the words must be the same each time.
            closed = channel.closed or channel.eof_received
            why = "the server closed it" if closed else reason(problem)
            error = PeerError(
                f"SFTP on {self._address} cannot be started ({why}): its sshd must offer SFTP (Subsystem "
                "sftp in sshd_config), and no login script may end the shell"
            )
        end(channel)
        self._sessions.leave()
        raise error

    def _open_channel(self, *, takes_sftp: bool) -> paramiko.Channel | SftpSession:
        """Open a session, which the caller must `leave`, or get the SFTP session that another thread no longer needs.

        Waits for its turn if the server allows only few.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            seconds = max(0.0, deadline - time.monotonic())
            turn = self._sessions.enter(seconds, self._end_idle, takes_sftp=takes_sftp)
            if turn is None:
                raise PeerTimeout(f"{self._address} had no SSH session free within {self._timeout:g} s")
            if turn.sftp is not None:
                return turn.sftp
            try:
                return self._connection.open_channel()
            except RefusedSessionError:
                self._sessions.leave(refused=True)
                self._end_idle()
                if time.monotonic() + REFUSED_PAUSE >= deadline:
                    raise
                time.sleep(REFUSED_PAUSE)
            except BaseException:
                self._sessions.leave()
                raise
