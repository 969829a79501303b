"""The bytes of an ECC server: parses requests and writes replies as recorded from two real builds.

The builds differ in details (`Dialect`); one of them is a trap for clients: build 2.8 ignores prefixed arguments.
On demand, a reply is wrong in one of the ways in `Behaviour`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from xml.dom import minidom
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

NAMESPACE = "urn:ecc"
_HUGE = 64 << 20
_ENVELOPE = (
    '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:ecc="urn:ecc">'
)


class FaultError(Exception):
    """The request is answered with a SOAP fault; the text is its faultstring."""


@dataclass(frozen=True)
class Dialect:
    """Format details of one build of the server."""

    headers: tuple[str, ...]
    """HTTP header lines before Content-Type."""
    prefix: str
    """Namespace prefix of the children of a response element."""
    accepts_prefixed_arguments: bool
    """If False, ``<ns0:configID>`` is silently ignored."""
    empty_element: str
    """Form of an element without text."""
    newline: str
    """Form of a line feed in a text."""
    fault_attributes: str
    """Attributes of the Body element around a fault."""
    end: str
    """Bytes after the Envelope."""

    def parse_request(self, body: bytes) -> tuple[str, dict[str, str]]:
        """The operation of a SOAP request, and the arguments that this build understands.

        Raises:
            FaultError: it is not XML, or has no operation in this namespace.
        """
        if b"<!DOCTYPE" in body:
            raise FaultError("DTD not supported by SOAP")
        try:
            envelope = minidom.parseString(body).documentElement  # noqa: S318 - no entities, checked above
        except ExpatError as error:
            raise FaultError(f"XML parse error: {error}") from None
        bodies = [part for part in _elements(envelope) if part.localName == "Body"]
        operation = next((element for part in bodies for element in _elements(part)), None)
        if operation is None or operation.namespaceURI != NAMESPACE:
            raise not_implemented(operation.tagName if operation else "")
        arguments = {
            str(element.localName): "".join(node.data for node in element.childNodes if isinstance(node, minidom.Text))
            for element in _elements(operation)
            if not element.prefix or self.accepts_prefixed_arguments
        }
        return str(operation.localName), arguments

    def state_reply(self, message: str, state: int, transition: int) -> bytes:
        """Reply to GetState, whose ErrorCode is always 0."""
        return self._response("ResponseState", ErrorCode=0, ErrorMessage=message, State=state, Transition=transition)

    def text_reply(self, code: int, message: str, text: str) -> bytes:
        """Reply to GetConfigIDs, to the transitions and to Special."""
        return self._response("ResponseText", ErrorCode=code, ErrorMessage=message, Text=text)

    def plain_reply(self) -> bytes:
        """Reply to ServerExit."""
        return self._response("Response", ErrorCode=0, ErrorMessage="")

    def fault_reply(self, fault: str) -> bytes:
        """SOAP fault, which comes as HTTP 500."""
        parts = f"<faultcode>SOAP-ENV:Client</faultcode><faultstring>{self._escape(fault)}</faultstring>"
        soap = self._soap(f"<SOAP-ENV:Fault>{parts}</SOAP-ENV:Fault>", self.fault_attributes)
        return _http(soap, self.headers, "500 Internal Server Error")

    def wrong_reply(self, behaviour: Behaviour, right: bytes) -> bytes:
        """The bytes of the answer for this `behaviour`; `right` is the correct reply."""
        reply = right
        match behaviour:
            case Behaviour.HTML:
                page = b"<html><head><title>It works!</title></head><body><p>It works!<br></body></html>"
                reply = _http(page, content_type="text/html")
            case Behaviour.HTTP500:
                reply = _http(b"", status="500 Internal Server Error", content_type="text/plain")
            case Behaviour.TRUNCATED:
                reply = right[: len(right) // 2]
            case Behaviour.HUGE:
                reply = _http(b" " * _HUGE)
            case Behaviour.DTD:
                entity = '<!DOCTYPE Envelope [<!ENTITY host SYSTEM "file:///etc/hostname">]>'
                reply = _http(self._soap("&host;", declarations=entity))
            case Behaviour.UNKNOWN_STATE if b"ResponseState" in right:
                reply = self.state_reply("", 42, 17)
            case _:
                pass
        return reply

    def _response(self, element: str, **children: str | int) -> bytes:
        content = ""
        for name, value in children.items():
            template = "<{0}>{1}</{0}>" if value != "" else self.empty_element
            content += template.format(self.prefix + name, self._escape(str(value)))
        return _http(self._soap(f"<ecc:{element}>{content}</ecc:{element}>"), self.headers)

    def _escape(self, text: str) -> str:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
        return escaped.replace("\n", self.newline)

    def _soap(self, content: str, attributes: str = "", declarations: str = "") -> bytes:
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n{declarations}{_ENVELOPE}<SOAP-ENV:Body{attributes}>{content}'
        return f"{xml}</SOAP-ENV:Body></SOAP-ENV:Envelope>{self.end}".encode()


DIALECTS = {
    "2.7": Dialect(
        headers=("Server: gSOAP/2.7",),
        prefix="ecc:",
        accepts_prefixed_arguments=True,
        empty_element="<{0}></{0}>",
        newline="&#xA;",
        fault_attributes=' SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"',
        end="",
    ),
    "2.8": Dialect(
        headers=("Server: gSOAP/2.8", "X-Frame-Options: SAMEORIGIN"),
        prefix="",
        accepts_prefixed_arguments=False,
        empty_element="<{0}/>",
        newline="\n",
        fault_attributes="",
        end="\r\n",
    ),
}


def not_implemented(operation: str) -> FaultError:
    """The fault for an unknown operation."""
    return FaultError(f"Method '{operation}' not implemented: method name or namespace not recognized")


def _http(
    body: bytes, headers: tuple[str, ...] = (), status: str = "200 OK", content_type: str = "text/xml; charset=utf-8"
) -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def _elements(parent: minidom.Element | None) -> list[minidom.Element]:
    return [node for node in parent.childNodes if isinstance(node, minidom.Element)] if parent else []


class Behaviour(StrEnum):
    """How a server treats every connection until the next command."""

    NORMAL = "normal"
    HANG = "hang"  # accept and never answer; waiting requests are answered when the behaviour changes
    DROP = "drop"  # close without a byte
    RESET = "reset"  # reset the connection
    HTML = "html"  # a web page with status 200
    HTTP500 = "http500"  # status 500 without a fault
    TRUNCATED = "truncated"  # the first half of the right reply
    HUGE = "huge"  # a reply of 64 MiB
    SLOW = "slow"  # the right reply byte by byte, 20 a second
    DTD = "dtd"  # a reply with an external entity
    UNKNOWN_STATE = "unknown-state"  # GetState answers state 42 and transition 17, which do not exist


@dataclass(frozen=True)
class Link:
    source: str
    router: str
    address: str
    port: int
    type: str


def parse_links(text: str) -> tuple[Link, ...]:
    """Read the text of ``table``; like the real server, ignore invalid links."""
    if "<!" in text:
        return ()
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no declarations, checked above
    except ElementTree.ParseError:
        return ()
    links: list[Link] = []
    for element in root.iter("DataLink"):
        sender, router = element.find("DataSender"), element.find("DataRouter")
        if sender is None or router is None:
            continue
        name, address, port, kind = (router.get(key, "") for key in ("name", "ipAddress", "port", "type"))
        if port.isdecimal():
            links.append(Link(sender.get("id", ""), name, address, int(port), kind))
    return tuple(links)


def sources_text(sources: Iterable[str]) -> str:
    """The answer to Describe."""
    return set_of("DataSenderSet", (f'<DataSender id="{source}" />' for source in sources))


def links_text(links: Iterable[Link]) -> str:
    """The first part of the answer to Configure."""
    return set_of(
        "DataLinkSet",
        (
            f'<DataLink><DataSender id="{link.source}" />'
            f'<DataRouter  name="{link.router}" ipAddress="{link.address}" port="{link.port}" type="{link.type}" />'
            "</DataLink>"
            for link in links
        ),
    )


def set_of(name: str, items: Iterable[str]) -> str:
    """An element with one item per line, like lists of the real server."""
    return "\n".join([f"<{name}>", *(f"\t{item}" for item in items), f"</{name}>"])
