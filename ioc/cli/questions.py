"""The questions of ``attpc-ioc init``: each answer is checked at once, and asked for again with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import click

from ioc.errors import Refused
from ioc.model import ValueType
from ioc.topology.create import Answers, create

Given = dict[str, Any]
_STAND_IN: Given = {"experiment": "e", "cobos": 1, "mutant": False}
"""Answers with which all others are possible, until there are real ones."""


class Question(NamedTuple):
    """One answer, with the option that gives it without being asked."""

    key: str
    text: str
    kind: Any = str
    default: Any = None
    optional: bool = False
    """Asked only of somebody who is asked others too; has an answer that suits without it."""


def answered(questions: Sequence[Question], given: Given) -> Answers:
    """Ask for what is not given, and check each answer together with those before it.

    Raises:
        UsageError: a given answer is impossible.
    """
    known = _STAND_IN | {key: value for key, value in given.items() if value is not None}
    _check(known)
    asks = any(given.get(each.key) is None for each in questions if not each.optional)
    for each in questions:
        if given.get(each.key) is not None:
            continue
        known[each.key] = _ask(each, known) if asks else each.default
    if asks:
        known["observables"] = _observables(known)
    return Answers(**known)


def _check(known: Given) -> None:
    try:
        create(Answers(**known))
    except Refused as refusal:
        raise click.UsageError(str(refusal)) from None


def _converted(kind: Any, text: Any) -> Any:
    convert = cast("Any", click.types.convert_type(kind))
    return convert.convert(text, None, None)


def _ask(question: Question, known: Given) -> Any:

    def checked(text: Any) -> Any:
        value = _converted(question.kind, text)
        _check(known | {question.key: value})
        return value

    default = question.default
    if isinstance(default, bool):
        default = "yes" if default else "no"
    return _prompt(question.text, default=default, check=checked, optional=question.optional)


def _prompt(text: str, *, default: Any, check: Callable[[Any], Any], optional: bool) -> Any:
    try:
        return click.prompt(text, default=default, value_proc=check, show_default=default != "")
    except click.Abort:
        # A script that answers only the questions of old: its input is at its end.
        if not optional or sys.stdin.isatty():
            raise
        click.echo()
        return default


def _observables(known: Given) -> tuple[dict[str, str], ...]:
    """Ask for observables, one after the other, until a name is empty."""
    found: list[dict[str, str]] = []

    def asked(new: dict[str, str], key: str, text: str, kind: Any = str, default: str = "") -> None:
        def checked(text: Any) -> str:
            value = str(_converted(kind, text))
            if value:
                _check(known | {"observables": (*found, {**new, key: value})})
            return value

        if answer := _prompt(text, default=default, check=checked, optional=True):
            new[key] = answer

    while True:
        new: dict[str, str] = {}
        asked(new, "name", "Name of an observable to record (empty: no more)")
        if "name" not in new:
            return tuple(found)
        asked(new, "pv", "  its PV (empty: the shift enters the value)")
        kinds = [each.value for each in ValueType if each is not ValueType.Enum or "pv" in new]
        asked(new, "type", "  its type", click.Choice(kinds), ValueType.Float.value)
        asked(new, "units", "  its units")
        asked(new, "label", "  its label on screens")
        found.append(new)
