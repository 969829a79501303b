"""Writes ``docs/states.md`` from the table of transitions in ``ioc/states.py``: ``python docs/make_states.py``."""

from __future__ import annotations

from pathlib import Path

from ioc.model import EccState, Operation
from ioc.states import IN_PROGRESS, TRANSITIONS, sent

_HEAD = """\
# The states of an ECC server

Generated from `ioc/states.py` by `docs/make_states.py`; a test fails where the two differ.

An operation that is not drawn for a state is ignored by the server, with error code 0. The state has changed only
when it is read afterwards. `Reset` is one step back. A server whose electronics died goes to Off and stays there until
the ECC server is restarted; Unknown means that it cannot be read.
"""


def page() -> str:
    """Return the text of the page."""
    moves = [(operation, before, after) for operation, table in TRANSITIONS.items() for before, after in table.items()]
    diagram = [f"    {before.name} --> {after.name}: {operation}" for operation, before, after in moves]
    table = [
        f"| {operation} | {before.name} | {after.name} | {IN_PROGRESS[operation].name} |"
        for operation, before, after in moves
    ]
    back = [f"| {state.name} | {sent(Operation.Reset, state) or 'refused'} |" for state in EccState]
    return "\n".join(
        [
            _HEAD,
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> Idle",
            *diagram,
            "```",
            "",
            "| operation | from | to | transition while it runs |",
            "|---|---|---|---|",
            *table,
            "",
            "| state | Reset sends |",
            "|---|---|",
            *back,
            "",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_name("states.md").write_text(page(), encoding="utf-8")
