"""A group of commands that are imported when one is called: importing all takes longer than listing the runs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Finds commands in other modules of `ioc.cli`."""

    def __init__(self, *arguments: Any, elsewhere: Mapping[str, str], **options: Any) -> None:
        """`elsewhere` has the name of the module by that of the command."""
        super().__init__(*arguments, **options)
        self._elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._elsewhere:
            return super().get_command(ctx, cmd_name)
        there = vars(import_module(f"ioc.cli.{self._elsewhere[cmd_name]}")).values()
        return next(each for each in there if isinstance(each, click.Command) and each.name == cmd_name)
