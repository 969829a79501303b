"""Compares the samples of a run with those of an EPICS Archiver Appliance."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, InvalidURL
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from ioc.cli.output import progress, table
from ioc.errors import PeerError, Refused
from ioc.rundb.queries import Row, RunBook, SheetObservable
from ioc.rundb.times import to_microseconds, to_text

_SECONDS = 30.0
_RELATIVE = 1e-6
"""Relative difference allowed, because the appliance stores FLOAT in single precision."""
_COLUMNS = ("here", "there", "missing here", "missing there", "different")


def compare_with_archiver(
    book: RunBook, number: int, observables: Sequence[str], url: str, thinned: Collection[str]
) -> tuple[str, bool]:
    """Return a table with one line for each observable with a source PV, and whether everything agrees.

    `observables` are the names to compare, empty for all. `thinned` are those with a dead band or rate limit: samples
    that are missing here are then expected.

    Raises:
        PeerError: the appliance does not answer, or not in the format of its retrieval.
        Refused: there is no such run or observable, it has no samples, or `url` is not an address of an appliance.
    """
    check_address(url)
    followed = _followed(book, number, observables)
    began, ended = book.span(number)
    window = to_microseconds(began), to_microseconds(ended)
    lines: list[tuple[str, ...]] = [("observable", "PV", *_COLUMNS)]
    agree = True
    with progress(followed, len(followed), "comparing") as compared:
        for each in compared:
            theirs = retrieve(url, str(each.pv), window)
            counts = _compare(book.samples(number, [each]), theirs, window)
            lines.append((each.name, str(each.pv), *(str(counts[column]) for column in _COLUMNS)))
            expected = {"missing here"} if each.name in thinned else set[str]()
            agree = agree and not any(counts[column] for column in _COLUMNS[2:] if column not in expected)
    return table(lines), agree


def _followed(book: RunBook, number: int, observables: Sequence[str]) -> list[SheetObservable]:
    sampled = book.sampled(number, observables)
    if observables and (manual := [each.name for each in sampled if each.manual]):
        raise Refused(f"observable {manual[0]} is manual: an archiver has no samples of it")
    followed = [each for each in sampled if not each.manual]
    if not followed:
        raise Refused(f"run {number} has no samples to compare")
    return followed


def _compare(rows: Iterable[Row], archived: Sequence[Archived], window: tuple[int, int]) -> Counter[str]:
    there = {each.sampled_us: each for each in archived if window[0] < each.sampled_us <= window[1]}
    counts = Counter({"there": len(there)})
    known = True  # whether the source's value may be an earlier one: at the begin of the run and after a gap
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
            counts["different"] += not _same(row, there[match])
        elif not known:
            counts["missing there"] += 1
        counts["here"] += match is not None or not known
        known = False
    counts["missing here"] = len(there) - len(found)
    return counts


def _same(row: Row, archived: Archived) -> bool:
    if row["severity"] != archived.severity:
        return False
    ours, theirs = row["value"], archived.value
    if isinstance(ours, str):
        return _same_text(ours, theirs)
    try:
        number = float(_first(theirs))
    except (TypeError, ValueError):
        return False
    if ours is None or not math.isfinite(number):
        return math.isnan(number) if ours is None else ours == number
    if isinstance(ours, int):
        number = round(number)
    return math.isclose(float(ours), number, rel_tol=_RELATIVE)


def _same_text(ours: str, theirs: Any) -> bool:
    first = _first(theirs)
    if isinstance(first, str):
        return ours == first
    if isinstance(theirs, list):
        return ours == _characters(cast("list[Any]", theirs)) or _is_number(ours, first)
    return isinstance(theirs, int | float)  # enum: the appliance has the number, we have the text


def _is_number(text: str, number: Any) -> bool:
    try:
        return math.isclose(float(text), float(number), rel_tol=_RELATIVE)
    except (TypeError, ValueError):
        return False


def _first(value: Any) -> Any:
    """Only the first element of an array is recorded."""
    return next(iter(cast("list[Any]", value)), "") if isinstance(value, list) else value


def _characters(array: Sequence[Any]) -> str | None:
    """The text of a waveform of CHAR, which the appliance stores as signed numbers."""
    try:
        return bytes(each & 0xFF for each in array).split(b"\0")[0].decode(errors="replace")
    except TypeError:
        return None


@dataclass(frozen=True)
class Archived:
    """One event of ``getData.json``."""

    sampled_us: int
    value: Any
    severity: int


def check_address(url: str) -> None:
    """Check that `url` can be the address of an appliance.

    Raises:
        Refused: it cannot.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # unclosed brackets, a port that is not a number
        fine = False
    if not fine:
        raise _no_address(url)


def retrieve(url: str, pv: str, window: tuple[int, int]) -> list[Archived]:
    """The events of a PV between two times in microseconds; the appliance adds the last earlier one.

    `url` may end with ``/retrieval``, as Phoebus and the topology want it.

    Raises:
        PeerError: the appliance does not answer, or not in the format of its retrieval.
        Refused: `url` is not an address.
    """
    server = url.rstrip("/").removesuffix("/retrieval")
    query = urlencode({"pv": pv, "from": to_text(window[0] / 1e6), "to": to_text((window[1] + 1) / 1e6)})
    try:
        series = json.loads(_get(url, f"{server}/retrieval/data/getData.json?{query}", pv))
        return [
            Archived(each["secs"] * 1_000_000 + round(each["nanos"] / 1000), each["val"], int(each["severity"]))
            for one in series
            for each in one["data"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise PeerError(f"{url} did not answer like the retrieval service of an archiver appliance for {pv}") from error


def _get(url: str, address: str, pv: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - see `check_address`
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.NOT_FOUND:
            raise PeerError(f"{pv} is not archived by {url}, or that is not the address of its retrieval") from error
        raise PeerError(f"the archiver appliance {url} answered {error.code} {error.reason} for {pv}") from error
    except (InvalidURL, UnicodeError) as error:
        raise _no_address(url) from error
    except HTTPException as error:
        raise PeerError(f"the archiver appliance {url} does not answer by HTTP: {error!r}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise PeerError(f"the archiver appliance {url} does not answer: {reason}") from error


def _no_address(url: str) -> Refused:
    return Refused(f"--from-archiver {url} must be the address of an appliance, such as http://archiver:17668")
