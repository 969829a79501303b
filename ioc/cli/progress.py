"""How far long work is, for who watches a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

Item = TypeVar("Item")


def with_progress(items: Iterable[Item], length: int, label: str) -> Iterator[Item]:
    """Yield the items, of which there are about `length`, with a bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(
        items, length=length, label=label, file=sys.stderr, update_min_steps=max(1, length // 200)
    ) as bar:
        yield from bar
