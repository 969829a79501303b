"""The bytes of an ECC server: requests taken apart, replies put together as two real builds were recorded to do."""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat

NAMESPACE = "urn:ecc"
_BODY_DEPTH = 2


@dataclass(frozen=True)
class Dialect:
    """How one build of the server speaks."""

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
    """One operation with its arguments, in the text that the server understood of it."""

    operation: str
    arguments: dict[str, str]


class _RequestReader:
    """Collects the first element of the SOAP body and the text of its children, by their names as written."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._namespaces: list[dict[str, str]] = [{}]
        self.operation = ""
        self.namespace = ""
        self.arguments: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        scope = self._namespaces[-1] | {
            key.removeprefix("xmlns").removeprefix(":"): value
            for key, value in attributes.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        self._namespaces.append(scope)
        if len(self._open) == _BODY_DEPTH and _local(self._open[1]) == "Body" and not self.operation:
            self.operation = name
            self.namespace = scope.get(name.rpartition(":")[0], "")
        self._open.append(name)
        if self._is_argument():
            self.arguments[name] = ""

    def text(self, data: str) -> None:
        if self._is_argument():
            self.arguments[self._open[-1]] += data

    def end(self, _name: str) -> None:
        self._open.pop()
        self._namespaces.pop()

    def _is_argument(self) -> bool:
        return len(self._open) == _BODY_DEPTH + 2 and self._open[_BODY_DEPTH] == self.operation

    @staticmethod
    def refuse_doctype(*_: object) -> None:
        raise FaultError("DTD not supported by SOAP")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def parse_request(body: bytes, dialect: Dialect) -> Request:
    """Take a SOAP request apart.

    Raises:
        FaultError: it is no XML, or has no operation in this namespace.
    """
    reader = _RequestReader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise FaultError(f"XML parse error: {error}") from None
    if reader.namespace != NAMESPACE:
        raise not_implemented(reader.operation)
    arguments = {
        _local(name): text
        for name, text in reader.arguments.items()
        if ":" not in name or dialect.accepts_prefixed_arguments
    }
    return Request(_local(reader.operation), arguments)


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
    return http_reply(
        dialect,
        "500 Internal Server Error",
        f"<SOAP-ENV:Body{dialect.fault_attributes}><SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode>"
        f"<faultstring>{_escape(dialect, fault)}</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body>",
    )


def http_reply(dialect: Dialect, status: str, body: str) -> bytes:
    """HTTP response with `body` in the envelope."""
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n{_ENVELOPE}{body}</SOAP-ENV:Envelope>{dialect.end}'.encode()
    head = [
        f"HTTP/1.1 {status}",
        *dialect.headers,
        "Content-Type: text/xml; charset=utf-8",
        f"Content-Length: {len(xml)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + xml


def _response(dialect: Dialect, element: str, **children: str) -> bytes:
    content = "".join(_child(dialect, name, value) for name, value in children.items())
    return http_reply(dialect, "200 OK", f"<SOAP-ENV:Body><ecc:{element}>{content}</ecc:{element}></SOAP-ENV:Body>")


def _child(dialect: Dialect, name: str, value: str) -> str:
    tag = dialect.prefix + name
    if not value and dialect.closes_empty_elements:
        return f"<{tag}/>"
    return f"<{tag}>{_escape(dialect, value)}</{tag}>"


def _escape(dialect: Dialect, text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    return escaped.replace("\n", dialect.newline)
