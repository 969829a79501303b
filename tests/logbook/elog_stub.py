"""A stand-in for an Elog of PSI (elogd): what its Python library sends and reads, and nothing more."""

from __future__ import annotations

import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class ElogStub:
    """Context manager; `entries` are the fields of what it has stored, in order."""

    def __init__(self, *, required: tuple[str, ...] = ()) -> None:
        self.entries: list[dict[str, str]] = []
        self.pictures: list[bytes] = []
        self.fault = ""
        """``hang``, ``500``, or ``lost reply`` (once)."""
        self.released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if stub.fault == "hang":
                    stub.released.wait()
                    return
                wanted = parse_qs(urlsplit(self.path).query).get("subtext", [""])[0]
                found = [n for n, entry in enumerate(stub.entries, 1) if wanted in entry["Text"]]
                rows = "".join(f'<tr><td class="list1"><a href="../book/{n}">{n}</a></td></tr>' for n in found)
                self._answer(200, f"<html><table>{rows}</table></html>")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if stub.fault == "hang":
                    stub.released.wait()
                    return
                if stub.fault == "500":
                    self._answer(500, "no")
                    return
                kind = self.headers["Content-Type"]
                message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
                fields: dict[str, str] = {}
                for part in message.iter_parts():
                    name: Any = part.get_param("name", header="content-disposition")
                    data: Any = part.get_payload(decode=True)
                    if str(name).startswith("attfile"):
                        stub.pictures.append(data)
                    else:
                        fields[str(name)] = data.decode("latin-1")
                if fields.get("unm") != "shift" or "upwd" not in fields:
                    self._answer(200, "<html><form><input type=password name=upwd><input name=redir></form>")
                    return
                missing = [name for name in required if name not in fields]
                if missing:
                    self._answer(
                        200, f"<html><td class=errormsg>Error: Attribute <b>{missing[0]}</b> not supplied.</td>"
                    )
                    return
                stub.entries.append(fields)
                if stub.fault == "lost reply":
                    stub.fault = ""
                    self.close_connection = True
                    return
                self.send_response(302)
                self.send_header("Location", f"http://{self.headers['Host']}/book/{len(stub.entries)}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base class
                pass

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/book/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
