"""Translates pydantic's errors for operators, based on their kinds, never on their texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ioc.topology.document import Fault, Loc, show
from ioc.topology.schema import SECTIONS
from ioc.topology.secret import FORM, may_be_at, may_be_in

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

_PASSWORD = re.compile(r"://.*@", re.DOTALL)
"""In a URL; errors are also logged."""
_ANY_PASSWORD = re.compile(r"^(.*?://)?.*@", re.DOTALL)
"""Also without the scheme, where a URL is meant."""
_KINDS = {
    "string_type": "text (put it in quotes)",
    "string_unicode": "text without half characters (\\ud800 to \\udfff)",
    "tuple_type": "a list",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_SCALARS = {
    "int_type": ("a whole number in decimal digits", "a whole number without quotes"),
    "float_type": ("a number such as 10, 0.5 or 1e-3", "a number without quotes"),
    "bool_type": ("true or false", "true or false without quotes"),
}
"""The requirement for a value written without quotes and with quotes."""
_SECRET = {"password", "url"}
"""Keys whose value is never shown: a secret may have been put there by mistake."""
_PLACES = re.compile(r"notifications\.targets\[\d+\]\.url|logbook\[\d+\]\.password")
"""Where the place of a secret must be."""
_OLD_SWITCHES = {"yes", "no", "on", "off", "y", "n"}
"""Booleans in YAML 1.1, text in 1.2."""


def rephrase(
    error: ErrorDetails, plain: Mapping[Loc, str], sections: Mapping[str, type[BaseModel]] = SECTIONS
) -> Fault:
    """Place of the error in the file, and its text with actual and required value; `plain` is as in a `Document`."""
    # The names of the two forms of `ssh` are pydantic's, not the file's.
    loc: Loc = tuple(part for part in error["loc"] if part not in ("(mapping)", "(word)"))
    if error["type"] == "missing":
        return loc, f"{show(loc[:-1]) or 'the file'} has no {str(loc[-1])!r}, but must have one"
    if error["type"] == "extra_forbidden":
        parents = [part for part in loc[:-1] if isinstance(part, str)]
        fields = sections[parents[-1] if parents else ""].model_fields
        known = [field.alias or name for name, field in fields.items()]
        if may_be_at(loc):
            return loc, f"{show(loc[:-1])} has a key that is not known; known are {', '.join(sorted(known))}"
        return loc, f"{show(loc)} is not a known key{suggest(str(loc[-1]), known)}"
    if loc[-1:] and loc[-1] in _SECRET and isinstance(error["input"], str):  # it may be a password
        return loc, f"{show(loc)} must {_requirement(error, None)}"
    written, value = plain.get(loc), error["input"]
    if may_be_in(loc, value):
        # never: put it in quotes
        required = f"be {FORM}" if _PLACES.fullmatch(show(loc)) else _requirement(error, None)
        return loc, f"{show(loc)} is {_type_of(value)}, but must {required}"
    # a number is shown as written in the file
    shown = written if written and not isinstance(value, str) else describe(_without_password(loc, value))
    return loc, f"{show(loc)} is {shown}, but must {_requirement(error, written)}"


def _requirement(error: ErrorDetails, plain: str | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _SCALARS:
        quoted = plain is None and isinstance(error["input"], str)
        old = " (yes, no, on and off are text)" if (plain or "").lower() in _OLD_SWITCHES else ""
        return f"be {_SCALARS[kind][quoted]}{old}"
    match kind:
        case "value_error":
            return f"be {context['error']}"
        case "enum" | "literal_error":
            choices = str(context["expected"]).replace("'", "")
            return f"be {choices}" + (" or a mapping (key: value)" if choices == "local" else "")
        case "too_short":
            return "have at least one entry"
        case "string_too_long":
            return f"have at most {context['max_length']} characters (has {len(str(error['input']))})"
        case _:
            return f"be {_KINDS.get(kind, error['msg'])}"


def describe(value: object) -> str:
    """A value of the file, shortened for a sentence."""
    match value:
        case None | []:
            return "empty"
        case dict() if not value:
            return "empty"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 60 else value[:59] + "…")
        case list() | dict():
            return "a list" if isinstance(value, list) else "a mapping"
        case _:
            return str(value)


def _type_of(value: object) -> str:
    """The text shown instead of a value that may be a secret."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str() if value:
            return "text"
        case _:
            return describe(value)


def _without_password(loc: Loc, value: object) -> object:
    if not isinstance(value, str):
        return value
    if loc[:1] == ("hooks",) and loc[-1] == "post":
        return _ANY_PASSWORD.sub(r"\1…@", value)
    return _PASSWORD.sub("://…@", value)


def value_fault(loc: Loc, value: object, requirement: str) -> Fault:
    """A sentence with a valid value, and what it must or should be."""
    if may_be_in(loc, value):
        return loc, f"{show(loc)} is {_type_of(value)}, but {requirement}"
    shown = repr(str(value)) if isinstance(value, str) else describe(value)
    return loc, f"{show(loc)} is {shown}, but {requirement}"


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest the closest known name, or list them all; empty if there are none."""
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    return f"; known are {', '.join(names)}" if names else ""
