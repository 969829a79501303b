"""What an EPICS Archiver Appliance has of a PV."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.parse import urlencode, urlsplit

from ioc.errors import PeerError, Refused
from ioc.rundb.times import to_text

_SECONDS = 30.0


@dataclass(frozen=True)
class Archived:
    """One event of ``getData.json``."""

    sampled_us: int
    value: Any
    severity: int


def check_address(url: str) -> None:
    """See whether `url` can be the address of an appliance.

    Raises:
        Refused: it cannot.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are not closed, a port that is no number
        fine = False
    if not fine:
        raise _no_address(url)


def retrieve(url: str, pv: str, window: tuple[int, int]) -> list[Archived]:
    """The events of a PV between two times in microseconds; the appliance adds the last one before them.

    Raises:
        PeerError: the appliance does not answer, or not in the format of its retrieval.
        Refused: `url` is no address.
    """
    query = urlencode({"pv": pv, "from": to_text(window[0] / 1e6), "to": to_text((window[1] + 1) / 1e6)})
    try:
        series = json.loads(_get(url, f"{url.rstrip('/')}/retrieval/data/getData.json?{query}", pv))
        return [
            Archived(each["secs"] * 1_000_000 + round(each["nanos"] / 1000), each["val"], int(each["severity"]))
            for one in series
            for each in one["data"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise PeerError(f"{url} did not answer like the retrieval of an archiver appliance for {pv}") from error


def _get(url: str, address: str, pv: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - see `check_address`
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()
        raise PeerError(f"the archiver appliance {url} answered {error.code} {error.reason} for {pv}") from error
    except (InvalidURL, UnicodeError) as error:
        raise _no_address(url) from error
    except HTTPException as error:
        raise PeerError(f"the archiver appliance {url} does not answer in HTTP: {error!r}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise PeerError(f"the archiver appliance {url} does not answer: {reason}") from error


def _no_address(url: str) -> Refused:
    return Refused(f"--from-archiver {url} must be the address of an appliance, such as http://archiver:17668")
