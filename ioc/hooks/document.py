"""The data that a hook gets about the run: a JSON document and environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from ioc.model import HookPoint, RunRecord


def document(point: HookPoint, name: str, record: RunRecord) -> str:
    """Return the run as JSON in ASCII, on one line."""
    state = "failed" if point is HookPoint.Failed else record.state.value
    return json.dumps(
        {
            "hook": point.value,
            "name": name,
            "experiment": record.run.experiment,
            "run": record.run.number,
            "title": record.title,
            "class": record.run_class.name,
            "state": state,
            "directory": record.run.directory,
            "config": record.config_name,
            "started_at": _time(record.started_at),
            "stopped_at": _time(record.stopped_at),
            "duration": record.duration,
            "bytes": record.size,
            "message": record.message,
            "comment": record.comment,
            "quality": record.quality.name,
        }
    )


_VARIABLES: Mapping[str, str] = {
    "ATTPC_HOOK": "hook",
    "ATTPC_HOOK_NAME": "name",
    "ATTPC_EXPERIMENT": "experiment",
    "ATTPC_RUN": "run",
    "ATTPC_TITLE": "title",
    "ATTPC_CLASS": "class",
    "ATTPC_STATE": "state",
    "ATTPC_DIRECTORY": "directory",
}


def variables(told: str) -> tuple[str, ...]:
    """Return the variables of the environment, ``NAME=VALUE``, that go with a document."""
    values = json.loads(told)
    # No variable can have the character NUL.
    return tuple(f"{variable}={values[key]}".replace("\0", "") for variable, key in _VARIABLES.items())


def _time(posix: float | None) -> str | None:
    return None if posix is None else datetime.fromtimestamp(posix, UTC).isoformat(timespec="milliseconds")
