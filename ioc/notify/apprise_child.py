# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The process that calls Apprise: one message as JSON on standard input, the outcome as a word on standard output."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from importlib import import_module
from typing import Any


def main() -> None:
    message: dict[str, Any] = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    logging.disable()  # its lines may have the URL
    sys.stdout.write(_send(message))


def _send(message: dict[str, Any]) -> str:
    try:
        apprise: Any = import_module("apprise")
    except ImportError:
        return "missing"
    try:
        service = apprise.Apprise()
        if not service.add(message["url"]):
            return "url"
        text = apprise.NotifyFormat.TEXT
        sent = service.notify(title=message["title"], body=message["body"], body_format=text)
    except Exception:
        return "error"
    return "sent" if sent else "failed"


if __name__ == "__main__":
    main()
