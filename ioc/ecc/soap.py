"""SOAP calls to one ECC server by zeep, over our own HTTP.

zeep builds each request and parses each answer; it never opens a connection itself.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from threading import Event
from typing import Any

from lxml import etree
from zeep import Client, Plugin, Settings
from zeep.exceptions import DTDForbidden, EntitiesForbidden, Fault, TransportError
from zeep.wsdl import Document

from ioc.ecc.http import Call, DeadlinePassedError, ExchangeFailedError, HttpReply, post

_SETTINGS = Settings(strict=True, forbid_dtd=True, forbid_entities=True, forbid_external=True)

_MAX_ELEMENTS = 100
"""A real answer has at most 7; whole documents inside are text."""


@dataclass(frozen=True)
class SoapReply:
    """An answer of any operation; what an operation does not answer is empty or None."""

    code: int
    """ErrorCode. 0 is not success."""
    message: str
    """ErrorMessage, often of several lines."""
    text: str
    state: int | None
    transition: int | None
    received_at: float


class SoapService:
    """The operations of one ECC server. For one thread at a time."""

    def __init__(self, host: str, port: int, called_off: Event) -> None:
        self._host = host
        self._port = port
        self._called_off = called_off
        self._transport = _Transport()
        self._client = Client(_interface(), transport=self._transport, plugins=[_PlainTreesOnly()], settings=_SETTINGS)

    def call(self, operation: str, deadline: float, arguments: Mapping[str, str]) -> SoapReply:
        """Send one request, once, and wait for its answer until `deadline` (`time.monotonic`).

        Raises:
            DeadlinePassedError: if there was none until then.
            ExchangeFailedError: if there was none, or none that can be understood.
        """
        self._transport.call = Call(self._host, self._port, operation, deadline, self._called_off)
        try:
            answer = self._client.service[operation](**arguments)
            return _reply(answer, self._transport.received_at)
        except (ExchangeFailedError, DeadlinePassedError):
            raise
        except Fault as fault:
            reason = " ".join(str(fault.message).split())[:500]
            raise ExchangeFailedError(f"answered {operation} with a SOAP fault: {reason}") from None
        except (DTDForbidden, EntitiesForbidden):
            raise ExchangeFailedError(f"answered {operation} with XML that has a DTD, which is refused") from None
        except TransportError as error:
            cause = _first_line(error.__context__ or error).removeprefix("Invalid XML content received ")
            raise ExchangeFailedError(f"answered {operation} with invalid XML {cause}") from None
        except Exception as error:  # zeep raises anything when well-formed XML is not what it expects
            raise ExchangeFailedError(
                f"answered {operation} with XML that is not the answer to it: {_first_line(error)}"
            ) from None


@cache
def _interface() -> Document:
    """The parsed WSDL, which all clients share: parsing takes a hundred times longer than a call."""
    text = resources.files("ioc.ecc").joinpath("ecc.wsdl").read_bytes()
    document = Document(BytesIO(text), _Transport(), settings=_SETTINGS)  # pyright: ignore[reportArgumentType]
    # Unprefixed elements are the only form that every build of the server reads.
    document.types.set_ns_prefix(None, "urn:ecc")
    # zeep logs a traceback for a value that is no number; what it means is said by the error of the call.
    logging.getLogger("zeep.xsd").setLevel(logging.CRITICAL)
    return document


class _PlainTreesOnly(Plugin):
    """Refuses trees that no ECC server sends and that would keep zeep busy for seconds, or without an end.

    zeep copies SOAP multi-references (``href``) into each other without a limit.
    """

    def ingress(self, envelope: Any, http_headers: Any, operation: Any) -> tuple[Any, Any]:
        if envelope.xpath(f"boolean(//@href) or count(//*) > {_MAX_ELEMENTS}"):
            raise ExchangeFailedError(
                f"answered {operation.name} with XML that has references or more than {_MAX_ELEMENTS} elements, "
                "which is refused"
            )
        return envelope, http_headers


class _Transport:
    """What zeep asks of its transport, without its sessions."""

    call: Call
    """Set before each use; the one for parsing the WSDL has none."""
    received_at = 0.0

    def load(self, url: str) -> bytes:
        raise ExchangeFailedError(f"refers to {url}, which is not fetched")

    def post_xml(self, _address: str, envelope: Any, _headers: Mapping[str, str]) -> _ZeepReply:
        call = self.call
        operation = call.operation
        reply = post(call, etree.tostring(envelope, xml_declaration=True, encoding="utf-8"))
        self.received_at = reply.received_at
        # A SOAP fault comes with status 500, and zeep reads it; no other answer with an error has anything to read.
        if reply.status != 200 and not (reply.status == 500 and b"Fault" in reply.body):
            raise ExchangeFailedError(
                f"answered {operation} with HTTP status {reply.status} ({reply.reason}) and no SOAP fault"
            )
        if not reply.body:
            raise ExchangeFailedError(f"answered {operation} with an empty body")
        if reply.content_type == "text/html":
            raise ExchangeFailedError(
                f"answered {operation} with HTML instead of SOAP: is this the port of getEccSoapServer?"
            )
        return _ZeepReply(reply)


class _ZeepReply:
    """The attributes of a response that zeep reads; always a single part of XML for it."""

    encoding = None
    headers: Mapping[str, str] = {"Content-Type": "text/xml"}

    def __init__(self, reply: HttpReply) -> None:
        self.status_code = reply.status
        self.content = reply.body


def _reply(answer: Any, received_at: float) -> SoapReply:
    code = answer.ErrorCode
    if code is None:
        raise ValueError("it has no ErrorCode")
    return SoapReply(
        code=code,
        message=answer.ErrorMessage or "",
        text=getattr(answer, "Text", None) or "",
        state=getattr(answer, "State", None),
        transition=getattr(answer, "Transition", None),
        received_at=received_at,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
