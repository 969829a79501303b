# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Wrong changes of the core's state. Pyright must reject each; `test_runlogic_types` runs it on this file.

A comment that ignores an error is itself an error here if there is nothing to ignore.
"""

from __future__ import annotations

from ioc.model import EccState
from ioc.runlogic.turn import Turn


def wrong(turn: Turn) -> None:
    turn.set(restored=True)
    turn.set(restorred=True)  # pyright: ignore[reportCallIssue]
    turn.set_server("CoBo0", state=EccState.Off)
    turn.set_server("CoBo0", stat=EccState.Off)  # pyright: ignore[reportCallIssue]
    turn.set_server("CoBo0", state="Off")  # pyright: ignore[reportArgumentType]
    turn.set_server("CoBo0", EccState.Off)  # pyright: ignore[reportCallIssue]
    turn.set_router("data0", filing=True)
    turn.set_router("data0", filling=True)  # pyright: ignore[reportCallIssue]
    turn.set_run(title="alphas")
    turn.set_run(titel="alphas")  # pyright: ignore[reportCallIssue]
    turn.set_job(begun=True)
    turn.set_job(began=True)  # pyright: ignore[reportCallIssue]
    turn.save_run(size=0)
    turn.save_run(bytes=0)  # pyright: ignore[reportCallIssue]
    turn.save_run(reserved_at=0.0)  # pyright: ignore[reportCallIssue]
