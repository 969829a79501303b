"""The samples of a run beside those that an EPICS Archiver Appliance has."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from ioc.cli.progress import progress
from ioc.cli.run_text import table
from ioc.errors import PeerError, Refused
from ioc.rundb.queries import Row, RunBook, SheetObservable
from ioc.rundb.times import to_microseconds, to_text

_SECONDS = 30.0
_RELATIVE = 1e-6
"""The appliance keeps FLOAT as such; what comes back differs from our double by so much."""


@dataclass(frozen=True)
class _Archived:
    """One event of ``getData.json``."""

    sampled_us: int
    value: Any
    severity: int


def compare_with_archiver(book: RunBook, number: int, url: str, thinned: Collection[str]) -> tuple[str, bool]:
    """A table, one line for each observable that follows a PV, and whether all of it agrees.

    `thinned` are the observables of which we keep fewer samples than come: what is missing here is expected then.

    Raises:
        PeerError: the appliance does not answer, or not in the format of its retrieval.
        Refused: there is no such run, it has no samples, or `url` is no address of an appliance.
    """
    if not url.startswith(("http://", "https://")):
        raise Refused(f"--from-archiver {url} must be the address of an appliance, such as http://archiver:17668")
    followed = [each for each in book.observables() if each.pv is not None]
    if not book.sampled(number):
        raise Refused(f"run {number} has no samples to compare")
    began, ended = book.span(number)
    window = to_microseconds(began), to_microseconds(ended)
    lines: list[tuple[str, ...]] = []
    agree = True
    with progress(followed, len(followed), "comparing") as observables:
        for each in observables:
            theirs = _read(url, str(each.pv), window)
            counts = _compare(each, book.samples(number, [each]), theirs, window)
            lines.append((each.name, str(each.pv), *(str(counts[column]) for column in _COLUMNS)))
            expected = {"missing here"} if each.name in thinned else set[str]()
            agree = agree and not any(counts[column] for column in _COLUMNS[2:] if column not in expected)
    return table(("observable", "PV", *_COLUMNS), lines), agree


_COLUMNS = ("here", "there", "missing here", "missing there", "different")


def _compare(
    observable: SheetObservable, rows: Iterable[Row], archived: Sequence[_Archived], window: tuple[int, int]
) -> Counter[str]:
    there = {each.sampled_us: each for each in archived if window[0] < each.sampled_us <= window[1]}
    counts = Counter({"there": len(there)})
    known = True  # whether the source's value is one that came earlier: at the begin of the run and after a gap
    found: set[int] = set()
    for row in rows:
        if row["status"] == "disconnected":
            known = True
            continue
        if row["sampled_us"] > window[1]:
            break
        match = next((us for us in (row["sampled_us"] + off for off in (0, -1, 1)) if us in there), None)
        if match is not None:
            found.add(match)
            counts["different"] += not _same(observable, row, there[match])
        elif not known:
            counts["missing there"] += 1
        counts["here"] += match is not None or not known
        known = False
    counts["missing here"] = len(there) - len(found)
    return counts


def _same(observable: SheetObservable, row: Row, archived: _Archived) -> bool:
    if row["severity"] != archived.severity:
        return False
    ours, theirs = row["value"], archived.value
    if observable.value_type == "enum":
        return True  # the appliance has the number, we have the text
    if isinstance(theirs, list):
        theirs = next(iter(cast("list[Any]", theirs)), "")
    if observable.value_type == "string":
        return str(ours) == str(theirs)
    try:
        number = float(theirs)
    except (TypeError, ValueError):
        return False
    if ours is None or not math.isfinite(number):
        return math.isnan(number) if ours is None else ours == number
    if observable.value_type == "integer":
        number = round(number)
    return math.isclose(float(ours), number, rel_tol=_RELATIVE)


def _read(url: str, pv: str, window: tuple[int, int]) -> list[_Archived]:
    """The events of a PV; the appliance adds the last one before the window."""
    query = urlencode({"pv": pv, "from": to_text(window[0] / 1e6), "to": to_text((window[1] + 1) / 1e6)})
    address = f"{url.rstrip('/')}/retrieval/data/getData.json?{query}"
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - http or https, see above
            series = json.load(answer)
        return [
            _Archived(each["secs"] * 1_000_000 + round(each["nanos"] / 1000), each["val"], int(each["severity"]))
            for one in series
            for each in one["data"]
        ]
    except urllib.error.HTTPError as error:
        error.close()
        raise PeerError(f"the archiver appliance {url} answered {error.code} {error.reason} for {pv}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise PeerError(f"the archiver appliance {url} does not answer: {reason}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"{url} did not answer like the retrieval of an archiver appliance for {pv}") from error
