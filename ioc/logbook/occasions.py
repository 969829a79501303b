"""When a run gets an entry. Pure: an entry is due because of what the run is, not because of how it came to be.

So nothing is missed after a kill: whatever is due and was not written yet is written by the next process. The id of an
entry follows from the run, so that a second attempt to write it is recognised everywhere.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

from ioc.model import DocumentState, RunRecord
from ioc.rundb.times import to_microseconds

_NAMESPACE = uuid.UUID("c2ddc1e1-8d53-4d8c-9d2b-6c8d1f7f4a10")


class Kind(StrEnum):
    """The occasions for an entry about a run."""

    Start = "start"
    End = "end"
    Failed = "failed"


@dataclass(frozen=True)
class Occasion:
    """An entry that is due."""

    kind: Kind
    record: RunRecord

    @property
    def id(self) -> str:
        """Unique among all runs of all installations: hexadecimal digits, the same for each attempt."""
        run = self.record.run
        return uuid.uuid5(_NAMESPACE, f"{run.experiment}/{run.number}/{self._reserved_us}/{self.kind}").hex

    @property
    def file_name(self) -> str:
        """Sorts by time: a start before the end of the same run."""
        order = "0" if self.kind is Kind.Start else "1"
        return f"{self._reserved_us:018d}-{order}-{self.id}"

    @property
    def _reserved_us(self) -> int:
        """As the database keeps it: a record that was read from there has the same id."""
        return to_microseconds(self.record.reserved_at)


def due(record: RunRecord) -> tuple[Occasion, ...]:
    """Return the entries that the logbook must have for the current state of a run."""
    started = record.started_at is not None and record.state is not DocumentState.Starting
    start = (Occasion(Kind.Start, record),) if started else ()
    match record.state:
        case DocumentState.Complete:
            return (*start, Occasion(Kind.End, record))
        case DocumentState.Failed | DocumentState.Orphaned:
            return (*start, Occasion(Kind.Failed, record))
        case _:
            return start
