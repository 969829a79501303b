"""Types of arguments and options shared by several commands.

The types are stricter than click's own, which accept values that are not sensible paths or numbers.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ioc.rundb.times import to_text

_AGES = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
"""Seconds."""
_RUN_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)


class PathName(click.Path):
    """A path; refuses an empty text, which would mean the current directory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "" or "\0" in str(value):
            self.fail(f"it is {str(value)!r}, but must be a path", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """Decimal digits; refuses Python's 1_0 and digits of other scripts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not _WHOLE.fullmatch(str(value)):
            self.fail(f"{value!r} is not a valid integer, but must be decimal digits", param, ctx)
        return super().convert(value, param, ctx)


def run_range(text: str) -> range:
    """Type of an argument: one run number, or the first and the last one: 12 or 12-20."""
    match = _RUN_RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if last < first:
        raise click.BadParameter(f"it is {text!r}, but must be a run number, or two in order such as 12-20")
    return range(first, last + 1)


class Factor(click.FloatRange):
    """A number in a range; refuses nan."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not in the range {self._describe_range()}", param, ctx)
        return number


class FactorOrNothing(Factor):
    """A number in a range, or an empty text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return "" if value == "" else super().convert(value, param, ctx)


class Moment(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic since click 8.5
    """A date or time, local unless it has an offset; becomes a time of the run database."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return to_text(datetime.fromisoformat(str(value)).astimezone().timestamp())
        except (ValueError, OverflowError, OSError):
            wanted = "a date such as 2026-11-22, or a time such as 2026-11-22T18:30 or 2026-11-22T18:30Z"
            self.fail(f"it is {str(value)!r}, but must be {wanted}", param, ctx)


def _standard_output(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return None if value == Path("-") else value


class Age(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older versions take none
    """A number of hours, days or weeks; converted to seconds."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,5})([hdw])", str(value), re.ASCII)
        if not match:
            self.fail(f"it is {value!r}, but must be a number of hours, days or weeks: 12h, 30d, 8w", param, ctx)
        return int(match[1]) * _AGES[match[2]]


topology_option = click.option(
    "--topology",
    type=PathName(),
    default=Path("topology.yaml"),
    show_default=True,
    help="Topology file, which describes the installation.",
)
database_option = click.option(
    "--database", type=PathName(dir_okay=False, readable=False), help="Run database, instead of the topology's."
)
output_option = click.option(
    "--output",
    type=PathName(dir_okay=False),
    callback=_standard_output,
    help="Output file; default, or -: standard output.",
)


def database_of(topology: Path, database: Path | None) -> Path:
    """The run database: the one of the option, else the topology's."""
    if database is not None:
        return database
    from ioc.topology.load import load  # noqa: PLC0415 - takes longer to import than listing the runs

    return Path(load(topology).database)
