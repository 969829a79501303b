# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The process that calls py_elog: one question as JSON on standard input, one answer on standard output.

An elogd answers 404 with a page to whatever it does not accept: an entry without a required attribute, one that is too
large, a logbook that it does not have. Only the texts differ, so a refusal is tested: if the logbook answers a search
it exists, and it is the entry that it does not take.
"""

from __future__ import annotations

import base64
import io
import json
import ssl
import sys
import urllib.error
import urllib.request
import warnings
from importlib import import_module
from typing import Any

_LATIN = "latin-1"


def main() -> None:
    question: dict[str, Any] = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    problem, result = _answer(question)
    sys.stdout.write(json.dumps({"problem": problem, "result": result}))


def _answer(question: dict[str, Any]) -> tuple[str, object]:
    try:
        elog: Any = import_module("elog")
    except ImportError:
        return "missing", None
    try:
        return "", _ask(elog, question)
    except Exception as error:
        return _problem(elog, error), None


def _problem(elog: Any, error: Exception) -> str:
    """The first name that fits; the library does not export its error for a time-out."""
    kinds: tuple[tuple[str, bool], ...] = (
        ("password", isinstance(error, elog.LogbookAuthenticationError)),
        ("rejected", isinstance(error, _Refused)),
        ("no logbook", isinstance(error, elog.LogbookMessageRejected) and not _on_broken_connection(error)),
        ("timeout", isinstance(error, TimeoutError) or type(error).__name__ == "LogbookServerTimeout"),
        ("unreachable", isinstance(error, elog.LogbookError | OSError)),
    )
    return next((name for name, fits in kinds if fits), "failed")


def _on_broken_connection(error: Exception) -> bool:
    """The library then asks for an entry without a number, and raises what that leads to."""
    return error.__context__ is not None


def _ask(elog: Any, question: dict[str, Any]) -> object:
    book = elog.open(question["url"], user=question["user"], password=question["password"])
    if question["do"] == "search":
        return _has(book, question)
    pictures = [None] if question["picture"] is None else [base64.b64decode(question["picture"]), None]
    charset = _charset(question["url"], question["seconds"])
    for picture in pictures:  # without it if that is what is not accepted
        if _takes(elog, book, question, picture, charset) or _has(book, question):
            return True
    raise _Refused


class _Refused(Exception):
    """The logbook answers, but does not take the entry."""


def _has(book: Any, question: dict[str, Any]) -> bool:
    return bool(book.search(question["id"], n_results=1, timeout=question["seconds"]))


def _takes(elog: Any, book: Any, question: dict[str, Any], picture: bytes | None, charset: str) -> bool:
    attachments: list[io.BytesIO] = []
    if picture is not None:
        file = io.BytesIO(picture)
        file.name = question["name"]
        attachments.append(file)
    attributes = {name: _sendable(value, charset) for name, value in question["attributes"].items()}
    text = _sendable(question["text"], charset)
    try:
        book.post(text, attributes=attributes, attachments=attachments, encoding="plain", timeout=question["seconds"])
    except elog.LogbookMessageRejected as error:
        if _on_broken_connection(error):
            raise
        return False
    return True


def _charset(url: str, seconds: float) -> str:
    """The character set of the server's pages: it stores and shows the bytes that it gets as that."""
    trusting = ssl.create_default_context()  # as the library is
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=trusting) as reply:  # noqa: S310 - http or https
            found = reply.headers.get_content_charset()
    except urllib.error.HTTPError as error:
        found = error.headers.get_content_charset()
    try:
        "".encode(found or _LATIN)
    except LookupError:
        return _LATIN
    return found or _LATIN


def _sendable(text: str, charset: str) -> str:
    """A text whose bytes are those of `charset` when the library encodes it, always in Latin 1."""
    return text.encode(charset, "replace").decode(_LATIN)


if __name__ == "__main__":
    main()
