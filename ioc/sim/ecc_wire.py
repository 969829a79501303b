"""The bytes of an ECC server: requests are parsed, replies composed as two real builds were recorded to do it.

The builds differ in small things (`Dialect`); one of them, that 2.8 ignores prefixed arguments, is a trap for clients.
On demand a reply is wrong in one of the ways of `Behaviour`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from xml.dom import minidom
from xml.parsers.expat import ExpatError

NAMESPACE = "urn:ecc"
_HUGE = 64 << 20


@dataclass(frozen=True)
class Dialect:
    """How one build of the server writes and reads."""

    headers: tuple[str, ...]
    """HTTP header lines before Content-Type."""
    prefix: str
    """Of the children of a response element."""
    accepts_prefixed_arguments: bool
    """If not, ``<ns0:configID>`` is silently ignored."""
    closes_empty_elements: bool
    """``<x/>`` instead of ``<x></x>``."""
    newline: str
    """How a line feed in a text is written."""
    fault_attributes: str
    """Of the Body element around a fault."""
    end: str
    """What follows the Envelope."""


DIALECTS = {
    "2.7": Dialect(
        headers=("Server: gSOAP/2.7",),
        prefix="ecc:",
        accepts_prefixed_arguments=True,
        closes_empty_elements=False,
        newline="&#xA;",
        fault_attributes=' SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"',
        end="",
    ),
    "2.8": Dialect(
        headers=("Server: gSOAP/2.8", "X-Frame-Options: SAMEORIGIN"),
        prefix="",
        accepts_prefixed_arguments=False,
        closes_empty_elements=True,
        newline="\n",
        fault_attributes="",
        end="\r\n",
    ),
}

_ENVELOPE = (
    '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:ecc="urn:ecc">'
)


class FaultError(Exception):
    """The request is answered with a SOAP fault; the text is its faultstring."""


@dataclass(frozen=True)
class Request:
    """One operation with its arguments, as the server understood them."""

    operation: str
    arguments: dict[str, str]


def parse_request(body: bytes, dialect: Dialect) -> Request:
    """Read a SOAP request.

    Raises:
        FaultError: it is not XML, or has no operation in this namespace.
    """
    if b"<!DOCTYPE" in body:
        raise FaultError("DTD not supported by SOAP")
    try:
        envelope = minidom.parseString(body).documentElement  # noqa: S318 - without entities, as checked above
    except ExpatError as error:
        raise FaultError(f"XML parse error: {error}") from None
    for part in _elements(envelope) if envelope else ():
        for operation in _elements(part) if part.localName == "Body" else ():
            if operation.namespaceURI != NAMESPACE:
                raise not_implemented(operation.tagName)
            arguments = {
                str(argument.localName): _text(argument)
                for argument in _elements(operation)
                if not argument.prefix or dialect.accepts_prefixed_arguments
            }
            return Request(str(operation.localName), arguments)
    raise not_implemented("")


def not_implemented(operation: str) -> FaultError:
    """The fault that answers an operation the service does not have."""
    return FaultError(f"Method '{operation}' not implemented: method name or namespace not recognized")


def state_reply(dialect: Dialect, message: str, state: int, transition: int) -> bytes:
    """Reply to GetState, whose ErrorCode is always 0."""
    return _response(
        dialect, "ResponseState", ErrorCode="0", ErrorMessage=message, State=str(state), Transition=str(transition)
    )


def text_reply(dialect: Dialect, code: int, message: str, text: str) -> bytes:
    """Reply to GetConfigIDs, to the transitions and to Special."""
    return _response(dialect, "ResponseText", ErrorCode=str(code), ErrorMessage=message, Text=text)


def plain_reply(dialect: Dialect) -> bytes:
    """Reply to ServerExit."""
    return _response(dialect, "Response", ErrorCode="0", ErrorMessage="")


def fault_reply(dialect: Dialect, fault: str) -> bytes:
    """SOAP fault, which comes as HTTP 500."""
    content = (
        f"<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode>"
        f"<faultstring>{_escape(dialect, fault)}</faultstring></SOAP-ENV:Fault>"
    )
    return _http(dialect.headers, _soap(dialect, content, dialect.fault_attributes), "500 Internal Server Error")


def _response(dialect: Dialect, element: str, **children: str) -> bytes:
    content = ""
    for name, value in children.items():
        tag = dialect.prefix + name
        empty = not value and dialect.closes_empty_elements
        content += f"<{tag}/>" if empty else f"<{tag}>{_escape(dialect, value)}</{tag}>"
    return _http(dialect.headers, _soap(dialect, f"<ecc:{element}>{content}</ecc:{element}>"))


def _escape(dialect: Dialect, text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    return escaped.replace("\n", dialect.newline)


def _soap(dialect: Dialect, content: str, attributes: str = "", declarations: str = "") -> bytes:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n{declarations}{_ENVELOPE}<SOAP-ENV:Body{attributes}>{content}'
    return f"{xml}</SOAP-ENV:Body></SOAP-ENV:Envelope>{dialect.end}".encode()


def _http(
    headers: tuple[str, ...], body: bytes, status: str = "200 OK", content_type: str = "text/xml; charset=utf-8"
) -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def _elements(parent: minidom.Element) -> list[minidom.Element]:
    return [node for node in parent.childNodes if isinstance(node, minidom.Element)]


def _text(element: minidom.Element) -> str:
    return "".join(node.data for node in element.childNodes if isinstance(node, minidom.Text))


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


def wrong_reply(behaviour: Behaviour, dialect: Dialect, right: bytes) -> bytes:
    """The bytes that answer a request as `behaviour` says; `right` is the reply that they should be."""
    reply = right
    match behaviour:
        case Behaviour.HTML:
            page = b"<html><head><title>It works!</title></head><body><p>It works!<br></body></html>"
            reply = _http((), page, content_type="text/html")
        case Behaviour.HTTP500:
            reply = _http((), b"", "500 Internal Server Error", "text/plain")
        case Behaviour.TRUNCATED:
            reply = right[: len(right) // 2]
        case Behaviour.HUGE:
            reply = _http((), b" " * _HUGE)
        case Behaviour.DTD:
            entity = '<!DOCTYPE Envelope [<!ENTITY host SYSTEM "file:///etc/hostname">]>'
            reply = _http((), _soap(dialect, "&host;", declarations=entity))
        case Behaviour.UNKNOWN_STATE if b"ResponseState" in right:
            reply = state_reply(dialect, "", 42, 17)
        case _:
            pass
    return reply
