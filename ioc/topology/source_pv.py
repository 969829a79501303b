"""Which PV an observable may follow."""

from __future__ import annotations

import re

_NAME = re.compile(r"[\x21-\x7e]{1,60}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)

_FAMILIES = ("ECC:", "Router:", "Run:", "Obs:", "Log:", "IOC:")
_OF_THE_SYSTEM = {
    *("State", "Message", "Busy", "Experiment"),
    *("Describe", "Prepare", "Configure", "Reset"),
}


def channel_of(name: str) -> str:
    """Return the Channel Access name that `name` means: without ``ca://``, which Phoebus writes before it.

    Raises:
        ValueError: it is no name that can be followed; the message says what it must be, as in the schema.
    """
    if scheme := _SCHEME.fullmatch(name):
        kind, name = scheme[1].lower(), scheme[2]
        if kind == "pva":
            raise ValueError("a Channel Access PV: pvAccess (pva://) cannot be followed yet")
        if kind != "ca" or "://" in name:
            raise ValueError(f"a Channel Access PV, with ca:// or nothing before its name: {kind}:// is none")
    if not _NAME.fullmatch(name):
        raise ValueError("a PV name of 1 to 60 characters without spaces")
    return name


def is_own(name: str, prefix: str) -> bool:
    """Whether an IOC with this prefix serves `name` itself, or a field of it."""
    rest = name.split(".", 1)[0].removeprefix(prefix)
    return name.startswith(prefix) and (rest in _OF_THE_SYSTEM or rest.startswith(_FAMILIES))
