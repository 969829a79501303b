"""One persistent SSH connection to a host.

It is made on demand, through jump hosts if necessary (ProxyJump). After a failure there is a pause before the next
attempt, during which every caller gets the same error at once. The pause is short if the host is unreachable, because
it may return at any moment. It gets longer each time if somebody has to act first (a key that is refused), because a
host may lock out a client that tries too often.

Any thread may use it, so three things are guarded: one thread connects while the others wait for it; channels are
opened one at a time, because paramiko keeps a single failure reason for all; and a thread that finds the connection
dead closes it, so that the next caller reconnects. Opening a channel shows whether the connection is alive: an SSH
server answers at once, however busy the commands on other channels are. Calls that hang nevertheless are ended by
`drop`, by keep-alives, and by the system (`SILENT_SECONDS`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import socket
import sys
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import paramiko
from paramiko.pkey import UnknownKeyType

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.known_hosts import HostKeys
from ioc.hosts.ssh_config import Endpoint, jump_settings, resolve
from ioc.hosts.transport import reason
from ioc.topology.schema import Ssh

KEEPALIVE_SECONDS = 15
CONNECT_SECONDS = 3.0
"""Time-out of one TCP connect: a host that comes back must not wait for an attempt that began long before."""
AWAY_PAUSE = 1.0
"""Seconds between attempts to reach an unreachable host."""
LONGEST_PAUSE = 30.0
"""Seconds between attempts if somebody has to act first: a host that counts failed logins may lock us out."""
SILENT_SECONDS = 10.0
"""The system closes a connection whose data are not acknowledged for this time."""

_AWAY = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT}
_TCP_RXT_CONNDROPTIME = 0x80
_LOG_CHANNEL = "ioc.hosts.paramiko"
# paramiko logs a traceback for each lost connection; the errors raised here explain what happened.
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL + 1)


class RefusedSessionError(PeerError):
    """The server allows no further session on this connection."""


class AwayError(PeerError):
    """The host cannot be reached; it may return at any moment."""


def lost(address: str, error: Exception) -> PeerError:
    return PeerError(f"the SSH connection to {address} was lost: {reason(error)}")


def end(
    session: paramiko.Channel | paramiko.SFTPClient | paramiko.SSHClient | paramiko.Transport | socket.socket,
) -> None:
    """Close it. Where this takes a packet that cannot be sent, it has ended with the connection."""
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        session.close()


class SshConnection:
    """The connection to one host; any thread may use it."""

    def __init__(self, address: str, settings: Ssh, timeout: float) -> None:
        self._address = address
        self._settings = settings
        self._timeout = timeout
        self._connecting = threading.Lock()
        self._opening = threading.Lock()
        self._clients: list[paramiko.SSHClient] = []
        self._failure = ""
        self._failures = 0
        self._retry_at = 0.0
        self._closed = False

    @property
    def transport(self) -> paramiko.Transport | None:
        clients = self._clients[-1:]
        return clients[0].get_transport() if clients else None

    def open_channel(self) -> paramiko.Channel:
        """Open a session on the connection, connecting first if there is none.

        Raises:
            PeerError: there is no connection; raised at once if the last attempt failed a short time ago.
        """
        transport = self._transport()
        if not self._opening.acquire(timeout=self._timeout):
            raise PeerTimeout(f"{self._address} did not open an SSH session within {self._timeout:g} s")
        try:
            return transport.open_session(timeout=self._timeout)
        except paramiko.ChannelException as error:
            raise RefusedSessionError(
                f"{self._address} refuses another SSH session (MaxSessions in its sshd_config): {error.text}"
            ) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            timed_out = transport.is_active()
            end(transport)
            if timed_out:
                raise PeerTimeout(f"{self._address} did not open an SSH session within {self._timeout:g} s") from None
            raise lost(self._address, error) from None
        finally:
            self._opening.release()

    def drop(self) -> None:
        """Close the connection, so that calls that hang in it fail; the next call reconnects."""
        for client in list(self._clients):
            end(client)

    def close(self) -> None:
        """End the connection and every channel on it."""
        self._closed = True
        self._end(list(self._clients))

    def _transport(self) -> paramiko.Transport:
        if not self._connecting.acquire(timeout=self._timeout):
            raise PeerTimeout(f"{self._address} could not be reached by SSH within {self._timeout:g} s")
        try:
            if self._closed:
                raise PeerError(f"the SSH connection to {self._address} is closed")
            if self._clients:
                transport = self._clients[-1].get_transport()
                if transport is not None and transport.is_active():
                    return transport
                self._end_clients()
            return self._reconnect()
        finally:
            self._connecting.release()

    def _reconnect(self) -> paramiko.Transport:
        if time.monotonic() < self._retry_at:
            # Without a countdown, because the text is compared with that of the previous attempt.
            raise PeerError(self._failure)
        try:
            transport = self._connect()
        except PeerError as error:
            self._end_clients()
            away = isinstance(error, AwayError | PeerTimeout)
            pause = AWAY_PAUSE if away else min(LONGEST_PAUSE, 2.0**self._failures)
            self._failure = str(error)
            self._failures = 0 if away else self._failures + 1
            self._retry_at = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads attempts
            raise
        self._failures = 0
        return transport

    def _connect(self) -> paramiko.Transport:
        """Connect to the host through its jump hosts, within the time-out."""
        deadline = time.monotonic() + self._timeout
        endpoint = resolve(self._address, self._settings)
        transport: paramiko.Transport | None = None
        for jump in endpoint.jumps:
            transport = self._log_in(resolve(*jump_settings(jump, self._settings)), transport, deadline)
        return self._log_in(endpoint, transport, deadline)

    def _log_in(self, endpoint: Endpoint, through: paramiko.Transport | None, deadline: float) -> paramiko.Transport:
        def left() -> float:
            return max(0.1, deadline - time.monotonic())

        client = paramiko.SSHClient()
        client.set_log_channel(_LOG_CHANNEL)
        keys = HostKeys(endpoint, add=self._settings.unknown_hosts == "add")
        client.set_missing_host_key_policy(keys)

        def transport_of(*arguments: Any, **options: Any) -> paramiko.Transport:
            made = paramiko.Transport(*arguments, **options)
            made.get_security_options().key_types = keys.in_order(made.get_security_options().key_types)
            return made

        with self._told(endpoint, deadline):
            place = (endpoint.host, endpoint.port)
            if through is None:
                stream = _connected(place, min(left(), CONNECT_SECONDS), self._timeout)
            else:
                stream = through.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=left())
            self._clients.append(client)
            try:
                client.connect(
                    endpoint.host,
                    endpoint.port,
                    endpoint.user,
                    sock=stream,
                    key_filename=list(endpoint.keys),  # pyright: ignore[reportArgumentType] - the stub forgets lists
                    look_for_keys=not endpoint.keys and not endpoint.only_these_keys,
                    allow_agent=not endpoint.only_these_keys,
                    timeout=left(),
                    banner_timeout=left(),
                    auth_timeout=left(),
                    channel_timeout=self._timeout,
                    transport_factory=transport_of,
                )
            except BaseException as error:
                made = client.get_transport()
                logs_in = made is not None and made.is_active()
                end(stream)
                if logs_in and isinstance(error, paramiko.SSHException | ValueError):
                    check_keys(endpoint.keys)
                raise
            transport = client.get_transport()
            if transport is None or self._closed:
                raise PeerError(f"the SSH connection to {self._address} is closed")
            transport.set_keepalive(KEEPALIVE_SECONDS)
            return transport

    @contextlib.contextmanager
    def _told(self, endpoint: Endpoint, deadline: float) -> Generator[None]:
        """Turn an exception of connecting into an error for operators."""
        where = f"{endpoint.host} port {endpoint.port}"
        try:
            yield
        except AwayError:
            raise
        except paramiko.AuthenticationException:
            # paramiko raises the same for a refused login and for one that takes too long; the clock decides.
            if time.monotonic() >= deadline - 0.1:
                raise PeerTimeout(f"{where} did not finish the SSH login within {self._timeout:g} s") from None
            keys = ", ".join(endpoint.keys) or "the usual ones in ~/.ssh"
            raise PeerError(
                f"{where} refuses the SSH login of user {endpoint.user}: add our public key to authorized_keys there "
                f"(tried {keys} and the keys of the SSH agent; a key with a passphrase must be in the agent)"
            ) from None
        except TimeoutError:
            raise PeerTimeout(f"{where} does not answer SSH within {self._timeout:g} s") from None
        except (OSError, EOFError, paramiko.SSHException, ValueError) as error:
            # The exception of paramiko on a time-out depends on the step.
            if time.monotonic() >= deadline - 0.1:
                raise PeerTimeout(
                    f"{where} accepts connections but does not speak SSH within {self._timeout:g} s"
                ) from None
            kind = AwayError if isinstance(error, OSError | EOFError) else PeerError
            raise kind(f"{where} cannot be reached by SSH: {reason(error)}") from None

    def _end_clients(self) -> None:
        self._end(self._clients)
        self._clients.clear()

    @staticmethod
    def _end(clients: list[paramiko.SSHClient]) -> None:
        for client in reversed(clients):
            transport = client.get_transport()
            end(client)
            if transport is not None and transport.is_alive():
                # Its own close() does not wait for the thread.
                transport.join(1.0)


def check_keys(files: Sequence[str]) -> None:
    """Explain why a login failed, if none of the files is a key that can be used: paramiko's errors do not name them.

    Raises:
        PeerError: a file is no key, or needs a passphrase.
    """
    problems: list[str] = []
    for file in files:
        try:
            paramiko.PKey.from_path(file)
        except (TypeError, paramiko.PasswordRequiredException):
            problems.append(f"the SSH key {file} has a passphrase: put it into the SSH agent (ssh-add)")
        except (ValueError, paramiko.SSHException, UnknownKeyType):
            problems.append(f"the SSH key {file} must be a private key, but is none")
        except OSError as error:
            problems.append(f"the SSH key {file} cannot be read: {reason(error)}")
        else:
            return
    if problems:
        raise PeerError("; ".join(problems))


def _connected(place: tuple[str, int], seconds: float, silent: float) -> socket.socket:
    """Connect to an address, so that the system closes the connection if the other end falls silent."""
    try:
        stream = socket.create_connection(place, timeout=seconds)
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno in _AWAY:
            # The error may change from one attempt to the next, but the remedy is the same.
            raise AwayError(
                f"{place[0]} port {place[1]} cannot be reached by SSH: no answer; is it on, and on the network?"
            ) from None
        raise
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    silent = min(silent, SILENT_SECONDS)
    if sys.platform == "linux":
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(silent * 1000))
    elif sys.platform == "darwin":
        stream.setsockopt(socket.IPPROTO_TCP, _TCP_RXT_CONNDROPTIME, max(1, round(silent)))
    return stream
