"""The end of log files."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.tail import TAIL_BYTES, last_lines
from tests.hosts.rig import Hosts


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ""),
        (b"one\ntwo\nthree\n", "two\nthree"),
        (b"one\r\ntwo\r\nthree", "two\nthree"),
        (b"\x1b[31mred\x1b[0m\tcell\x00\x07\x7f\n", "red\tcell"),
        (b"caf\xe9\n", "caf\ufffd"),
        ("µ→ß\n".encode(), "µ→ß"),
        ("one\ntwo\n".encode("utf-16"), "\ufffd\ufffdone\ntwo"),
        (b"\xc2\x85next\n", "next"),
        (b"\n\n\n", "\n"),
    ],
)  # fmt: skip
def test_last_lines(content: bytes, expected: str):
    """The last lines are text without control characters, whatever the encoding."""
    assert last_lines(content, 2, whole=True) == expected


@given(st.binary(max_size=300), st.integers(1, 5), st.booleans())
def test_any_bytes_become_printable_text(content: bytes, lines: int, whole: bool):
    """No content breaks it: never more lines than asked for, never a control character, always UTF-8."""
    text = last_lines(content, lines, whole=whole)
    assert text.count("\n") < lines
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in text if each not in "\n\t")
    text.encode()


def test_a_line_that_was_cut_off_is_left_out():
    """The first line of what was read is not shown if its beginning was not read."""
    assert last_lines(b"tail of a line\nwhole", 50, whole=False) == "whole"
    assert last_lines(b"one endless line", 50, whole=False) == "one endless line"


async def test_log_of_any_size(hosts: Hosts, tmp_path: pathlib.Path):
    """Of a file of 1 TB the last lines come at once."""
    log = tmp_path / "data router's.log"
    with log.open("wb") as file:
        file.seek(2**40)
        file.write(b"\n" + b"".join(b"line %d\n" % i for i in range(100)))
    host = hosts()
    await host.log_tail(str(log))
    begin = time.monotonic()
    text = await host.log_tail(str(log), 3)
    assert text == "line 97\nline 98\nline 99"
    assert time.monotonic() - begin < 3


async def test_long_lines_are_bounded(hosts: Hosts, tmp_path: pathlib.Path):
    """Never more than the last 64 KiB are read."""
    (tmp_path / "log").write_bytes(b"x" * (3 * TAIL_BYTES))
    assert await hosts().log_tail(str(tmp_path / "log")) == "x" * TAIL_BYTES


async def test_log_below_home(hosts: Hosts, tmp_path: pathlib.Path):
    """``~`` in a path is the home directory on the host."""
    with pytest.raises(PeerError, match=f"{pathlib.Path.home()}/no such/file.*No such file"):
        await hosts().log_tail("~/no such/file")


async def test_what_is_no_file(hosts: Hosts, tmp_path: pathlib.Path):
    """A directory or a pipe in place of the log file is named, and does not block."""
    os.mkfifo(tmp_path / "pipe")
    host = hosts()
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(PeerError, match=f"{path} on .* must be a regular file"):
            await host.log_tail(str(path))
