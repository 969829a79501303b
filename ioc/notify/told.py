"""What people were told lately, in a file beside the run database: an IOC that restarts again and again does not ring
each time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ioc.notify.rules import Known, Memory
from ioc.topology.schema import Rule


def load(path: Path, rules: Sequence[Rule], now: float, wall: float) -> tuple[Memory, ...]:
    """Return what the rules remember of an earlier process; nothing if the file is missing or spoilt.

    `now` is on the monotonic clock, `wall` in POSIX seconds. May block on the disk.
    """
    try:
        rows: Any = json.loads(path.read_bytes())
        told = [(str(when), str(about), int(sent), float(at)) for when, about, sent, at in rows]
    except (OSError, ValueError, TypeError):
        told = []
    return tuple(
        Memory(
            {
                (when, about): Known(since=None, ended=now, sent=sent, sent_at=now - (wall - at))
                for when, about, sent, at in told
                if when == rule.when and 0 <= wall - at < 60 * rule.repeat_minutes
            }
        )
        for rule in rules
    )


def save(path: Path, memories: Sequence[Memory], now: float, wall: float) -> None:
    """Store what was told. May block on the disk.

    Raises:
        OSError: the disk is full, for example.
    """
    rows = [
        [when, about, known.sent, wall - (now - known.sent_at)]
        for memory in memories
        for (when, about), known in memory.known.items()
        if known.sent
    ]
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(rows))
    part.replace(path)
