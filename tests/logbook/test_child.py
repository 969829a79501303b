"""Processes for what may hang or crash: they are always ended."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from ioc.child import run_module
from ioc.errors import PeerError, PeerTimeout
from tests.epics import eventually


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that the process finds, to be written by the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "some_module.py"


async def test_it_answers(module: Path) -> None:
    """What is on standard input comes back, in pieces or not, from a process of low priority too."""
    module.write_text(
        "import sys\nfor line in sys.stdin:\n    print(line.strip(), flush=True)\nprint('noise', file=sys.stderr)"
    )
    assert await run_module("some_module", (), b"a\nb\n", 20) == b"a\nb\n"
    assert await run_module("some_module", (), b"a\n", 20, aside=True) == b"a\n"


@pytest.mark.parametrize(
    ("code", "seconds", "error"),
    [
        ("import time\ntime.sleep(60)", 1.0, PeerTimeout),
        ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass", 1.0, PeerTimeout),
        ("while True: print('x' * 100000, flush=True)", 1.0, PeerTimeout),
        ("import subprocess\nsubprocess.Popen(['sleep', '61'])\nraise SystemExit(0)", 1.0, PeerTimeout),
        ("import os\nos.abort()", 20, PeerError),
        ("raise ValueError('s3cret')", 20, PeerError),
        ("import sys\nsys.stdin.close()\nraise SystemExit(3)", 20, PeerError),
    ],
)
async def test_it_is_ended(module: Path, code: str, seconds: float, error: type[Exception]) -> None:
    """Whatever it does, it ends in time with all its children, and what it printed is not repeated."""
    module.write_text(code)
    began = time.monotonic()
    with pytest.raises(error) as raised:
        await run_module("some_module", (), b"x" * 1_000_000, seconds)
    assert time.monotonic() - began < 15
    assert "s3cret" not in str(raised.value)
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "61"]]


async def test_it_ends_with_the_call(module: Path) -> None:
    """A call that is cancelled ends the process first."""
    mark = module.with_suffix(".pid")
    module.write_text(
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    task = asyncio.create_task(run_module("some_module", (), b"", 60))
    await eventually(lambda: mark.is_file() and mark.read_text() != "")
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert not psutil.pid_exists(int(mark.read_text()))
