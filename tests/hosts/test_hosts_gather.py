"""Gathering one file of a host: whole or not at all, and never in place of another."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import random
import resource
from collections.abc import Callable, Iterator

import pytest

from ioc.errors import PeerError, Refused
from ioc.hosts.gather import DestinationError, Gatherer
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Transport
from ioc.model.graw import partial_name
from tests.hosts.rig import contents
from tests.sshd import SshServer

NAME = b"CoBo0_AsAd1_2026-11-27T09:17:39.123_0000.graw"
SIZES = (0, 1, 32768, 32769, 5_000_001)
"""Of nothing, of one request and one byte more, of more requests than are under way at once."""


@pytest.fixture(params=["ssh", "local"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Either way to a host."""
    if request.param == "ssh":
        made: Transport = SshTransport("127.0.0.1", request.getfixturevalue("shared_sshd").settings(), 10.0)
    else:
        made = LocalTransport()
    yield made
    made.close()


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file of a host, of a day that has passed."""
    path = tmp_path / "host" / os.fsdecode(NAME)
    path.parent.mkdir()
    write(path, random.Random(1).randbytes(100_000))
    return path


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where it is gathered."""
    path = tmp_path / "mm0"
    path.mkdir()
    return path


def write(path: pathlib.Path, content: bytes, at: int = 1_700_000_000) -> None:
    path.write_bytes(content)
    os.utime(path, (at, at))


def gather(transport: Transport, source: pathlib.Path, place: pathlib.Path, *, link: bool = False) -> int:
    return Gatherer(transport, link).gather(os.fsencode(source), os.fsencode(place / source.name))


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_every_byte_and_the_time(
    transport: Transport, source: pathlib.Path, place: pathlib.Path, size: int
) -> None:
    """A file of any size arrives as it is; gathered again, it is there."""
    content = random.Random(size).randbytes(size)
    write(source, content)
    for _ in range(2):
        assert gather(transport, source, place) == size
        assert contents(place) == {NAME: content}
        assert (place / source.name).stat().st_mtime == source.stat().st_mtime
        assert not (place / source.name).samefile(source)


def test_files_of_this_machine_are_linked(source: pathlib.Path, place: pathlib.Path, other_disk: pathlib.Path) -> None:
    """A link is the file itself, also through a symbolic link; onto another disk it is refused, and a copy is not."""
    there = source.rename(source.with_name("moved"))
    source.symlink_to(there)
    for _ in range(2):
        assert gather(LocalTransport(), source, place, link=True) == 100_000
        assert (place / source.name).samefile(there)
        assert not (place / source.name).is_symlink()
    with pytest.raises(Refused, match=r"cannot be linked into the directory .*: use --copy"):
        gather(LocalTransport(), source, other_disk, link=True)
    assert contents(other_disk) == {}
    gather(LocalTransport(), source, other_disk)
    assert gather(LocalTransport(), source, other_disk, link=True) == 100_000, "a copy is as good as a link"


