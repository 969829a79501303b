"""A stand-in for py_elog where that is not installed: `open`, `post` and `search` with their errors.

A status other than 200 and 302 is a LogbookMessageRejected. When a connection breaks, the library asks for the entry
with the number None, and what that leads to is raised while the first error is handled.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class LogbookError(Exception): ...


class LogbookAuthenticationError(LogbookError): ...


class LogbookServerProblem(LogbookError): ...


class LogbookServerTimeout(LogbookError): ...


class LogbookMessageRejected(LogbookError): ...


class LogbookInvalidMessageID(LogbookMessageRejected): ...


class LogbookInvalidAttachmentType(LogbookMessageRejected): ...


class Logbook:
    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        self._url, self._user, self._password = url, user, password

    def post(
        self, message: str, attributes: dict[str, str], attachments: list[Any], encoding: str, timeout: float
    ) -> int:
        assert encoding in {"plain", "HTML", "ELCode"}
        fields = {**attributes, "Encoding": encoding, "cmd": "Submit", "unm": self._user, "upwd": self._password}
        parts = [
            f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode("latin-1")
            for name, value in {**fields, "Text": message}.items()
            if value is not None
        ]
        for number, file in enumerate(attachments):
            head = f'Content-Disposition: form-data; name="attfile{number}"; filename="{file.name}"\r\n\r\n'
            parts.append(head.encode() + file.read())
        body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"
        try:
            location = self._ask(self._url, timeout, body)[1]
        except (TimeoutError, LogbookError):
            raise
        except OSError:
            self._ask(f"{self._url}None", timeout)
            raise LogbookServerProblem("Cannot access logbook server to post a message") from None
        if not location:
            raise LogbookInvalidMessageID("Invalid message ID: None returned")
        return int(location.rpartition("/")[2])

    def search(self, search_term: str, n_results: int, timeout: float) -> list[int]:
        query = urllib.parse.urlencode({"subtext": search_term, "npp": n_results})
        try:
            page = self._ask(f"{self._url}?{query}", timeout)[0]
        except LogbookError:
            raise
        except OSError as error:
            raise LogbookServerProblem("Cannot access logbook server to read message ids") from error
        return [int(n) for n in re.findall(r'href="[^"]*/(\d+)"', page)]

    def _ask(self, url: str, timeout: float, body: bytes | None = None) -> tuple[str, str]:
        request = urllib.request.Request(url, body)
        if body is not None:
            request.add_header("Content-Type", "multipart/form-data; boundary=edge")
        elif self._user:
            request.add_header("Cookie", f"unm={self._user};upwd={self._password};")
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout) as reply:
                status, page, location = reply.status, reply.read().decode("latin-1"), ""
        except urllib.error.HTTPError as error:
            status, page, location = error.code, "", error.headers["Location"] or ""
        except TimeoutError as error:
            raise LogbookServerTimeout("timeout") from error
        if status not in {200, 302}:
            raise LogbookMessageRejected("Rejected because of unknown error.")
        if 'type="password"' in page:
            raise LogbookAuthenticationError("Invalid username or password.")
        return page, location


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:  # noqa: PLR0917 - of the base class
        return None


def open(*arguments: Any, **options: Any) -> Logbook:  # noqa: A001 - the library's name
    return Logbook(*arguments, **options)
