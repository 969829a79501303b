"""Changes the observables in the text of a topology: text in, text out.

A program that reads YAML and writes it again changes quotes, comments and line breaks all over the file. Here YAML only
says where things are: the nodes of the parsed text have their positions, and the new text is the old one with a few
pieces exchanged. Everything else is unchanged, byte for byte. Comments on lines of their own stay where they are.

YAML has more forms than this module knows. So each new text is read again, and its data must be the old data with
the change made in it: otherwise the change is refused and the file has to be edited by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from ioc.errors import ConfigurationError, Problem, Refused
from ioc.model import Scalar
from ioc.topology.document import read_document
from ioc.topology.layout import Section, written
from ioc.topology.messages import suggest

Fields = Mapping[str, Scalar | None]
"""Keys of an observable with their new values; None takes a key away."""
Entry = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where an observable stands: beside another one, or, without names, at the end."""

    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Add:
    """A new observable."""

    fields: Fields
    place: Place = field(default_factory=Place)


@dataclass(frozen=True)
class Change:
    """Other values of some keys of an observable."""

    name: str
    fields: Fields


@dataclass(frozen=True)
class Retire:
    """An observable that is no longer recorded; the run database keeps what it has."""

    name: str


@dataclass(frozen=True)
class Move:
    """An observable to another place in the order."""

    name: str
    place: Place


Edit = Add | Change | Retire | Move


def edit(text: str, change: Edit, file_name: str) -> str:
    """Return the text of a topology with one change of its observables.

    Raises:
        ConfigurationError: the text is no YAML; with its problems.
        Refused: an observable does not exist, or the text has a form in which the change cannot be made.
    """
    if isinstance(change, Add | Change):
        _check_texts(change.fields)
    before = _data(text, file_name)
    entries = _entries(before)
    _check_names(change, _names(entries))
    wanted = _changed(entries, change)
    if wanted == entries:
        return text
    try:
        new = _rewritten(text, change, _names(entries))
        after = read_document(_ended(new))
        done = not after.problems and after.data == {**before, "observables": wanted}
    except (yaml.YAMLError, ValueError, IndexError):
        done, new = False, ""
    if not done:
        raise Refused(f"{file_name} uses a form of YAML that this program cannot edit: edit it by hand")
    return new


def _data(text: str, file_name: str) -> dict[str, Any]:
    document = read_document(_ended(text))
    problems = [Problem(file_name, line, message) for line, message in document.problems]
    content = document.data
    if not problems and not isinstance(content, dict):
        problems = [Problem(file_name, 1, "must be a mapping with the keys of a topology")]
    if problems:
        raise ConfigurationError(tuple(problems))
    return cast("dict[str, Any]", content)


def _ended(text: str) -> str:
    """The text with a line break at its end, on which the value of a block scalar there depends."""
    return text if text.endswith(("\n", "\r")) else f"{text}\n"


def _entries(data: Mapping[str, Any]) -> list[Entry]:
    entries: object = data.get("observables") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in cast("list[object]", entries)):
        raise Refused("observables must be a list of mappings (key: value): edit the file by hand")
    return list(cast("list[Entry]", entries))


def _check_texts(fields: Fields) -> None:
    """Refuse arguments from the shell that are not text."""
    for key, value in fields.items():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise Refused(f"{key} has bytes that are not UTF-8, but must be text") from None


def _check_names(change: Edit, names: Sequence[str]) -> None:
    """Refuse a change of an observable that does not exist, or beside one that does not."""
    place = change.place if isinstance(change, Add | Move) else Place()
    wanted = None if isinstance(change, Add) else change.name
    for name in (wanted, place.before, place.after):
        if name is not None and name not in names:
            raise Refused(f"there is no observable {name!r}{suggest(name, names) or ': the topology has none'}")
    if wanted is not None and wanted in {place.before, place.after}:
        raise Refused(f"{wanted} cannot be moved beside itself")


def _changed(entries: Sequence[Entry], change: Edit) -> list[Entry]:
    result = [dict(entry) for entry in entries]
    match change:
        case Add(fields, place):
            result.insert(
                _index(_names(result), place), {key: value for key, value in fields.items() if value is not None}
            )
        case Change(name, fields):
            index = _names(result).index(name)
            merged = {**result[index], **fields}
            result[index] = {key: value for key, value in merged.items() if value is not None or key not in fields}
        case Retire(name):
            del result[_names(result).index(name)]
        case Move(name, place):
            entry = result.pop(_names(result).index(name))
            result.insert(_index(_names(result), place), entry)
    return result


def _names(entries: Sequence[Entry]) -> list[str]:
    return [str(entry.get("name")) for entry in entries]


def _index(names: Sequence[str], place: Place) -> int:
    """Where something at this place comes in the list."""
    if place.before is not None:
        return names.index(place.before)
    return len(names) if place.after is None else names.index(place.after) + 1


def _rewritten(text: str, change: Edit, names: Sequence[str]) -> str:
    section = Section(text, "observables")
    match change:
        case Add(fields, place):
            new = {key: written(value) for key, value in fields.items() if value is not None}
            section.insert(_index(names, place), new)
        case Change(name, fields):
            texts = {key: None if value is None else written(value) for key, value in fields.items()}
            section.change(names.index(name), texts)
        case Retire(name):
            section.remove(names.index(name))
        case Move(name, place):
            section.move(names.index(name), _index(names, place))
    return section.text()
