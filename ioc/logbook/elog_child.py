# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The process that calls py_elog: one question as JSON on standard input, one answer on standard output."""

from __future__ import annotations

import base64
import io
import json
import sys
import warnings
from importlib import import_module
from typing import Any


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
    except elog.LogbookAuthenticationError:
        return "password", None
    except (elog.LogbookInvalidMessageID, elog.LogbookInvalidAttachmentType) as error:
        # An answer without the number of an entry. While a connection error is handled the library raises it, too.
        return "rejected" if error.__context__ is None else "unreachable", None
    except elog.LogbookError as error:
        return "timeout" if "Timeout" in type(error).__name__ else "unreachable", None
    except Exception:
        return "failed", None


def _ask(elog: Any, question: dict[str, Any]) -> object:
    book = elog.open(question["url"], user=question["user"], password=question["password"])
    seconds = question["seconds"]
    if question["do"] == "search":
        return bool(book.search(question["text"], n_results=1, timeout=seconds))
    attachments: list[io.BytesIO] = []
    if question["picture"] is not None:
        picture = io.BytesIO(base64.b64decode(question["picture"]))
        picture.name = question["name"]
        attachments.append(picture)
    attributes = {name: _latin(value) for name, value in question["attributes"].items()}
    text = _latin(question["text"])
    book.post(text, attributes=attributes, attachments=attachments, encoding="plain", timeout=seconds)
    return True


def _latin(text: str) -> str:
    """What the library can send."""
    return text.encode("latin-1", "replace").decode("latin-1")


if __name__ == "__main__":
    main()
