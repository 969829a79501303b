"""YAML text as plain data that remembers its lines, strict where YAML is lenient.

Refused: keys given twice, keys that are no text, tags (``!!int``), and aliases (``*name``): one value is written in
one place. Scalars are read by YAML 1.2.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import yaml

from ioc.topology.yaml12 import TEXT, Yaml12Loader, value_of

Loc = tuple[str | int, ...]
"""Where a value is: keys and indices from the top."""
Fault = tuple[Loc, str]
"""What is wrong there."""


@dataclass(frozen=True)
class Document:
    """What a file says, and where."""

    data: object
    """Mappings, lists, str, int, float, bool and None. What could not be read is left out."""
    lines: Mapping[Loc, int]
    plain: Mapping[Loc, str]
    """What stands there, of each scalar that is not in quotes."""
    problems: tuple[tuple[int, str], ...]
    """(line, text) of each thing that is wrong with the YAML itself."""

    def line(self, loc: Loc) -> int:
        """Line of a value, or of the nearest thing around it that is in the file."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def read_document(text: str) -> Document:
    """Read one YAML document; never raises."""
    reader = _Reader()
    try:
        root = reader.compose(text)
        data = None if root is None else reader.value(root, ())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return Document(
            None, {}, {}, ((line, f"has the character {chr(error.character)!r}, which YAML does not allow"),)
        )
    except yaml.MarkedYAMLError as error:
        return Document(None, {}, {}, (_syntax_problem(error),))
    except RecursionError:
        return Document(None, {}, {}, ((1, "is nested too deeply to be read"),))
    return Document(data, reader.lines, reader.plain, tuple(reader.problems))


def _syntax_problem(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    reason = " ".join(part for part in (error.context, error.problem) if part)
    begin, end = error.context_mark, error.problem_mark
    if begin is not None and end is not None and begin.line != end.line:
        reason += f" (begun in line {begin.line + 1})"
    mark = end or begin
    return (mark.line + 1 if mark else 1), f"is not valid YAML: {reason}"


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Loc, int] = {}
        self.plain: dict[Loc, str] = {}
        self.problems: list[tuple[int, str]] = []
        self._seen: set[int] = set()
        self._loader = Yaml12Loader("")

    def compose(self, text: str) -> yaml.Node | None:
        loader = Yaml12Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()

    def value(self, node: yaml.Node, loc: Loc) -> object:
        line = node.start_mark.line + 1
        self.lines.setdefault(loc, line)
        if id(node) in self._seen:
            self.problems.append(
                (line, f"{show(loc)} is used again as an alias, but must be written out at each place")
            )
            return None
        self._seen.add(id(node))
        if not self._has_plain_tag(node):
            self.problems.append((line, f"{show(loc)} has the tag {node.tag}, but must be written without a tag"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*loc, index)) for index, child in enumerate(node.value)]
        return self._scalar(cast("yaml.ScalarNode", node), loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, value in self._pairs(node, loc):
            here = (*loc, key.value)
            line = key.start_mark.line + 1
            if key.value in result:
                first = self.lines[here]
                self.problems.append(
                    (line, f"{show(here)} is given twice (first in line {first}), but must be given once")
                )
                continue
            # A scalar is looked for where it stands, a list or a mapping where its key stands.
            self.lines[here] = value.start_mark.line + 1 if isinstance(value, yaml.ScalarNode) and value.value else line
            result[key.value] = self.value(value, here)
        return result

    def _pairs(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == TEXT:
                yield key, value
            else:
                where = show(loc) or "the file"
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "that is a list or a mapping"
                self.problems.append((key.start_mark.line + 1, f"{where} has a key {shown}, but keys must be text"))

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> object:
        if node.style is None:
            self.plain[loc] = node.value
        try:
            return value_of(node)
        except ValueError:
            self.problems.append((node.start_mark.line + 1, f"{show(loc)} has more digits than a number may have"))
            return None

    def _has_plain_tag(self, node: yaml.Node) -> bool:
        if isinstance(node, yaml.ScalarNode):
            plain = node.style is None
            return node.tag == self._loader.resolve(yaml.ScalarNode, node.value, (plain, not plain))
        return node.tag == self._loader.resolve(type(node), None, (True, False))


def show(loc: Loc) -> str:
    """A place as an operator writes it: ``data_routers[2].port``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
