# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Where the entries of a list stand in YAML text, and how one is put in, taken out, moved or changed.

A list is written in lines with dashes (block), or in brackets (flow); an entry, in lines or in braces. A new entry is
written as the one before it. What cannot be placed raises ValueError or IndexError; what comes out wrong is found by
`ioc.topology.edit`, which reads the new text again.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from json import dumps

import yaml

from ioc.model import Scalar

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_LAST_BREAK = re.compile(rf"({_BREAK.pattern})\Z")
_PLAIN = re.compile(r"[A-Za-z]([\w ./\-]*[\w/.])?", re.ASCII)
_SWITCHES = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""Words that some reader of YAML does not take as text."""
_DASH = re.compile(r"[ \t]*(-)[ \t]+")
_INDENT = "  "


def written(value: Scalar) -> str:
    """A value as YAML; text is quoted unless it is plain words."""
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _SWITCHES:
        return value
    quoted = dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)


class Section:
    """One list of the file, of whose text pieces are exchanged; positions are those of the old text."""

    def __init__(self, text: str, key: str) -> None:
        """Find a list by its key at the top of the file; it may be missing."""
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode) or not root.value:
            raise ValueError(key)
        self._text, self._key, self._root = text, key, root
        self._changes: list[tuple[int, int, str]] = []
        pairs = [(name, value) for name, value in root.value if name.value == key]
        self._name, self._list = pairs[0] if pairs else (None, None)
        self._entries: list[yaml.MappingNode] = (
            list(self._list.value) if isinstance(self._list, yaml.SequenceNode) else []
        )

    def insert(self, index: int, fields: Mapping[str, str]) -> None:
        """Put in an entry before the one of this index, or at the end."""
        if not self._entries:
            self._begin(fields)
            return
        like = self._entries[max(0, index - 1)]
        if not self._is_block:
            self._insert_flow(index, _in_braces(fields))
            return
        dash = self._dash(like)
        lead = self._text[self._line_start(dash) : like.start_mark.index]
        if _BREAK.search(lead):  # the dash has a line of its own
            lead = self._text[self._line_start(dash) : dash] + "- "
        body = _in_braces(fields)
        if not like.flow_style:
            body = f"{self._newline}{_blank(lead)}".join(f"{key}: {value}" for key, value in fields.items())
        self._insert_lines(index, lead + body)

    def remove(self, index: int) -> None:
        """Take out an entry, with the comments inside it."""
        if len(self._entries) == 1:
            self._empty()
        elif self._is_block:
            self._remove_lines(*self._span(index))
        else:
            self._remove_flow(index)

    def move(self, index: int, to: int) -> None:
        """Move an entry unchanged before the one at index `to`, or to the end."""
        if self._is_block:
            start, end = self._span(index)
            self._remove_lines(start, end)
            self._insert_lines(to, self._text[start:end])
            return
        entry = self._entries[index]
        self._remove_flow(index)
        if to == len(self._entries) and index == to - 1:
            raise ValueError(to)
        self._insert_flow(to, self._text[entry.start_mark.index : entry.end_mark.index])

    def change(self, index: int, fields: Mapping[str, str | None]) -> None:
        """Give keys of an entry other values; None takes a key out."""
        entry = self._entries[index]
        pairs = {key.value: (key, value) for key, value in entry.value}
        kept = [name for name in pairs if fields.get(name, "") is not None]
        new = {name: text for name, text in fields.items() if text is not None and name not in pairs}
        for name, text in fields.items():
            if name in pairs and text is not None:
                self._exchange(pairs[name][1], text)
            elif name in pairs:
                self._drop(entry, list(pairs), name)
        last = pairs[kept[-1]]
        if not new:
            return
        if entry.flow_style:
            at = _content_end(self._text, *last)
            self._put(at, at, "".join(f", {name}: {text}" for name, text in new.items()))
        else:
            at = self._line_end(_content_end(self._text, *last))
            first = entry.value[0][0].start_mark
            lead = self._text[self._line_start(first.index) : first.index]
            indent = self._newline + _blank(lead)
            self._put(at, at, "".join(f"{indent}{name}: {text}" for name, text in new.items()))

    def text(self) -> str:
        """The text with all changes; it ends with a line break if the old one does."""
        result, at = "", 0
        for start, end, new in sorted(self._changes, key=lambda change: change[:2]):  # stable: in the order of `_put`
            result += self._text[at:start] + new
            at = end
        result += self._text[at:]
        return result if _LAST_BREAK.search(self._text) else _LAST_BREAK.sub("", result)

    def _put(self, start: int, end: int, new: str) -> None:
        """Exchange what stands from `start` to `end`."""
        self._changes.append((start, end, new))

    @property
    def _newline(self) -> str:
        found = re.search(r"\r\n|\n|\r", self._text)
        return found[0] if found else "\n"

    def _line_start(self, at: int) -> int:
        return max((found.end() for found in _BREAK.finditer(self._text, 0, at)), default=0)

    def _line_end(self, at: int) -> int:
        """Where the line of a position ends, before its line break."""
        found = _BREAK.search(self._text, at)
        return found.start() if found else len(self._text)

    def _next_line(self, at: int) -> int:
        """Where the line after that of a position begins, or the end of the text."""
        found = _BREAK.search(self._text, at)
        return found.end() if found else len(self._text)

    @property
    def _is_block(self) -> bool:
        return self._list is not None and not self._list.flow_style

    def _dash(self, entry: yaml.Node) -> int:
        at = entry.start_mark.index
        usual = _DASH.fullmatch(self._text, self._line_start(at), at)
        return usual.start(1) if usual else self._dashes[bisect_right(self._dashes, at) - 1]

    @cached_property
    def _dashes(self) -> list[int]:
        """All dashes of the file. To find them takes as long as to read it."""
        tokens = yaml.scan(self._text, Loader=yaml.SafeLoader)
        return [token.start_mark.index for token in tokens if isinstance(token, yaml.BlockEntryToken)]

    def _span(self, index: int) -> tuple[int, int]:
        """The lines of an entry, from its dash to its last value, without the last line break."""
        entry = self._entries[index]
        return self._line_start(self._dash(entry)), self._line_end(_content_end(self._text, entry))

    def _insert_lines(self, index: int, lines: str) -> None:
        if index < len(self._entries):
            start, _ = self._span(index)
            self._put(start, start, lines + self._newline)
        else:
            _, end = self._span(-1)
            self._put(end, end, self._newline + lines)

    def _remove_lines(self, start: int, end: int) -> None:
        self._put(start, self._next_line(end), "")

    def _insert_flow(self, index: int, entry: str) -> None:
        if index < len(self._entries):
            at = self._entries[index].start_mark.index
            self._put(at, at, f"{entry}, ")
        else:
            at = self._entries[-1].end_mark.index
            self._put(at, at, f", {entry}")

    def _remove_flow(self, index: int) -> None:
        nodes = self._entries
        if index:
            self._put(nodes[index - 1].end_mark.index, nodes[index].end_mark.index, "")
        else:
            self._put(nodes[0].start_mark.index, nodes[1].start_mark.index, "")

    def _begin(self, fields: Mapping[str, str]) -> None:
        """Write the first entry: the list is empty, has no value, or is not there."""
        newline = self._newline
        if isinstance(self._list, yaml.SequenceNode):
            at = self._list.end_mark.index - 1
            self._put(at, at, _in_braces(fields))
        elif self._name is not None:
            at = self._line_end(self._name.end_mark.index)
            indent = " " * self._name.start_mark.column + _INDENT
            self._put(at, at, f"{newline}{indent}- {_in_braces(fields)}")
        elif self._root.flow_style:
            at = _content_end(self._text, *self._root.value[-1])
            self._put(at, at, f', "{self._key}": [{_in_braces(fields)}]')
        else:
            at, indent = self._root.end_mark.index, " " * self._root.start_mark.column
            section = f"{indent}{self._key}:{newline}{indent}{_INDENT}- {_in_braces(fields)}"
            ended = at == self._line_start(at)
            self._put(at, at, f"{section}{newline}" if ended else f"{newline}{section}")

    def _empty(self) -> None:
        assert self._list is not None
        assert self._name is not None
        if self._is_block:
            start, end = self._span(0)
            colon = self._text.index(":", self._name.end_mark.index) + 1
            self._put(colon, colon, " []")
            self._remove_lines(start, end)
        else:
            self._put(self._list.start_mark.index, self._list.end_mark.index, "[]")

    def _exchange(self, value: yaml.Node, text: str) -> None:
        start, end = value.start_mark.index, _content_end(self._text, value)
        space = "" if start == 0 or self._text[start - 1].isspace() else " "
        self._put(start, max(start, end), space + text)

    def _drop(self, entry: yaml.MappingNode, names: list[str], name: str) -> None:
        index = names.index(name)
        key, value = entry.value[index]
        if index == 0:
            self._put(key.start_mark.index, entry.value[1][0].start_mark.index, "")
        elif entry.flow_style:
            before = _content_end(self._text, *entry.value[index - 1])
            self._put(before, _content_end(self._text, key, value), "")
        else:
            end = self._line_end(_content_end(self._text, key, value))
            self._remove_lines(self._line_start(key.start_mark.index), end)


def _content_end(text: str, *nodes: yaml.Node) -> int:
    """Where the last of some nodes ends, without the blank lines and comments that YAML counts to it."""
    last = nodes[-1]
    if isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        inner = last.value[-1]
        return _content_end(text, *(inner if isinstance(inner, tuple) else (inner,)))
    start, end = last.start_mark.index, last.end_mark.index
    if isinstance(last, yaml.ScalarNode) and last.style in {"|", ">"}:
        return start + len(text[start:end].rstrip())
    return max(end, *(node.end_mark.index for node in nodes))


def _blank(lead: str) -> str:
    """As wide as the beginning of a line, without its dash."""
    return re.sub(r"[^\t]", " ", lead)


def _in_braces(fields: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{key}: {text}' for key, text in fields.items())}}}"
