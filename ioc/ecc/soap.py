"""SOAP calls to one ECC server: zeep builds each request and reads each answer, `ioc.ecc.http` carries them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from typing import Any

from lxml import etree
from zeep import Client, Plugin, Settings
from zeep.exceptions import DTDForbidden, EntitiesForbidden, Fault, TransportError
from zeep.wsdl import Document

from ioc.ecc.http import ExchangeFailedError, HttpReply, post

_SETTINGS = Settings(strict=True, forbid_dtd=True, forbid_entities=True, forbid_external=True)

_MAX_ELEMENTS = 100
"""A real answer has at most 7; whole documents inside are text."""
_SHORT = 4096
"""Bytes: answers of this length are read on the event loop in less time than a thread takes to begin."""


@dataclass(frozen=True)
class SoapReply:
    """The answer to any operation; fields that an operation does not return are empty or None."""

    code: int
    """ErrorCode. 0 is not success."""
    message: str
    """ErrorMessage, often of several lines."""
    text: str
    state: int | None
    transition: int | None
    received_at: float = 0.0
    """When its last byte arrived, POSIX seconds."""


class SoapService:
    """The operations of one ECC server.

    It has its own thread for work that would block the event loop: resolving the host name, and parsing an answer,
    which may be large. So a name server that hangs delays only the calls to this server.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ecc-{name}")
        _client()  # parsed before the event loop has anything else to do

    async def call(self, operation: str, arguments: Mapping[str, str], *, connected: Callable[[], None]) -> SoapReply:
        """Send one request, once, and wait for its answer; `connected` as in `post`.

        Raises:
            ExchangeFailedError: there was no answer, or it cannot be understood.
        """
        request = _request(operation, tuple(arguments.items()))
        reply = await post(self._host, self._port, operation, request, self._thread, connected=connected)
        received_at = time.time()
        if len(reply.content) <= _SHORT:
            answer = _read_short(operation, reply)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, _read, operation, reply)
        return replace(answer, received_at=received_at)

    async def close(self) -> None:
        """End the thread; if it still resolves a name after a second, it is abandoned."""
        last = asyncio.get_running_loop().run_in_executor(self._thread, int)
        done, _ = await asyncio.wait((last,), timeout=1.0)
        self._thread.shutdown(wait=bool(done), cancel_futures=True)


@lru_cache(maxsize=256)
def _request(operation: str, arguments: tuple[tuple[str, str], ...]) -> bytes:
    """The body of a request, which is the same for all servers."""
    client = _client()
    envelope = client.create_message(client.service, operation, **dict(arguments))
    return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")


def _read(operation: str, reply: HttpReply) -> SoapReply:
    status = f"answered {operation} with HTTP status {reply.status_code} ({reply.reason}) and no SOAP fault"
    # A SOAP fault has status 500; no other error answer has a useful body.
    if reply.status_code not in (200, 500) or (reply.status_code == 500 and not reply.content):
        raise ExchangeFailedError(status)
    if not reply.content:
        raise ExchangeFailedError(f"answered {operation} with an empty body")
    if reply.content_type == "text/html":
        raise ExchangeFailedError(
            f"answered {operation} with HTML instead of SOAP: is this the port of getEccSoapServer?"
        )
    client = _client()
    binding = client.wsdl.bindings["{urn:ecc}ecc"]
    try:
        return _reply(binding.process_reply(client, binding.get(operation), reply))
    except ExchangeFailedError:
        raise
    except Fault as fault:
        if fault.code is None:
            raise ExchangeFailedError(status) from None
        reason = " ".join(str(fault.message).split())[:500]
        raise ExchangeFailedError(f"answered {operation} with a SOAP fault: {reason}") from None
    except (DTDForbidden, EntitiesForbidden):
        raise ExchangeFailedError(f"answered {operation} with XML that has a DTD, which is refused") from None
    except TransportError as error:
        if reply.status_code != 200:
            raise ExchangeFailedError(status) from None
        raise ExchangeFailedError(f"answered {operation} with invalid XML ({_cause(error)})") from None
    except Exception as error:  # zeep raises anything when well-formed XML is not what it expects
        raise ExchangeFailedError(
            f"answered {operation} with XML that is not the answer to it: {_cause(error)}"
        ) from None


@lru_cache(maxsize=256)
def _read_short(operation: str, reply: HttpReply) -> SoapReply:
    """Read an answer that most servers give again and again, byte for byte the same."""
    return _read(operation, reply)


@cache
def _client() -> Client:
    """The interface of all servers: parsing its WSDL takes a hundred times longer than a call."""
    text = resources.files("ioc.ecc").joinpath("ecc.wsdl").read_bytes()
    document = Document(BytesIO(text), _NoNetwork(), settings=_SETTINGS)  # pyright: ignore[reportArgumentType]
    # Every build of the server reads unprefixed elements, and only these.
    document.types.set_ns_prefix(None, "urn:ecc")
    # zeep logs a traceback for a value that is not a number; the error of the call explains it.
    logging.getLogger("zeep.xsd").setLevel(logging.CRITICAL)
    return Client(document, transport=_NoNetwork(), plugins=[_PlainTreesOnly()], settings=_SETTINGS)


class _PlainTreesOnly(Plugin):
    """Refuses trees that no ECC server sends and that would keep zeep busy for seconds or for ever.

    zeep copies SOAP multi-references (``href``) into each other without a limit.
    """

    def ingress(self, envelope: Any, http_headers: Any, operation: Any) -> tuple[Any, Any]:
        if envelope.xpath(f"boolean(//@href) or count(//*) > {_MAX_ELEMENTS}"):
            raise ExchangeFailedError(
                f"answered {operation.name} with XML that has references or more than {_MAX_ELEMENTS} elements, "
                "which is refused"
            )
        return envelope, http_headers


class _NoNetwork:
    """A transport for zeep that fetches nothing; requests are sent by `ioc.ecc.http`."""

    def load(self, url: str) -> bytes:
        raise ExchangeFailedError(f"refers to {url}, which is not fetched")


def _reply(answer: Any) -> SoapReply:
    code = answer.ErrorCode
    if code is None:
        raise ValueError("it has no ErrorCode")
    return SoapReply(
        code=code,
        message=answer.ErrorMessage or "",
        text=getattr(answer, "Text", None) or "",
        state=getattr(answer, "State", None),
        transition=getattr(answer, "Transition", None),
    )


def _cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
