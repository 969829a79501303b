"""The display of a PV: a text, a mark if there is a problem, and the time of its value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ioc.model import Severity
from ioc.rundb.formats import value_text
from ioc.web.channels import Channel, Kind
from ioc.web.svg import sparkline

LOG_LINES = 40
NOT_CONNECTED = "not connected"
_LONGEST = 4000
"""Characters of a text on the page; more is cut with an ellipsis."""


@dataclass(frozen=True)
class Shown:
    """One PV as a viewer sees it."""

    text: str = ""
    mark: str = NOT_CONNECTED
    """Empty if all is well, else the severity of its alarm in letters, or `NOT_CONNECTED`."""
    at: float = 0.0
    """POSIX time of the value; 0 if there never was one."""

    def as_list(self) -> list[Any]:
        return [self.text, self.mark, round(self.at, 3)]


def shown(channel: Channel, value: Any, severity: int, at: float) -> Shown:
    if channel.absent is not None and (severity == Severity.INVALID or value != value):  # noqa: PLR0124 - NaN
        return Shown(channel.absent, "", 0.0)
    mark = Severity(min(severity, Severity.INVALID)).name if severity else ""
    match channel.kind:
        case Kind.History:
            return Shown(sparkline([float(each) for each in value]), "", at)
        case Kind.Log:
            return Shown("\n".join(str(value).split("\n", LOG_LINES)[:LOG_LINES]), "", at)
        case Kind.Number:
            return Shown(_number(float(value), channel, mark), mark, at)
        case _:
            text = str(value)
            return Shown(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", mark, at)


def _number(number: float, channel: Channel, mark: str) -> str:
    if math.isnan(number):
        return "no value" if mark else ""
    text = value_text(number) if channel.decimals is None else f"{number:.{channel.decimals}f}"
    return f"{text} {channel.units}" if channel.units else text


def lost(before: Shown) -> Shown:
    """The same value after its connection was lost."""
    return Shown(before.text, NOT_CONNECTED, before.at)