DIFFERENT: dict[str, Callable[[pathlib.Path, bytes], object]] = {
    "longer": lambda path, content: path.write_bytes(content + b"x"),
    "shorter": lambda path, content: path.write_bytes(content[:-1]),
    "first byte": lambda path, content: path.write_bytes(b"x" + content[1:]),
    "last byte": lambda path, content: path.write_bytes(content[:-1] + b"x"),
    "empty": lambda path, _: path.write_bytes(b""),
    "directory": lambda path, _: path.mkdir(),
    "link to nothing": lambda path, _: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("change", DIFFERENT)
@pytest.mark.parametrize("link", [False, True])
def test_a_different_file_stays(
    transport: Transport, source: pathlib.Path, place: pathlib.Path, change: str, *, link: bool
) -> None:
    """Whatever has the name already and is not the same file is never touched, and it is said."""
    content = source.read_bytes().replace(b"x", b"y")
    write(source, content)
    target = place / source.name
    DIFFERENT[change](target, content)
    before = contents(place)
    with pytest.raises(Refused, match="is another file, which stays: move it away"):
        gather(transport, source, place, link=link)
    assert contents(place) == before
    assert os.path.lexists(target)


def test_a_copy_made_by_hand_is_the_same_file(transport: Transport, source: pathlib.Path, place: pathlib.Path) -> None:
    """One without its time is compared."""
    write(place / source.name, source.read_bytes(), at=1_800_000_000)
    for link in (False, True):
        assert gather(transport, source, place, link=link) == 100_000
    assert contents(place) == {NAME: source.read_bytes()}


def test_what_a_killed_gathering_left_is_removed(
    transport: Transport, source: pathlib.Path, place: pathlib.Path
) -> None:
    """A part of a copy is made anew; a part that is a link to a complete file is not written to."""
    partial = place / os.fsdecode(partial_name(NAME))
    partial.write_bytes(b"half")
    gather(transport, source, place)
    assert contents(place) == {NAME: source.read_bytes()}
    os.link(place / source.name, partial)
    gather(transport, source, place)
    assert contents(place) == {NAME: source.read_bytes()}
    os.link(place / source.name, partial)
    moved = (place / source.name).rename(place.parent / "moved away")
    write(source, b"new")
    gather(transport, source, place)
    assert contents(place) == {NAME: b"new"}
    assert len(moved.read_bytes()) == 100_000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink(), "it is gone"),
        (lambda path: (path.unlink(), path.mkdir()), "it must be a regular file"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "it cannot be read|it is gone"),
    ],
)
def test_a_file_that_cannot_be_read(
    transport: Transport,
    source: pathlib.Path,
    place: pathlib.Path,
    change: Callable[[pathlib.Path], object],
    problem: str,
) -> None:
    """It is refused with the reason, and nothing is left of it."""
    change(source)
    for link in (False, True):
        with pytest.raises(Refused, match=problem):
            gather(transport, source, place, link=link)
    assert contents(place) == {}


def test_a_file_that_loses_its_end(transport: Transport, source: pathlib.Path, place: pathlib.Path) -> None:
    """One that became shorter while it was read is not taken for whole."""

    class Shrinking:
        """A host on which something truncates the file."""

        def __getattr__(self, name: str) -> object:
            method = getattr(transport, name)

            def shortened(*arguments: object) -> object:
                os.truncate(source, 70_000)
                return method(*arguments)

            return shortened if name == "read" else method

    with pytest.raises(Refused, match="only 70000 of its 100000 bytes can be read"):
        gather(Shrinking(), source, place)  # pyright: ignore[reportArgumentType]
    assert contents(place) == {}
    assert gather(transport, source, place) == 70_000, "the connection can still be used"


def test_a_disk_that_is_full(transport: Transport, source: pathlib.Path, place: pathlib.Path) -> None:
    """If a copy does not fit (a limit on file sizes stands in), the directory is named, and no half copy is left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(DestinationError) as full:
            gather(transport, source, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(full.value) == f"{place} cannot be written: {os.strerror(errno.EFBIG)}"
    assert contents(place) == {}
    assert gather(transport, source, place) == 100_000, "the connection can still be used"


def test_a_directory_that_is_gone(transport: Transport, source: pathlib.Path, place: pathlib.Path) -> None:
    """The directory is named, not the file of the host."""
    place.rmdir()
    for link in (False, True):
        with pytest.raises(DestinationError, match=f"{place} cannot be written: No such file or directory"):
            gather(transport, source, place, link=link)


def test_a_host_that_is_lost_while_a_file_is_copied(sshd: SshServer, source: pathlib.Path, place: pathlib.Path) -> None:
    """The error is that of the host; what was copied is removed, and it works when the host is back."""
    write(source, bytes(20_000_000))
    with contextlib.closing(SshTransport("127.0.0.1", sshd.settings(), 10.0)) as transport:
        read = transport.read

        class Dying:
            """A host that dies at the third piece."""

            def __getattr__(self, name: str) -> object:
                return getattr(transport, name)

            def read(self, path: bytes, size: int, take: Callable[[bytes], None]) -> None:
                pieces = 0

                def counted(piece: bytes) -> None:
                    nonlocal pieces
                    pieces += 1
                    if pieces == 3:
                        sshd.stop()
                    take(piece)

                read(path, size, counted)

        with pytest.raises(PeerError):
            gather(Dying(), source, place)  # pyright: ignore[reportArgumentType]
        assert contents(place) == {}
        sshd.start()
        assert gather(transport, source, place) == 20_000_000
