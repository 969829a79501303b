"""The state that survives a restart, read from the database once at start-up."""

from __future__ import annotations

import asyncio
import logging

from ioc.errors import PeerError
from ioc.model import chosen_experiment
from ioc.ports import RunRecorder, RunStore
from ioc.runlogic.events import Restored
from ioc.runlogic.plan import Plan

log = logging.getLogger(__name__)

_RETRY_PERIOD = 0.5


async def restore(store: RunStore, plan: Plan) -> Restored:
    """Read the operator's settings and the open run; retries while the database cannot be read."""
    said = ""
    while True:
        try:
            settings = await store.load_settings()
            unfinished = await store.unfinished_runs()
            last_run = await store.last_run(chosen_experiment(settings, plan.experiment))
        except PeerError as error:
            problem = str(error)
        except Exception as error:
            problem = f"internal error: {error!r}"
        else:
            return Restored(settings, last_run, unfinished)
        if problem != said:
            log.error("the run database cannot be read, no run can start: %s", problem)
        said = problem
        await asyncio.sleep(_RETRY_PERIOD)


async def enter_experiment(recorder: RunRecorder, experiment: str) -> None:
    """Set the experiment of the recorder; if that fails, the recorder catches up at the next run."""
    try:
        await recorder.change_experiment(experiment)
    except PeerError as error:
        log.error("observables of experiment %s: %s", experiment, error)  # noqa: TRY400 - a peer's fault
    except Exception:
        log.exception("entering experiment %s", experiment)
