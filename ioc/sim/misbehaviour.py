"""The ways in which a simulated ECC server can answer wrongly, on demand."""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import StrEnum

from ioc.sim.ecc_wire import Dialect, http_reply, state_reply

_HUGE = 64 << 20
_CHUNK = 1 << 16


class Behaviour(StrEnum):
    """How a server treats every connection until told otherwise."""

    NORMAL = "normal"
    HANG = "hang"
    """Accept and never answer; what waits is answered when the behaviour changes."""
    DROP = "drop"
    """Close without a byte."""
    RESET = "reset"
    """Reset the connection."""
    HTML = "html"
    """A web page with status 200."""
    HTTP500 = "http500"
    """Status 500 without a fault."""
    TRUNCATED = "truncated"
    """The first half of the right reply."""
    HUGE = "huge"
    """A reply of 64 MiB."""
    SLOW = "slow"
    """The right reply, byte by byte, 20 a second."""
    DTD = "dtd"
    """A reply with an external entity."""
    UNKNOWN_STATE = "unknown-state"
    """GetState answers state 42 and transition 17, which no table has."""


async def misbehave(behaviour: Behaviour, dialect: Dialect, right: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer one request as `behaviour` says; `right` is the reply that it should have been."""
    match behaviour:
        case Behaviour.RESET:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case Behaviour.HTML:
            page = b"<html><head><title>It works!</title></head><body><p>It works!<br></body></html>"
            writer.write(_head("200 OK", "text/html", len(page)) + page)
        case Behaviour.HTTP500:
            writer.write(_head("500 Internal Server Error", "text/plain", 0))
        case Behaviour.TRUNCATED:
            writer.write(right[: len(right) // 2])
        case Behaviour.HUGE:
            writer.write(_head("200 OK", "text/xml; charset=utf-8", _HUGE))
            for _ in range(_HUGE // _CHUNK):
                writer.write(b" " * _CHUNK)
                await writer.drain()
        case Behaviour.SLOW:
            for byte in right:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        case Behaviour.DTD:
            xml = http_reply(dialect, "200 OK", "<SOAP-ENV:Body>&host;</SOAP-ENV:Body>").partition(b"\r\n\r\n")[2]
            declaration, _, envelope = xml.partition(b"\n")
            entity = b'<!DOCTYPE Envelope [<!ENTITY host SYSTEM "file:///etc/hostname">]>'
            page = declaration + entity + envelope
            writer.write(_head("200 OK", "text/xml; charset=utf-8", len(page)) + page)
        case Behaviour.UNKNOWN_STATE:
            is_state = b"ResponseState" in right
            writer.write(state_reply(dialect, "", 42, 17) if is_state else right)
        case Behaviour.NORMAL | Behaviour.HANG | Behaviour.DROP:
            pass


def _head(status: str, content_type: str, length: int) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()
