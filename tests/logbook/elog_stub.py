"""A stand-in for an Elog of PSI (elogd 3.1), as strict as the original was seen to be.

Whatever it does not accept is a 404 with a page: an attribute that is missing or has a value that is no option, a
request that is too large, an unknown logbook. Who is not known gets a page with a password, also for a search. Texts
are bytes in the character set of its pages.
"""

from __future__ import annotations

import re
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

LOGIN = '<html><form><input type="hidden" name="redir"><input type="password" name="upassword"></form></html>'
ERROR = '<html><table><tr><td class="errormsg">{}</td></tr></table></html>'


class ElogStub:
    """Context manager; `entries` are the fields of what it has stored, in order."""

    def __init__(self, *, required: tuple[str, ...] = (), charset: str = "UTF-8", largest: int = 10_000_000) -> None:
        self.entries: list[dict[str, str]] = []
        self.pictures: list[bytes] = []
        self.largest = largest
        self.fault = ""
        """``hang``, ``500``, or ``lost reply`` (once)."""
        self.released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if stub.fault == "hang":
                    stub.released.wait()
                    return
                if self._refused():
                    return
                if not re.search("unm=shift; *upwd=", self.headers["Cookie"] or ""):
                    self._answer(200, LOGIN)
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
                if self._refused():
                    return
                if len(body) > stub.largest:
                    self._answer(404, ERROR.format("Error: Content length larger than maximum content length"))
                    return
                kind = self.headers["Content-Type"]
                message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
                fields: dict[str, str] = {}
                pictures: list[bytes] = []
                for part in message.iter_parts():
                    name: Any = part.get_param("name", header="content-disposition")
                    data: Any = part.get_payload(decode=True)
                    if str(name).startswith("attfile"):
                        pictures.append(data)
                    else:
                        fields[str(name)] = data.decode(charset, "replace")
                if fields.get("unm") != "shift" or "upwd" not in fields:
                    self._answer(200, LOGIN)
                    return
                missing = [name for name in required if name not in fields]
                if missing:
                    self._answer(404, ERROR.format(f"<i>Error: Attribute <b>{missing[0]}</b> not supplied.</i>"))
                    return
                stub.pictures += pictures
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

            def _refused(self) -> bool:
                if stub.fault == "500":
                    self._answer(500, "no")
                elif not self.path.startswith("/book/"):
                    self._answer(404, ERROR.format('Error: logbook "nope" not defined in elogd.cfg'))
                elif self.path == "/book/None":  # py_elog asks for it when a connection broke
                    self._answer(404, ERROR.format("Error: Command &lt;None&gt; not allowed"))
                else:
                    return False
                return True

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", f"text/html;charset={charset}")
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
