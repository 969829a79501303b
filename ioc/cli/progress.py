"""How far long work is, for who watches a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

import click

Item = TypeVar("Item")


@contextlib.contextmanager
def progress(items: Iterable[Item], length: int, label: str) -> Generator[Iterator[Item]]:
    """Give the items, of which there are about `length`, with a bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield iter(items)
        return
    steps = max(1, length // 200)
    with click.progressbar(items, length=length, label=label, file=sys.stderr, update_min_steps=steps) as bar:
        yield iter(bar)
