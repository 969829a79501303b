"""Tcl lists, compared with a real tclsh where there is one, and with the simulator's reader, written independently."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ioc.partners.tcl import quote, split
from ioc.sim.tcl_list import TclError, element, parse

ODD = [
    "",
    "{",
    "}",
    "}{",
    "a\\",
    "\\",
    "a\nb",
    "\r",
    "$x",
    "[exit]",
    '"',
    'a"b c',
    ";#",
    "# no",
    "£ µ ü 漢",
    "😀 \x00",
    "{*}x",
]
TEXTS = st.one_of(st.text(max_size=60), st.text('{}[]\\$"; #\n\tax0u', max_size=30))

_SCRIPT = r"""
fconfigure stdin -encoding utf-8 -translation lf
fconfigure stdout -encoding ascii -translation lf -buffering line
proc codes text {
    set out {}
    foreach c [split $text {}] { append out [scan $c %c] , }
    return $out
}
while {[gets stdin line] >= 0} {
    if {[catch {llength $line} count]} { puts "no list"; continue }
    set out "list"
    foreach word $line { append out " :" [codes $word] }
    puts $out
}
"""


class Tclsh:
    """A real Tcl that reads lists."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def elements(self, line: str) -> list[str] | None:
        """The elements of a list in one line; None if it is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode(errors="surrogatepass") + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode()
        if answer == "no list\n":
            return None
        words = [word[1:] for word in answer.split()[1:]]
        return [_utf16("".join(chr(int(code)) for code in word.split(",") if code)) for word in words]


@pytest.fixture(scope="module")
def tclsh() -> Iterator[Tclsh]:
    program = shutil.which("tclsh")
    if program is None:
        pytest.skip("there is no tclsh")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(_SCRIPT.encode())
        process.stdin.flush()
        yield Tclsh(process)
        process.stdin.close()


@pytest.mark.parametrize("text", ODD)
def test_odd_titles_are_one_element_for_a_real_tcl(tclsh: Tclsh, text: str) -> None:
    """Whatever is in a title, the request is one line of ASCII, and Tcl finds the title in its third element."""
    line = f"set title {quote(text)}"
    assert line.isascii()
    assert line.isprintable()
    assert tclsh.elements(line) == ["set", "title", _utf16(text)]


@settings(max_examples=500, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_quoted_texts_are_read_by_everybody(tclsh: Tclsh, texts: list[str]) -> None:
    """A list of quoted texts has these texts for Tcl, for the simulator and for us."""
    line = " ".join(map(quote, texts))
    assert tclsh.elements(line) == [_utf16(text) for text in texts]
    assert list(map(_utf16, parse(line))) == [_utf16(text) for text in texts]
    assert list(map(_utf16, split(line))) == [_utf16(text) for text in texts]


@settings(max_examples=2000, deadline=None)
@given(line=st.text('{}[]\\$"; #\tax0u41ü', max_size=25))
@example("{a}b")
@example("\\400 \\377 \\08")
@example('"a" {b {c}} \\x4 \\u00e9 \\101')
def test_every_line_is_read_as_by_a_real_tcl(tclsh: Tclsh, line: str) -> None:
    """Any line has the same elements for Tcl, for the simulator and for us, or is a list for none of them."""
    try:
        ours: list[str] | None = split(line)
    except ValueError:
        ours = None
    try:
        simulated: list[str] | None = parse(line)
    except TclError:
        simulated = None
    assert ours == simulated == tclsh.elements(line)


@settings(max_examples=500, deadline=None)
@given(texts=st.lists(st.text('{}[]\\$"; #\tax0u', max_size=20), max_size=3))
def test_what_the_simulator_writes_is_a_list(tclsh: Tclsh, texts: list[str]) -> None:
    """Its replies are what lappend writes: a list of these texts."""
    line = " ".join(element(text) or "{}" for text in texts)
    assert split(line) == texts == tclsh.elements(line)  # ASCII: all see the same


def _utf16(text: str) -> str:
    """The text with surrogates as they are in UTF-16: Tcl 8.6 has no other form of what is beyond U+FFFF."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")
