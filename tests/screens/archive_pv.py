"""How the EPICS Archiver Appliance reads a list of PVs, as strict as its ``archivePV`` of summer 2026.

It goes through the list in order. An entry whose period or method it cannot read is skipped. A name that it refuses
ends the list: nothing after it is archived, although the answer is "200 OK". Everything else is archived with a buffer
that is written every ten seconds; updates that do not fit into it are lost.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_WRITTEN_EVERY = 10.0
_LEAST_PERIOD = 0.1
_METHODS = ("SCAN", "MONITOR", "DONT_ARCHIVE")
_NAME = re.compile(
    r"(?P<record>[a-zA-Z0-9_\-+:\[\]<>;/,#{}^]+)"
    r"\.?(?P<field>[a-zA-Z_][a-zA-Z0-9_]*)?"
    r"\.?(\{[a-zA-Z0-9:(){}.\"',-]+\}|\[[0-9]+:[0-9]+\])?"
)


class RefusedError(Exception):
    """The appliance reads no more of the list."""


class Archived(NamedTuple):
    """A PV that is archived."""

    pv: str
    method: str
    buffer: int
    """Updates that it keeps between two writes."""


def archive(text: str) -> list[Archived]:
    """Return the PVs that are archived.

    Raises:
        RefusedError: the list is none, or it has a name that is refused.
    """
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise RefusedError("no list")
    archived: dict[str, Archived] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("pv"), str):
            raise RefusedError(entry)
        policy = _policy(entry)
        if policy is not None:
            name = _name(entry["pv"])
            archived.setdefault(name, Archived(name, *policy))  # "Already submitted" otherwise
    return list(archived.values())


def _policy(entry: dict[str, Any]) -> tuple[str, int] | None:
    """Return method and buffer; None if the entry is skipped: numbers must be texts."""
    period, method = entry.get("samplingperiod", "1.0"), entry.get("samplingmethod", "MONITOR")
    if not isinstance(period, str) or not isinstance(method, str) or method.upper() not in _METHODS:
        return None
    try:
        seconds = max(float(period), _LEAST_PERIOD)
    except ValueError:
        return None
    return method.upper(), max(round(_WRITTEN_EVERY / seconds), 1) + 1


def _name(pv: str) -> str:
    """Return the name under which it is archived."""
    match = _NAME.search(pv)
    if match and match["field"] == "VAL":
        pv = pv.partition(".")[0]
        match = _NAME.search(pv)
    if pv.endswith(".") or match is None or match.span() != (0, len(pv)):
        raise RefusedError(pv)
    prefix = next((each for each in ("pva://", "ca://") if pv.startswith(each)), "")
    return pv.replace(prefix, "") if prefix else pv
