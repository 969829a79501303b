"""A file is replaced whole, under a lock, and never over somebody else's change."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ioc.errors import ConfigurationError, PeerTimeout, Refused
from ioc.topology.rewrite import rewrite


def shout(text: str) -> str:
    return text.upper()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_bytes("größe: 1\r\nb: 2".encode())
    return path


def test_every_byte_but_the_change_stays(file: Path) -> None:
    """Line breaks and characters are not translated; nothing is left beside the file; no change is no write."""
    assert rewrite(file, lambda text: text.replace("1", "3"))
    assert file.read_bytes() == "größe: 3\r\nb: 2".encode()
    before = file.stat()
    assert not rewrite(file, lambda text: text)
    assert file.stat() == before
    assert [each.name for each in file.parent.iterdir()] == ["t.yaml"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_mode_and_link_stay(file: Path, mode: int) -> None:
    """The file that a symbolic link names is replaced, not the link; its mode stays."""
    file.chmod(mode)
    (file.parent / "folder").mkdir()
    link = file.parent / "folder" / "link.yaml"
    link.symlink_to("../t.yaml")
    assert rewrite(link, shout)
    assert link.is_symlink()
    assert file.read_text().startswith("GRÖSSE")
    assert file.stat().st_mode & 0o777 == mode


def test_a_change_of_somebody_else_is_not_lost(file: Path) -> None:
    """What an editor writes between reading and replacing is kept, and the change is refused."""

    def meanwhile(text: str) -> str:
        file.write_text("written: meanwhile\n")
        return text.upper()

    with pytest.raises(Refused, match="was changed by another program meanwhile"):
        rewrite(file, meanwhile)
    assert file.read_text() == "written: meanwhile\n"
    assert [each.name for each in file.parent.iterdir()] == ["t.yaml"]


def test_two_programs_wait_for_each_other(file: Path) -> None:
    """While somebody has the lock nothing is changed; after five seconds that is the answer."""
    with file.open("r+b") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        with pytest.raises(PeerTimeout, match="is being changed by another program: try again"):
            rewrite(file, shout)
    assert rewrite(file, shout)


COUNT = """
import sys
from pathlib import Path
from ioc.topology.rewrite import rewrite
for _ in range(20):
    rewrite(Path(sys.argv[1]), lambda text: str(int(text) + 1))
"""


def test_no_change_is_lost_among_programs(tmp_path: Path) -> None:
    """Four programs that count in one file at the same time count every step."""
    path = tmp_path / "count"
    path.write_text("0")
    programs = [subprocess.Popen([sys.executable, "-c", COUNT, path]) for _ in range(4)]
    assert [program.wait(60) for program in programs] == [0] * 4
    assert path.read_text() == "80"


FOREVER = """
import sys
from pathlib import Path
from ioc.topology.rewrite import rewrite
turn = 0
while True:
    turn += 1
    rewrite(Path(sys.argv[1]), lambda text: f"{turn}\\n" * 20000)
    print(turn, flush=True)
"""


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    """Killed at any moment, the file is one that was written whole, and the next change goes on from there."""
    path = tmp_path / "t.yaml"
    path.write_text("0\n" * 20000)
    for steps in range(8):
        with subprocess.Popen([sys.executable, "-c", FOREVER, path], stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            for _ in range(steps + 1):
                program.stdout.readline()
            program.send_signal(signal.SIGKILL)
        lines = path.read_text().splitlines()
        assert len(lines) == 20000
        assert len(set(lines)) == 1
    assert rewrite(path, lambda _: "done\n")
    assert [each.name for each in tmp_path.iterdir()] == ["t.yaml"]


def test_what_is_raised_changes_nothing(file: Path) -> None:
    """A change that is refused leaves the file, and the lock free."""

    def refuse(text: str) -> str:
        raise Refused(text)

    before = file.read_bytes()
    with pytest.raises(Refused):
        rewrite(file, refuse)
    assert file.read_bytes() == before
    assert rewrite(file, shout)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, a folder, and a link to nowhere are named."""
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path / "none", tmp_path, tmp_path / "link"):
        with pytest.raises(ConfigurationError, match=str(path)):
            rewrite(path, shout)


AS_NOBODY = """
import os, sys
from pathlib import Path
from ioc.topology.rewrite import rewrite
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    rewrite(Path(sys.argv[1]), str.upper)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody who may not write")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o644, 0o777), (0o666, 0o755)])
def test_no_permission(file_mode: int, folder_mode: int) -> None:
    """A file or folder that this user may not write is named with the reason."""
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "t.yaml"
        path.write_text("a: 1\n")
        path.chmod(file_mode)
        folder.chmod(folder_mode)
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, check=False)
        assert done.stdout.startswith(f"Refused {path} cannot be changed by this user: Permission denied"), done
        assert path.read_text() == "a: 1\n"
