"""An ECC server that does what a test tells it to, in threads of its own."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ioc.ecc.client import ZeepEccClient

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "ecc"
BUILDS = ("gsoap-2.7", "gsoap-2.8")


def recorded(build: str, name: str) -> tuple[bytes, bytes]:
    """Request and response of one exchange with a real server, byte for byte."""
    folder = RECORDINGS / build
    return (folder / f"{name}.request").read_bytes(), (folder / f"{name}.response").read_bytes()


def body_of(message: bytes) -> bytes:
    """The part of an HTTP message after its head."""
    return message.split(b"\r\n\r\n", 1)[1]


class Connection:
    """One accepted connection with the request that came over it."""

    def __init__(self, peer: socket.socket, request: bytes, server_closing: threading.Event) -> None:
        self.peer = peer
        self.request = request
        self.closing = server_closing

    def send(self, data: bytes) -> None:
        """Send bytes to a client that may be gone."""
        try:
            self.peer.sendall(data)
        except OSError:
            self.closing.wait(0.01)

    def trickle(self, data: bytes, interval: float) -> None:
        """Send one byte each `interval` seconds."""
        for byte in data:
            if self.closing.wait(interval):
                return
            self.send(bytes([byte]))

    def hang(self) -> None:
        """Answer nothing until the server is closed."""
        self.closing.wait()

    def reset(self) -> None:
        """Break the connection with RST."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Script = Callable[[Connection], object]


class ScriptedServer:
    """Accepts connections on a random loopback port and runs `script` for each; a context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        # Wakes the accept, on every system.
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def operations(self) -> list[str]:
        """The operation of each request so far, in order of arrival."""
        return [
            request.split(b"<soap-env:Body><", 1)[1].split(b">")[0].split(b"/")[0].decode() for request in self.requests
        ]

    def _accept(self) -> None:
        while not self._closing.is_set():
            peer, _ = self._listener.accept()
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            request = _read_request(peer)
            if request:
                self.requests.append(request)
                self.script(Connection(peer, request, self._closing))


MakeServer = Callable[[Script], ScriptedServer]
MakeClient = Callable[..., ZeepEccClient]


def _read_request(peer: socket.socket) -> bytes:
    data = b""
    while chunk := peer.recv(65536):
        data += chunk
        head, separator, body = data.partition(b"\r\n\r\n")
        if separator and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return data
    return b""


def http(body: bytes | str, status: str = "200 OK", content_type: str = "text/xml; charset=utf-8") -> bytes:
    """A complete HTTP answer."""
    data = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data


def envelope(content: str, prolog: str = "") -> str:
    """A SOAP envelope around the content of its body."""
    return (
        f'<?xml version="1.0"?>{prolog}<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:ecc="urn:ecc"><S:Body>{content}</S:Body></S:Envelope>'
    )


def state_reply(state: object = 1, transition: object = 0, code: object = 0, message: str = "") -> bytes:
    """An answer to GetState."""
    return http(
        envelope(
            f"<ecc:ResponseState><ErrorCode>{code}</ErrorCode><ErrorMessage>{message}</ErrorMessage>"
            f"<State>{state}</State><Transition>{transition}</Transition></ecc:ResponseState>"
        )
    )


def text_reply(text: str = "", code: int = 0, message: str = "") -> bytes:
    """An answer to all other operations; `text` and `message` must be escaped."""
    return http(
        envelope(
            f"<ecc:ResponseText><ErrorCode>{code}</ErrorCode><ErrorMessage>{message}</ErrorMessage>"
            f"<Text>{text}</Text></ecc:ResponseText>"
        )
    )


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll a condition that another thread makes true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.005)
