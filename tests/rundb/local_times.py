"""A program that compares local times with Python's own in the time zone of its environment (TZ).

It prints the texts whose local times differ, and how many changes of the offset it has passed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ioc.rundb.formats import local_time
from ioc.rundb.times import LATEST, to_text

DAY, TEN_MINUTES, OTHERS = 86_400, 600, 9 * 3600 + 1.25
UNTIL = datetime(2038, 1, 1, tzinfo=UTC).timestamp()


def plainly(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone().isoformat(sep=" ", timespec="seconds")


def offset(moment: float) -> timedelta | None:
    return datetime.fromtimestamp(moment, UTC).astimezone().utcoffset()


def moments() -> Iterator[float]:
    """Every ten minutes about each change of the offset, some other times, and the ends of what can be stored."""
    moment = 0.0
    while moment < UNTIL:
        yield moment
        moment += OTHERS
    changes = [day for day in range(0, int(UNTIL), DAY) if offset(day) != offset(day + DAY)]
    for day in changes:
        yield from (ten + beside for ten in range(day - DAY, day + 2 * DAY, TEN_MINUTES) for beside in (-1e-6, 0.0))
    yield from (LATEST / 1e6 - back for back in range(15 * 3600, 3 * DAY, 3600))  # no local time is in the year 10000
    print(len(changes))


def main() -> None:
    texts = [to_text(moment) for moment in moments()]
    odd = ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00", "2026-07-01T12:00:00.123456+05:00", "20260701T120000Z"]
    sys.stdout.writelines(f"{text}\n" for text in texts + odd if local_time(text) != plainly(text))


if __name__ == "__main__":
    main()
