"""Tcl lists, by the rules of Tcl's manual (``Tcl``, ``lindex``): one element quoted, one list split.

What is quoted is printable ASCII without line ends, so it stays one line and one element whatever the encoding of the
other side is.
"""

from __future__ import annotations

import re

_SAFE = re.compile(r"[A-Za-z0-9_.,:/+@%=-]")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NUMBER = re.compile(r"x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|([0-3][0-7]{0,2}|[4-7][0-7]?)")
_BLANK = " \t\n\v\f\r"


def quote(text: str) -> str:
    """Return a text as one element of a list."""
    return "".join(map(_quoted, text)) or "{}"


def _quoted(character: str) -> str:
    if _SAFE.match(character):
        return character
    if " " <= character <= "~":
        return f"\\{character}"
    units = character.encode("utf-16-be", "surrogatepass")  # Tcl 8.6 has no other way for what is beyond U+FFFF
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def split(line: str) -> list[str]:
    """Return the elements of a list.

    Raises:
        ValueError: it is not a list.
    """
    elements: list[str] = []
    at = 0
    while (at := _skip_blanks(line, at)) < len(line):
        if line[at] == "{":
            element, at = _braced(line, at)
        else:
            element, at = _bare(line, at)
        elements.append(element)
    return elements


def _skip_blanks(line: str, at: int) -> int:
    while at < len(line) and line[at] in _BLANK:
        at += 1
    return at


def _braced(line: str, at: int) -> tuple[str, int]:
    """Return the element in braces that begins at `at`, and where it ends: nothing in it is replaced."""
    depth, end = 0, at
    while end < len(line):
        match line[end]:
            case "\\":
                end += 1
            case "{":
                depth += 1
            case "}":
                depth -= 1
                if not depth:
                    return line[at + 1 : end], _after(line, end)
            case _:
                pass
        end += 1
    raise ValueError("a brace is not closed")


def _bare(line: str, at: int) -> tuple[str, int]:
    """Return the element that begins at `at`, in quotation marks or not, and where it ends."""
    quoted = line[at] == '"'
    at += quoted
    parts: list[str] = []
    while at < len(line):
        character = line[at]
        if character == '"' and quoted:
            return "".join(parts), _after(line, at)
        if character in _BLANK and not quoted:
            break
        if character == "\\":
            character, at = _escaped(line, at + 1)
        else:
            at += 1
        parts.append(character)
    if quoted:
        raise ValueError("a quotation mark is not closed")
    return "".join(parts), at


def _after(line: str, at: int) -> int:
    if at + 1 < len(line) and line[at + 1] not in _BLANK:
        raise ValueError("a closing brace or quotation mark is not followed by a space")
    return at + 1


def _escaped(line: str, at: int) -> tuple[str, int]:
    """Return what the characters after a backslash stand for, and where they end."""
    if at == len(line):
        return "\\", at
    if number := _NUMBER.match(line, at):
        digits, base = (number[1] or number[2], 16) if number[3] is None else (number[3], 8)
        return chr(int(digits, base) & 0xFFFF), number.end()
    return _LETTERS.get(line[at], line[at]), at + 1
