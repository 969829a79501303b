"""What a restart must remember, read from the database once at start-up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

from ioc.errors import PeerError, Refused
from ioc.model import ConfigChoice, RunClass, chosen_experiment
from ioc.ports import RunRecorder, RunStore
from ioc.runlogic.events import Restored
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import Configured

log = logging.getLogger(__name__)

LAST_ALIVE = "last_alive"
"""Setting: when the IOC was last known to live (POSIX seconds), how long which run (number) had lasted then."""
_RETRY_PERIOD = 0.5


async def restore(store: RunStore, plan: Plan) -> Restored:
    """Read what the operator set and which run was open; keeps trying while the database cannot be read."""
    said = ""
    while True:
        try:
            return await _read(store, plan)
        except PeerError as error:
            problem = str(error)
        except Exception as error:
            problem = f"internal error: {error!r}"
        if problem != said:
            log.error("the run database cannot be read, no run can start: %s", problem)
        said = problem
        await asyncio.sleep(_RETRY_PERIOD)


async def _read(store: RunStore, plan: Plan) -> Restored:
    settings = await store.load_settings()
    experiment = chosen_experiment(settings, plan.experiment)
    unfinished = await store.unfinished_runs()
    alive = _numbers(settings.get(LAST_ALIVE, ""))
    return Restored(
        experiment=experiment,
        last_run=await store.last_run(experiment),
        unfinished=unfinished,
        configs=_configs(settings, plan),
        title=settings.get("title", ""),
        run_class=_run_class(settings.get("class", "")),
        last_alive=alive[0] if alive else 0.0,
        last_duration=alive[1] if len(alive) == 3 and unfinished and alive[2] == unfinished[-1].run.number else None,
        least_number=int(settings.get("next_number", "0")),
        orphaned=int(settings.get("orphaned", "-1")),
        configured={name: had for name in plan.servers if (had := _configured(settings.get(f"configured:{name}", "")))},
        links={name: settings.get(f"link:{name}", "") for name in plan.routers},
        directories={name: tuple(json.loads(settings.get(f"directories:{name}", "[]"))) for name in plan.routers},
    )


async def enter_experiment(recorder: RunRecorder, experiment: str) -> None:
    """Tell the recorder which experiment this is; what it cannot do now it does at the next run."""
    try:
        await recorder.change_experiment(experiment)
    except PeerError as error:
        log.error("observables of experiment %s: %s", experiment, error)  # noqa: TRY400 - a peer's fault
    except Exception:
        log.exception("entering experiment %s", experiment)


def _configs(settings: Mapping[str, str], plan: Plan) -> dict[str, ConfigChoice]:
    configs: dict[str, ConfigChoice] = {}
    for name in plan.servers:
        if text := settings.get(f"config:{name}"):
            try:
                configs[name] = ConfigChoice.parse(text)
            except Refused as error:
                log.warning("the stored configuration of ECC server %s is ignored: %s", name, error)
    return configs


def _configured(text: str) -> Configured | None:
    try:
        had = json.loads(text)
        given = ConfigChoice.parse(had["given"]) if had["given"] else None
        return Configured(given, had["digest"], tuple((name, digest) for name, digest in had["files"]))
    except (ValueError, LookupError, TypeError, Refused):
        return None


def _run_class(name: str) -> RunClass:
    return RunClass[name] if name in RunClass.__members__ else RunClass.Testing


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split()))
    except ValueError:
        return ()
