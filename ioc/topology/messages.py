"""What pydantic finds wrong, said in an operator's language."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ioc.topology.document import Fault, Loc, show
from ioc.topology.schema import (
    AccessRule,
    Config,
    DataRouter,
    DataSource,
    EccServer,
    Observable,
    Order,
    Polling,
    Runs,
    Section,
    Ssh,
    Timeouts,
    Topology,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SECTIONS: dict[str, type[Section]] = {
    "": Topology,
    "ecc_servers": EccServer,
    "config": Config,
    "data_routers": DataRouter,
    "data_sources": DataSource,
    "order": Order,
    "ssh": Ssh,
    "polling": Polling,
    "timeouts": Timeouts,
    "runs": Runs,
    "observables": Observable,
    "access": AccessRule,
}
"""Each section by the key that holds it."""

_KINDS = {
    "string_type": "text (put it in quotes)",
    "tuple_type": "a list",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_SCALARS = {
    "int_type": ("a whole number in decimal digits", "a whole number without quotes"),
    "float_type": ("a number such as 10, 0.5 or 1e-3", "a number without quotes"),
    "bool_type": ("true or false", "true or false without quotes"),
}
"""What must stand there, said of what has no quotes and of what has."""
_OLD_SWITCHES = {"yes", "no", "on", "off", "y", "n"}
"""True and false in YAML 1.1, text in 1.2."""


def rephrase(error: ErrorDetails, plain: Mapping[Loc, str]) -> tuple[Loc, str]:
    """Where the error is in the file, and what it is and should be; `plain` is as in a `Document`."""
    # The names of the two forms of `ssh` are pydantic's, not the file's.
    loc: Loc = tuple(part for part in error["loc"] if part not in ("(mapping)", "(word)"))
    if error["type"] == "missing":
        text = f"{show(loc[:-1]) or 'the file'} has no {str(loc[-1])!r}, but must have one"
    elif error["type"] == "extra_forbidden":
        text = f"{show(loc)} is no known key{_suggest_key(loc)}"
    else:
        text = (
            f"{show(loc)} is {_as_written(error['input'], plain.get(loc))}, but {_requirement(error, plain.get(loc))}"
        )
    return loc, text


def _as_written(value: object, plain: str | None) -> str:
    """The value; a number with the zeros and the base that stand in the file."""
    return plain if plain and not isinstance(value, str) else describe(value)


def _requirement(error: ErrorDetails, plain: str | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}"
    if kind in _SCALARS:
        without, quoted = _SCALARS[kind]
        in_quotes = plain is None and isinstance(error["input"], str)
        old = " (yes, no, on and off are text)" if (plain or "").lower() in _OLD_SWITCHES else ""
        return f"must be {quoted if in_quotes else without}{old}"
    match kind:
        case "value_error":
            text = str(context["error"])
        case "enum" | "literal_error":
            choices = str(context["expected"]).replace("'", "")
            text = f"must be {choices}" + (" or a mapping (key: value)" if choices == "local" else "")
        case "too_short":
            text = "must have at least one entry"
        case "string_too_long":
            text = f"must have at most {context['max_length']} characters (has {len(str(error['input']))})"
        case _:
            text = f"must be otherwise: {error['msg']}"
    return text


def describe(value: object) -> str:
    """A value of the file, short enough for a sentence."""
    match value:
        case None | [] | {}:
            text = "empty"
        case bool():
            text = str(value).lower()
        case str():
            text = repr(value if len(value) <= 60 else value[:59] + "…")
        case list():
            text = "a list"
        case dict():
            text = "a mapping"
        case _:
            text = str(value)
    return text


def said(loc: Loc, value: object, requirement: str) -> Fault:
    """What a value that has passed the schema is, and what it must or should be."""
    shown = repr(str(value)) if isinstance(value, str) else describe(value)
    return loc, f"{show(loc)} is {shown}, but {requirement}"


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list them all; empty if there are none."""
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def _suggest_key(loc: Loc) -> str:
    parents = [part for part in loc[:-1] if isinstance(part, str)]
    section = SECTIONS[parents[-1] if parents else ""]
    return suggest(str(loc[-1]), section.model_fields)
