"""A group of commands that are imported when one is called: importing all takes longer than listing the runs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Finds commands in other modules of `ioc.cli`."""

    def __init__(self, *arguments: Any, elsewhere: Mapping[str, tuple[str, str]], **options: Any) -> None:
        """`elsewhere` has the name of the module by that of the command, and the first sentence of its help."""
        super().__init__(*arguments, **options)
        self._elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._elsewhere:
            return super().get_command(ctx, cmd_name)
        module, _ = self._elsewhere[cmd_name]
        there = vars(import_module(f"ioc.cli.{module}")).values()
        return next(each for each in there if isinstance(each, click.Command) and each.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands as click does, but without importing them."""
        listed = {name: click.Command(name, help=sentence) for name, (_, sentence) in self._elsewhere.items()}
        click.Group(commands={**self.commands, **listed}).format_commands(ctx, formatter)
