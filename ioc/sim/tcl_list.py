"""Tcl lists as a Tcl program reads and writes them; written from the manual pages Tcl(n) and lappend(n) alone."""

from __future__ import annotations

_SPACE = frozenset(" \t\n\r\v\f")
_NAMED = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")


class TclError(Exception):
    """The error that a Tcl program would raise."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._next = 0

    def peek(self) -> str:
        return self._text[self._next : self._next + 1]

    def take(self) -> str:
        character = self.peek()
        self._next += len(character)
        return character

    def digits(self, allowed: frozenset[str], most: int) -> str:
        taken = ""
        while len(taken) < most and self.peek() and self.peek() in allowed:
            taken += self.take()
        return taken


def parse(text: str) -> list[str]:
    """Return the elements of a list.

    Raises:
        TclError: it is no list.
    """
    scanner, words = _Scanner(text), list[str]()
    while True:
        while scanner.peek() and scanner.peek() in _SPACE:
            scanner.take()
        first = scanner.peek()
        if not first:
            return words
        if first == "{":
            words.append(_braces(scanner))
        else:
            words.append(_word(scanner, '"' if first == '"' else ""))


def _braces(scanner: _Scanner) -> str:
    scanner.take()
    open_braces, word = 1, ""
    while character := scanner.take():
        if character == "\\":
            word += character + scanner.take()
            continue
        open_braces += (character == "{") - (character == "}")
        if not open_braces:
            _must_end(scanner, "list element in braces")
            return word
        word += character
    raise TclError("unmatched open brace in list")


def _word(scanner: _Scanner, quote: str) -> str:
    if quote:
        scanner.take()
    word = ""
    while character := scanner.peek():
        if quote and character == quote:
            scanner.take()
            _must_end(scanner, "list element in quotes")
            return word
        if not quote and character in _SPACE:
            return word
        scanner.take()
        word += _substitute(scanner) if character == "\\" else character
    if quote:
        raise TclError("unmatched open quote in list")
    return word


def _substitute(scanner: _Scanner) -> str:
    if scanner.peek() and scanner.peek() in _OCTAL:
        most = 3 if scanner.peek() <= "3" else 2  # at most 377
        return chr(int(scanner.digits(_OCTAL, most), 8))
    character = scanner.take()
    if character in {"x", "u"}:
        digits = scanner.digits(_HEX, 2 if character == "x" else 4)
        return chr(int(digits, 16)) if digits else character
    return chr(_NAMED[character]) if character in _NAMED else character or "\\"


def _must_end(scanner: _Scanner, what: str) -> None:
    if scanner.peek() and scanner.peek() not in _SPACE:
        raise TclError(f"{what} followed by {scanner.peek()!r} instead of space")


def element(text: str) -> str:
    """Return a text as lappend writes it: bare, in braces, or with backslashes."""
    if text and not _SPACE & set(text) and not set('{}[]$";\\') & set(text):
        return text
    depth, lowest = 0, 0
    for character in text:
        depth += (character == "{") - (character == "}")
        lowest = min(lowest, depth)
    if depth == 0 and lowest == 0 and "\\" not in text:
        return f"{{{text}}}"
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\f": "\\f"}
    return "".join(named.get(each, each if each not in '{}[]$"; \\' else f"\\{each}") for each in text)
