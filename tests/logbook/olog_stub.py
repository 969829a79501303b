# ruff: noqa: PLR0911
"""A stand-in for a Phoebus Olog, as strict as the original, and with every fault that a service may have.

It answers as Olog 6.0 was seen to: anybody may read below ``/Olog``, everything else needs HTTP Basic (401, then 404).
An unknown logbook or tag, an empty title and a number of files that is not that of the attachments are 400; a title or
source that is missing and an attribute without a value are 500; too large a request is 413. The files are stored after
the entry: if that fails, as it does for an id of a file that exists, the answer is 500 and the entry is there without
them. Stricter than the original: it ignores an unknown field, which is 400 here.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "shift", "pässword:1"
_FIELDS = {
    "id": int,
    "owner": str,
    "source": str,
    "description": str,
    "title": str,
    "level": str,
    "state": str,
    "createdDate": int,
    "modifyDate": int,
    "events": list,
    "logbooks": list,
    "tags": list,
    "properties": list,
    "attachments": list,
}
_PARTS = {
    "logbooks": {"name", "owner", "state"},
    "tags": {"name", "state"},
    "properties": {"name", "owner", "state", "attributes"},
    "attachments": {"id", "filename", "fileMetadataDescription", "checksum"},
}
_LARGEST = 15_000_000


class OlogStub:
    """Context manager; `entries` are what it has stored, in order."""

    def __init__(
        self,
        *,
        logbooks: tuple[str, ...] = ("Operations",),
        tags: tuple[str, ...] = ("run",),
        secure: ssl.SSLContext | None = None,
    ) -> None:
        self.logbooks, self.tags = logbooks, tags
        self.entries: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: deque[str] = deque()
        """What is wrong with the next requests to write, one each: hang, trickle, garbage, close, huge, lost reply,
        no files, or a status."""
        self.always = ""
        """What is wrong with every request."""
        self.largest = _LARGEST
        self.stored: Callable[[], None] = lambda: None
        """Called when an entry is stored, before it is answered."""
        self.released = threading.Event()
        stub = self

        class Handler(_Handler):
            olog = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        if secure is not None:
            self._server.socket = secure.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if secure is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/Olog"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def titles(self) -> list[str]:
        return [entry["title"] for entry in self.entries]


class _Handler(BaseHTTPRequestHandler):
    olog: OlogStub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base class
        pass

    def do_GET(self) -> None:
        self.olog.requests.append(f"GET {self.path}")
        if self._fails(self.olog.always):
            return None
        parts = urlsplit(self.path)
        if not parts.path.startswith("/Olog/") and not self._known():
            return self._answer(401)
        if parts.path != "/Olog/logs/search":
            return self._answer(404, {"error": "Not Found"})
        wanted = parse_qs(parts.query)["properties"][0].split(".")
        found = [entry for entry in self.olog.entries if _has(entry, *wanted)]
        return self._answer(200, {"hitCount": len(found), "logs": found})

    def do_PUT(self) -> None:
        olog = self.olog
        olog.requests.append(f"PUT {self.path}")
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        fault = olog.always or (olog.faults.popleft() if olog.faults else "")
        if fault not in {"lost reply", "no files"} and self._fails(fault):
            return None
        if length > olog.largest:
            return self._answer(413, {"error": "Payload Too Large"})
        if not self._known():
            return self._answer(401)
        if urlsplit(self.path).path != "/Olog/logs/multipart":
            return self._answer(404, {"error": "Not Found"})
        problem, entry, files = self._take(body)
        if problem:
            return self._answer(400, {"error": "Bad Request", "message": problem})
        if _breaks(entry):
            return self._answer(500, {"error": "Internal Server Error"})
        entry |= {"id": len(olog.entries) + 1, "owner": USER}
        olog.entries.append(entry)
        olog.stored()
        known = {each["id"] for other in olog.entries[:-1] for each in other["attachments"]}
        if fault == "no files" or any(each["id"] in known for each in entry["attachments"]):
            entry["attachments"] = []
            return self._answer(500, {"error": "Internal Server Error"})
        olog.files |= files
        if fault == "lost reply":
            self.close_connection = True
            return None
        return self._answer(200, entry)

    def _known(self) -> bool:
        return self.headers["Authorization"] == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def _take(self, body: bytes) -> tuple[str, dict[str, Any], dict[str, bytes]]:
        kind = self.headers["Content-Type"]
        if not kind.startswith("multipart/form-data; boundary="):
            return "not multipart/form-data", {}, {}
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        parts = [(part.get_param("name", header="content-disposition"), part) for part in message.iter_parts()]
        entries = [part for name, part in parts if name == "logEntry"]
        files = [part for name, part in parts if name == "files"]
        if len(entries) != 1 or len(entries) + len(files) != len(parts):
            return "parts", {}, {}
        if entries[0].get_content_type() != "application/json":
            return "type of logEntry", {}, {}
        payload: Any = entries[0].get_payload(decode=True)
        entry = json.loads(payload)
        problem = self._wrong(entry, len(files))
        found: dict[str, bytes] = {}
        if not problem:
            names = [each["filename"] for each in entry["attachments"]]
            if [file.get_filename() for file in files] != names:
                return "file names", {}, {}
            found = {name: _payload(file) for name, file in zip(names, files, strict=True)}
        return problem, entry, found

    def _wrong(self, entry: dict[str, Any], files: int) -> str:
        for name, value in entry.items():
            if name not in _FIELDS or not isinstance(value, _FIELDS[name]):
                return f"field {name}"
            if name in _PARTS and any(set(part) - _PARTS[name] for part in value):
                return f"fields of {name}"
        if not entry.get("logbooks"):
            return "A log entry must specify at least one logbook."
        if entry.get("title") == "":
            return "A log entry must specify a title."
        if {each["name"] for each in entry["logbooks"]} - set(self.olog.logbooks):
            return "One or more invalid logbook name(s)"
        if {each["name"] for each in entry.get("tags", [])} - set(self.olog.tags):
            return "One or more invalid tag name(s)"
        if files and files != len(entry.get("attachments", [])):
            return "Attachment data invalid"
        return ""

    def _fails(self, fault: str) -> bool:
        match fault:
            case "":
                return False
            case "hang":
                self.olog.released.wait()
            case "trickle":
                self._write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self.olog.released.wait(0.02) and self._write(b"x"):
                    pass
            case "garbage":
                self._write(b"\x00\xffSSH-2.0-hello\r\n\r\n")
            case "close":
                pass
            case "huge":
                self._write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                while self._write(b"x" * 100_000):
                    pass
            case "lies":
                self._answer(200, {"yes": "stored"})
                return True
            case _:
                self._answer(int(fault), {"error": "<b>secret page</b>"})
                return True
        self.close_connection = True
        return True

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True

    def _answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self._write(data)


def _breaks(entry: dict[str, Any]) -> bool:
    """What the original does not check, and fails at."""
    attributes = [each for group in entry.get("properties", []) for each in group["attributes"]]
    missing = entry.get("title") is None or entry.get("source") is None
    return missing or any(each.get("value") is None for each in attributes)


def _payload(part: Any) -> bytes:
    return part.get_payload(decode=True)


def _has(entry: dict[str, Any], name: str, attribute: str, value: str) -> bool:
    return any(
        each["name"] == name and {"name": attribute, "value": value} in each["attributes"]
        for each in entry["properties"]
    )
