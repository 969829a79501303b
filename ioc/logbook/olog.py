"""Phoebus Olog by its REST interface.

An entry is one ``PUT …/logs/multipart`` with the parts ``logEntry`` (JSON) and ``files``. The service takes the text of
``source`` as CommonMark. It stores properties that it does not know as they are, so ours has the id of the entry, by
which ``GET …/logs/search`` finds it again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import uuid
from concurrent.futures import Executor
from typing import Any, cast
from urllib.parse import quote

from ioc import __version__
from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.http_request import Reply, reason, request
from ioc.logbook.entries import Entry, as_markdown
from ioc.logbook.spool import Waiting
from ioc.topology.schema import Logbook
from ioc.topology.secret import read_secret

PROPERTY = "attpc-ioc"
_SECONDS = 20.0
_MOST = 2**20
"""Longest answer that is read, in bytes."""
_NEVER = {400, 405, 406, 411, 413, 415, 422}
"""What is wrong with the entry itself; anything else may be repaired at the service, in the topology, or by waiting."""
_TOO_LARGE = 413
_MEANINGS = {
    400: "it rejects the entry: do all logbooks and tags exist?",
    401: "it does not accept user and password",
    403: "the user may not write",
    404: "there is no Olog at this address",
}


class Olog:
    """One Olog service, with the logbooks and tags that entries get."""

    def __init__(self, topology: Logbook, threads: Executor, *, seconds: float = _SECONDS) -> None:
        self._topology = topology
        self._threads = threads
        self._url = (topology.url or "").rstrip("/")
        self.seconds = seconds

    def body(self, entry: Entry, picture: str) -> str:
        return as_markdown(entry)  # the picture is an attachment

    async def has(self, entry: Waiting) -> bool:
        wanted = quote(f"{PROPERTY}.id.{self._id(entry)}")
        reply = await self._request("GET", f"{self._url}/logs/search?properties={wanted}&size=1", [])
        if reply.status != 200:
            raise _refusal(reply)
        try:
            found: Any = json.loads(reply.body)
            return cast("int", found["hitCount"]) > 0
        except (ValueError, TypeError, KeyError):
            raise PeerError("it answered a search with something else: is this an Olog?") from None

    async def add(self, entry: Waiting, picture: bytes | None) -> None:
        reply = await self._put(entry, picture)
        if reply.status == _TOO_LARGE and picture is not None:
            reply = await self._put(entry, None)
        if reply.status != 200:
            raise _refusal(reply)

    async def _put(self, entry: Waiting, picture: bytes | None) -> Reply:
        boundary = f"attpc-ioc-{secrets.token_hex(16)}"
        body = _multipart(boundary, self._log_entry(entry, picture), entry.picture, picture)
        headers = [("Content-Type", f"multipart/form-data; boundary={boundary}")]
        return await self._request("PUT", f"{self._url}/logs/multipart?markup=commonmark", headers, body)

    async def _request(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
        """Anybody may search, but only who is known is told that an address is wrong: others get 401."""
        place = self._topology.password or ""
        password = await asyncio.get_running_loop().run_in_executor(self._threads, read_secret, place)
        account = base64.b64encode(f"{self._topology.user}:{password}".encode()).decode()
        told = [
            ("Authorization", f"Basic {account}"),
            ("X-Olog-Client-Info", f"attpc-ioc {__version__}"),
            ("Accept", "application/json"),
        ]
        try:
            async with asyncio.timeout(self.seconds):
                reply = await request(method, url, [*headers, *told], body, self._threads, most=_MOST)
        except TimeoutError:
            raise PeerTimeout(f"no answer within {self.seconds:g} s") from None
        except OSError as error:
            raise PeerError(f"broke the connection ({reason(error)})") from None
        if len(reply.body) > _MOST:
            raise PeerError(f"answered with more than {_MOST} bytes")
        return reply

    def _id(self, entry: Waiting) -> str:
        """What finds an entry again: another logbook of the topology may be at the same service."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self._topology.name} {entry.id}").hex

    def _log_entry(self, entry: Waiting, picture: bytes | None) -> dict[str, Any]:
        attributes = {
            "id": self._id(entry),
            "experiment": entry.experiment,
            "run": str(entry.number),
            "entry": entry.kind,
        }
        attachment = {
            "id": str(uuid.uuid4()),  # the service stores no second file with the same id
            "filename": entry.picture,
            "fileMetadataDescription": "image/png",
        }
        return {
            "title": entry.title,
            "source": entry.body,
            "level": self._topology.level,
            "logbooks": [{"name": name} for name in self._topology.logbooks or ()],
            "tags": [{"name": name} for name in self._topology.tags or ()],
            "properties": [
                {
                    "name": PROPERTY,
                    "attributes": [{"name": name, "value": value} for name, value in attributes.items()],
                }
            ],
            "attachments": [attachment] if picture is not None else [],
        }


def _refusal(reply: Reply) -> PeerError:
    """The error for an answer; the text of the service is not repeated: it is a page of HTML, or whatever it likes."""
    text = f"it answered {reply.status}"
    if meaning := _MEANINGS.get(reply.status):
        text += f": {meaning}"
    return PeerRejected(text) if reply.status in _NEVER else PeerError(text)


def _multipart(boundary: str, entry: dict[str, Any], name: str, picture: bytes | None) -> bytes:
    """Encode the parts; `name` is a name of ours without special characters."""
    parts = [('name="logEntry"; filename="logEntry.json"', "application/json", json.dumps(entry).encode())]
    if picture is not None:
        parts.append((f'name="files"; filename="{name}"', "image/png", picture))
    encoded = [
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for disposition, kind, data in parts
    ]
    return b"".join([*encoded, f"--{boundary}--\r\n".encode()])
