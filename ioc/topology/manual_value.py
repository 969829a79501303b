"""Observables that the shift types."""

from __future__ import annotations

import math

from ioc.errors import Refused
from ioc.model import Scalar, ValueType
from ioc.topology.schema import Observable

_TEXT_BYTES = 39
"""Limit of a PV of type STRING, in UTF-8."""
_INTEGERS = range(-(2**31), 2**31)
"""The values of a PV of type LONG (32 bits)."""


def parse_manual(observable: Observable, value: Scalar) -> Scalar:
    """The value converted to the type of a manual observable; a number may be given as text.

    Raises:
        Refused: the observable follows a PV, or the value does not fit its type.
    """
    if observable.pv is not None:
        raise Refused(
            f"observable {observable.name} follows the PV {observable.pv}: only a manual observable can be set"
        )
    if observable.type is ValueType.Float:
        return _float(observable.name, value)
    if observable.type is ValueType.Integer:
        return _integer(observable.name, value)
    text = str(value)
    size = len(text.encode(errors="replace"))
    if size > _TEXT_BYTES:
        raise Refused(f"observable {observable.name} got a text of {size} bytes, but at most {_TEXT_BYTES} are allowed")
    if not text.isprintable():
        raise Refused(f"observable {observable.name} got the text {text!r}, but it must be one line of printable text")
    return text


def _float(name: str, value: Scalar) -> float:
    try:
        number = math.nan if "_" in str(value) else float(value)  # 1_0 is a number to Python only
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"observable {name} got {str(value)[:40]!r}, but must be a finite number")
    return number


def _integer(name: str, value: Scalar) -> int:
    number = _float(name, value)
    if number != int(number) or int(number) not in _INTEGERS:
        must = f"a whole number from {_INTEGERS[0]} to {_INTEGERS[-1]}"
        raise Refused(f"observable {name} got {str(value)[:40]!r}, but must be {must}")
    return int(number)
