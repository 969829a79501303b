# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""YAML text as plain data with line numbers, stricter than YAML.

Plain scalars are read by YAML 1.2 (its core schema), while PyYAML itself follows YAML 1.1: there ``046005`` is octal,
``12:46`` counts in sixties, ``1_000`` is a thousand, ``off`` is false and ``1e-3`` is text. Here the first is 46005,
the last is a thousandth, and the others are text, which is rejected as a port, a time or a switch.

Refused: keys given twice, keys that are not text, tags (``!!int``), and aliases (``*name``), so that each value is
written in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from ioc.topology.secret import may_be_at

Loc = tuple[str | int, ...]
"""Place of a value: keys and indices from the top."""
Fault = tuple[Loc, str]
"""Place and text of an error."""

_TAG = "tag:yaml.org,2002:"
_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_SCALARS = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}

_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
"""Text of the file in an error of PyYAML, such as the name of an alias; it may be a password that begins with ``*``."""
_URL = re.compile(r"://|@")


class _Yaml12Loader(yaml.SafeLoader):
    """Composes nodes whose plain scalars have the tags of YAML 1.2. `_value_of` makes values of them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base class


for _name, _pattern in _SCALARS.items():
    # PyYAML matches only the beginning. None: any first character.
    _Yaml12Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"(?:{_pattern})\\Z", re.ASCII), None)


def _value_of(node: yaml.ScalarNode) -> object:
    """The value of a scalar; ValueError if it is a number with more digits than Python takes."""
    text: str = node.value
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            # Leading zeros have no meaning: base 0 would refuse them.
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


@dataclass
class Document:
    """The data of a file, with their lines."""

    data: object = None
    """Mappings, lists, str, int, float, bool and None. Unreadable values are left out."""
    lines: dict[Loc, int] = field(default_factory=dict[Loc, int])
    plain: dict[Loc, str] = field(default_factory=dict[Loc, str])
    """The text of each scalar that is not in quotes."""
    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """(line, text) of each error in the YAML itself."""

    def line(self, loc: Loc) -> int:
        """Line of a value, or of the nearest enclosing one in the file."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def read_document(text: str) -> Document:
    """Read one YAML document; never raises."""
    try:
        loader = _Yaml12Loader(text)
        try:
            return _Reader(loader).document
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = line, f"has the character {chr(error.character)!r}, which YAML does not allow"
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error)
    except RecursionError:
        problem = 1, "is nested too deeply to be read"
    return Document(problems=[problem])


def _syntax_problem(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    reason = " ".join(part for part in (error.context, error.problem) if part)
    begin, end = error.context_mark, error.problem_mark
    if begin is not None and end is not None and begin.line != end.line:
        reason += f" (begun in line {begin.line + 1})"
    mark = end or begin
    if mark and mark.buffer and mark.buffer[mark.pointer : mark.pointer + 1] == "\t":  # which nobody sees in a message
        reason = "has a tab, but must have spaces there"
    return (mark.line + 1 if mark else 1), f"is not valid YAML: {_QUOTED.sub(_without_text, reason)}"


def _without_text(quoted: re.Match[str]) -> str:
    """Keep the names of tokens, ``'<scalar>'``, and single characters."""
    return quoted[0] if quoted[0].startswith("'<") or len(quoted[0]) <= 3 else "…"


class _Reader:
    """Turns the nodes of one document into data."""

    def __init__(self, loader: _Yaml12Loader) -> None:
        self.document = Document()
        self._loader = loader
        self._seen: set[int] = set()
        root = loader.get_single_node()
        self.document.data = None if root is None else self._value(root, ())

    def _refuse(self, node: yaml.Node, text: str) -> None:
        self.document.problems.append((node.start_mark.line + 1, text))

    def _tag(self, node: yaml.Node, loc: Loc) -> str:
        return "a tag" if may_be_at(loc) else f"the tag {node.tag}"

    def _value(self, node: yaml.Node, loc: Loc) -> object:
        self.document.lines.setdefault(loc, node.start_mark.line + 1)
        if id(node) in self._seen:
            return self._refuse(node, f"{show(loc)} is given by an alias, but must be written out")
        self._seen.add(id(node))
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        implicit = (plain, not plain) if isinstance(node, yaml.ScalarNode) else (True, False)
        if node.tag != self._loader.resolve(type(node), node.value, implicit):
            return self._refuse(node, f"{show(loc)} has {self._tag(node, loc)}, but must be written without a tag")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*loc, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        if plain:
            self.document.plain[loc] = node.value
        try:
            return _value_of(node)
        except ValueError:
            return self._refuse(node, f"{show(loc)} has more digits than a number may have")

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, object]:
        lines, result = self.document.lines, dict[str, object]()
        for key, value in self._pairs(node, loc):
            here = (*loc, key.value)
            if key.value in result:
                self._refuse(key, f"{show(here)} is given twice (first in line {lines[here]}), but must be given once")
                continue
            # the line of a scalar is its own, the line of a list or mapping is that of its key
            at = value if isinstance(value, yaml.ScalarNode) and value.value else key
            lines[here] = at.start_mark.line + 1
            result[key.value] = self._value(value, here)
        return result

    def _pairs(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}str":
                yield key, value
            else:
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "that is a list or a mapping"
                shown = "that is not text" if may_be_at(loc) else shown
                self._refuse(key, f"{show(loc) or 'the file'} has a key {shown}, but keys must be text")


def show(loc: Loc) -> str:
    """A place in the notation of users: ``data_routers[2].port``. A key that is a URL is not shown."""
    text = ""
    for part in ("…" if isinstance(each, str) and _URL.search(each) else "''" if each == "" else each for each in loc):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def fault(loc: Loc, text: str) -> Fault:
    """An error in a sentence that begins with its place."""
    return loc, f"{show(loc)} {text}"
