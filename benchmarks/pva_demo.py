"""How soon the simulated detector is there: ``python -m benchmarks.pva_demo [times]``.

Seconds from the start of ``attpc-ioc demo``, which `make demo` runs when everything is installed, until it says that it
is running and until caget, pvget and a browser of ``attpc-ioc web``, started at the same time, have an answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.epics import Epics

_COMMAND = [sys.executable, "-c", "from ioc.cli.main import main; main()"]
_REPOSITORY = Path(__file__).parent.parent
_PATIENCE = 120


def once(epics: Epics, place: Path) -> dict[str, float]:
    environment = epics.environment() | {"PYTHONPATH": str(_REPOSITORY)}
    begun = time.monotonic()
    taken: dict[str, float] = {}

    def until(what: str, has_answer: Callable[[], bool]) -> None:
        while not has_answer():
            assert time.monotonic() < begun + _PATIENCE, what
            time.sleep(0.02)
        taken[what] = time.monotonic() - begun

    def asked(*command: str) -> bool:
        return epics.run(*command, timeout=_PATIENCE).returncode == 0

    def browsed() -> bool:
        assert web.stdout is not None
        address = web.stdout.readline().split(" is at ")[1].split()[0]
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
            return answer.status == 200

    with contextlib.ExitStack() as stack:

        def started(*arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [*_COMMAND, *arguments],
                cwd=place,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.callback(process.communicate)
            stack.callback(os.kill, process.pid, signal.SIGINT)
            return process

        demo = started("demo")
        web = started("web", "--database", "demo-data/runs.db", "--port", "0")
        assert demo.stdout is not None
        lines = demo.stdout
        checks = [
            threading.Thread(target=until, args=check)
            for check in (
                ("demo says that it is running", lambda: "is running" in lines.readline()),
                ("caget", lambda: asked("caget", "-w", "1", "ATTPC:State")),
                ("pvget", lambda: asked("pvget", "-w", "1", "ATTPC:Run:Info")),
                ("the first page of web", browsed),
            )
        ]
        for check in checks:
            check.start()
        for check in checks:
            check.join()
    return taken


def main(times: int = 5) -> None:
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, Epics() as epics:
        (Path(directory) / "topology.yaml").write_text((_REPOSITORY / "topology.yaml").read_text())
        once(epics, Path(directory))  # the first time, which makes the database
        for _ in range(times):
            for what, taken in once(epics, Path(directory)).items():
                rows.setdefault(what, []).append(taken)
    print(f"| s until, {times} times | median | longest |\n|---|---:|---:|")
    for what, taken in rows.items():
        print(f"| {what} | {statistics.median(taken):.2f} | {max(taken):.2f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
