"""Records counters of a softIoc as the IOC does: ``python -m tests.recorder.recording DATABASE COUNTERS [run]``.

It prints a line when it follows them, with a run open if asked for, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ioc.model import RunClass
from ioc.observables import ObservableFeed
from ioc.recorder import ObservableRecorder
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Observable


async def main() -> None:
    path, counters, *rest = sys.argv[1:]
    store = await SqliteRunStore.open(Path(path))
    observables = [Observable(name=f"v{number}", pv=f"B:{number}") for number in range(int(counters))]
    recorder = ObservableRecorder(store, ObservableFeed(), experiment="e1", observables=observables, record="always")
    await recorder.follow(lambda _: None)
    await recorder.start()
    run = (await store.reserve_run("e1", "", RunClass.Testing, "")).run if rest == ["run"] else None
    if run is not None:
        await recorder.begin_run(run)
    print("follows", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if run is not None:
        await recorder.end_run(run)
    await recorder.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
