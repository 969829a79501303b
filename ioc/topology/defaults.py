"""Writes the section ``defaults`` into the entries of the lists that it is for, before anything is checked.

An entry's own key counts; a mapping (``config``, ``ssh``) is completed key by key; null takes a default away. An error
in an inherited value is reported once, at its place in ``defaults``. An error in what an entry lacks, or about an entry
as a whole, is reported at the entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from ioc.topology.document import Document, Fault, Loc, fault, show
from ioc.topology.schema import Defaults

_NAME = "name"


@dataclass
class Completed:
    """The data of a file with the defaults written into it."""

    document: Document
    data: dict[str, object]
    inherited: dict[Loc, Loc] = field(default_factory=dict[Loc, Loc])
    """The place in ``defaults`` of each value that an entry has from there."""
    faults: list[Fault] = field(default_factory=list[Fault])
    unused: list[Loc] = field(default_factory=list[Loc])
    """Defaults that no entry takes."""

    def place(self, fault: Fault) -> tuple[int, str]:
        """The line of an error in the file, and its text with the names that the file has there."""
        loc, text = fault
        given = self.inherited.get(loc)
        if given is None or show(loc) not in text:
            return self.document.line(loc), text
        return self.document.line(given), text.replace(show(loc), show(given))

    def written(self) -> Mapping[Loc, str]:
        """`Document.plain`, also for the inherited values."""
        plain = self.document.plain
        return plain | {loc: plain[given] for loc, given in self.inherited.items() if given in plain}

    def advice(self) -> Iterator[Fault]:
        for loc in self.unused:
            yield fault(loc, "has no effect: every entry has its own")


def complete(document: Document, data: Mapping[str, object]) -> Completed:
    """Return the data with the defaults in their entries; what is wrong in ``defaults`` itself stays to be refused."""
    result = Completed(document, dict(data))
    defaults = _mapping(data.get("defaults"))
    if defaults is None:
        return result
    left = dict(defaults)
    for section in Defaults.model_fields:
        given = _mapping(defaults.get(section))
        if given is None:
            continue
        del left[section]
        _complete_list(result, section, given)
    if left:
        result.data["defaults"] = left
    else:
        del result.data["defaults"]
    return result


def _complete_list(result: Completed, section: str, given: Mapping[str, object]) -> None:
    place: Loc = ("defaults", section)
    if _NAME in given:
        result.faults.append(fault((*place, _NAME), "is given for all entries, but each must have its own"))
    usable = {key: value for key, value in given.items() if key != _NAME}
    entries = result.data.get(section)
    if not isinstance(entries, list):
        return
    used = set[str]()
    completed: list[object] = []
    for index, entry in enumerate(cast("list[object]", entries)):
        own = _mapping(entry)
        if own is None:
            completed.append(entry)
            continue
        used |= {key for key in usable if key not in own or _mapping(own[key]) is not None}
        completed.append(_complete(result, own, usable, (section, index), place))
    result.data[section] = completed
    result.unused += [(*place, key) for key in usable if key not in used]


def _complete(
    result: Completed, own: Mapping[str, object], given: Mapping[str, object], loc: Loc, place: Loc
) -> dict[str, object]:
    merged = dict(own)
    for key, value in given.items():
        mine, theirs = _mapping(own.get(key)), _mapping(value)
        if key not in own:
            merged[key] = value
            result.inherited.update({(*loc, key, *rest): (*place, key, *rest) for rest in _places(value)})
        elif mine is not None and theirs is not None:
            merged[key] = _complete(result, mine, theirs, (*loc, key), (*place, key))
    return merged


def _places(value: object) -> Iterator[Loc]:
    """Yield the places of a value and of everything inside it."""
    yield ()
    inside = _mapping(value)
    if inside is None and isinstance(value, list):
        inside = dict(enumerate(cast("list[object]", value)))
    for key, part in (inside or {}).items():
        for rest in _places(part):
            yield (key, *rest)


def _mapping(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None
