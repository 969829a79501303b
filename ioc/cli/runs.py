"""``attpc-ioc runs``: the run database from the command line, with or without a running IOC."""

from __future__ import annotations

import click

from ioc.cli.lazy import LazyGroup

_ELSEWHERE = {
    **dict.fromkeys(("list", "show", "diff", "plot"), "runs_look"),
    **dict.fromkeys(("edit", "adopt", "import"), "runs_edit"),
    **dict.fromkeys(("export", "samples", "dataset"), "runs_export"),
    **dict.fromkeys(("verify", "card", "purge", "gather"), "runs_files"),
}


@click.group(cls=LazyGroup, elsewhere=_ELSEWHERE)
def runs() -> None:
    """List, show, edit and export runs, with or without a running IOC."""
