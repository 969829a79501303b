"""The checks of a machine beside the regular look: programs, clock, writing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ioc.errors import PeerError
from ioc.hosts.checks import read_tools, try_writing
from ioc.hosts.local import LocalTransport
from tests.hosts.rig import Hosts


class Answering(LocalTransport):
    """A machine that answers every script with the same text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        return self.text.encode()


async def test_this_machine_has_what_is_needed_and_our_clock(hosts: Hosts) -> None:
    """On either kind of host: Linux has /proc, and a clock cannot differ from itself."""
    tools = await hosts().tools()
    assert tools.has_proc == Path("/proc/self/stat").exists()
    assert abs(tools.ahead) < 2


@pytest.mark.parametrize(
    ("has", "missing"),
    [("has ps\nhas lsof\n", ()), ("has ps\n", ("lsof",)), ("", ("ps", "lsof"))],
)
def test_programs_and_clock_of_another_machine(has: str, missing: tuple[str, ...]) -> None:
    """A machine without /proc: what it lacks is named, and how far its clock is ahead."""
    tools = read_tools(Answering(f"@begin\n{has}now {int(time.time()) + 100}\n@end\n"), 1)
    assert (tools.has_proc, tools.missing) == (False, missing)
    assert tools.ahead == pytest.approx(100, abs=1.1)


def test_a_slow_login_does_not_count_as_a_clock_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login takes five seconds, and what is asked then none: its clock is ours, exact to its whole seconds."""
    monkeypatch.setattr("ioc.hosts.checks.time", clock := Clock())
    tools = read_tools(LoggingIn(clock), 10)
    assert abs(tools.ahead) <= 0.5


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


class LoggingIn(LocalTransport):
    """A machine with our clock that logs in slowly before the first script."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.login = 5.0

    def run(self, script: str, arguments: Sequence[bytes], timeout: float) -> bytes:
        self.clock.now += self.login
        self.login = 0.0
        return f"@begin\nhas ps\nnow {int(self.clock.now)}\n@end\n".encode()


@pytest.mark.parametrize("answer", ["", "This account is disabled.\n", "@begin\nnow \n@end\n", "@begin\n\n@end\n"])
def test_a_login_that_runs_no_commands(answer: str) -> None:
    """Whatever comes instead of the answer is an error for operators."""
    with pytest.raises(PeerError, match="must run commands"):
        read_tools(Answering(answer), 1)


@pytest.mark.parametrize("below", ["", "e1", "e1/e2"])
async def test_the_nearest_directory_is_tried_and_left_as_it_was(hosts: Hosts, tmp_path: Path, below: str) -> None:
    """A file is made and removed where the next run would write, and nothing stays."""
    (tmp_path / "e1").mkdir()
    tried = await hosts().try_writing(f"{tmp_path}/", below)
    assert tried == str(tmp_path / "e1" if below else tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["e1"]
    assert list((tmp_path / "e1").iterdir()) == []


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the place of the directory, or a file system that refuses: the directory is named."""
    (tmp_path / "file").touch()
    with pytest.raises(PeerError, match="file must be a directory"):
        try_writing(LocalTransport(), str(tmp_path / "file"), "")
    with pytest.raises(PeerError, match="no file can be written in /proc"):
        try_writing(LocalTransport(), "/proc/nowhere", "e1")
