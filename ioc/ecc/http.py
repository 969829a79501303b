"""One HTTP POST with one deadline for everything: connect, send, and every byte of the answer.

What usual HTTP clients do beside that (keep-alive, redirects, proxies, cookies, a time-out that begins anew with each
byte) is what must not happen with an ECC server: it closes each connection after one answer, and a transition must
never be sent twice.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import time
from dataclasses import dataclass
from threading import Event

MAX_BODY = 16 * 2**20
"""Longest body that is read, in bytes; a real Configure reply has 0.4 MB."""

_LOOK_SECONDS = 0.2
"""How often a wait looks whether it was called off."""


class ExchangeFailedError(Exception):
    """The server did not give a usable answer; the text goes on where ``ECC server NAME at HOST:PORT`` ends."""


class DeadlinePassedError(Exception):
    """The answer was not complete at the deadline."""


@dataclass(frozen=True)
class Call:
    """What is asked of whom, and for how long."""

    host: str
    port: int
    operation: str
    """Name of the SOAP operation, for messages."""
    deadline: float
    """On the clock of `time.monotonic`."""
    called_off: Event
    """Set by another thread: the wait ends within 0.2 s."""

    def check(self) -> float:
        """Return the seconds left.

        Raises:
            DeadlinePassedError: if there are none.
            ExchangeFailedError: if the call was called off.
        """
        if self.called_off.is_set():
            raise ExchangeFailedError(f"was not waited for to answer {self.operation}, as this client was closed")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError
        return left


@dataclass(frozen=True)
class HttpReply:
    """A complete answer."""

    status: int
    reason: str
    content_type: str
    body: bytes
    received_at: float
    """When its last byte was there, POSIX seconds."""


def post(call: Call, body: bytes) -> HttpReply:
    """Send `body` once and return the answer, whatever its status. Blocks until the deadline at most.

    (Only the resolution of a host name cannot be interrupted; nothing is sent if it ends after the deadline.)

    Raises:
        DeadlinePassedError: at the deadline.
        ExchangeFailedError: for everything else that goes wrong.
    """
    host = f"[{call.host}]" if ":" in call.host else call.host
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}:{call.port}\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f'SOAPAction: ""\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'
    )
    with _connect(call) as connection:
        stream = _Stream(connection, call)
        try:
            stream.send(head.encode() + body)
            return _read_reply(stream, call)
        except http.client.RemoteDisconnected:
            raise ExchangeFailedError(f"closed the connection without an answer to {call.operation}") from None
        except http.client.IncompleteRead as error:
            raise ExchangeFailedError(
                f"sent a truncated answer to {call.operation}: the connection ended after {len(error.partial)} bytes"
            ) from None
        except (http.client.HTTPException, ValueError):
            raise ExchangeFailedError(
                f"answered {call.operation} with something that is not HTTP: is this the port of getEccSoapServer?"
            ) from None
        except OSError as error:
            raise ExchangeFailedError(
                f"broke the connection ({_reason(error)}) instead of answering {call.operation}"
            ) from None


def _connect(call: Call) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(call.host, call.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ExchangeFailedError(
            f"cannot be asked for {call.operation}: its host name cannot be resolved ({_reason(error)})"
        ) from None
    failure = "it has no address"
    for family, kind, protocol, _, address in addresses:
        call.check()
        try:
            return _connect_to(socket.socket(family, kind, protocol), address, call)  # pyright: ignore[reportArgumentType]
        except ConnectionRefusedError:
            failure = "the connection was refused: getEccSoapServer must be started there"
        except OSError as error:
            failure = _reason(error)
    raise ExchangeFailedError(f"cannot be reached for {call.operation} ({failure})")


def _connect_to(connection: socket.socket, address: tuple[str, int], call: Call) -> socket.socket:
    try:
        connection.setblocking(False)
        code = connection.connect_ex(address)
        if code == errno.EINPROGRESS:
            _wait(connection, select.POLLOUT, call)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _raise_for(code)
    except BaseException:
        connection.close()
        raise
    return connection


def _raise_for(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _read_reply(stream: _Stream, call: Call) -> HttpReply:
    with http.client.HTTPResponse(stream) as response:  # pyright: ignore[reportArgumentType]  # only makefile is used
        response.begin()
        body = response.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise ExchangeFailedError(f"sent more than {MAX_BODY // 2**20} MiB in answer to {call.operation}")
        if response.length:
            raise ExchangeFailedError(
                f"sent a truncated answer to {call.operation}: {len(body)} of {len(body) + response.length} bytes"
            )
        content_type = response.headers.get_content_type()
        return HttpReply(response.status, response.reason, content_type, body, time.time())


def _wait(connection: socket.socket, event: int, call: Call) -> None:
    poller = select.poll()
    poller.register(connection, event)
    while not poller.poll(min(call.check(), _LOOK_SECONDS) * 1000):
        pass


class _Stream(io.RawIOBase):
    """A non-blocking socket as the blocking file that `http.client` reads, under the deadline of the call."""

    def __init__(self, connection: socket.socket, call: Call) -> None:
        self._connection = connection
        self._call = call

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while True:
            # Also when bytes are there at once: a peer that never stops must not keep us past the deadline.
            self._call.check()
            try:
                return self._connection.recv_into(buffer)
            except BlockingIOError:
                _wait(self._connection, select.POLLIN, self._call)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._call.check()
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                _wait(self._connection, select.POLLOUT, self._call)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
