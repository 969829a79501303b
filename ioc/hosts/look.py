"""The reading of what `ioc.hosts.look_script` answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ioc.errors import PeerError
from ioc.hosts.sockets import Socket, of_lsof, of_proc_net

PROCESS_NAME = "dataRouter"


@dataclass(frozen=True)
class Directory:
    """A directory that a router writes to."""

    path: bytes
    file_count: int
    staged_bytes: int
    disk_free: int
    disk_total: int
    run_dir_exists: bool
    unwritable: str = ""
    """Why the user cannot write there; empty if he can."""


@dataclass(frozen=True)
class Process:
    """A dataRouter process that runs."""

    pid: int
    sockets: tuple[Socket, ...] = ()
    directory: Directory | None = None
    """Where it works; None if that cannot be determined, or is no place that files can be taken from."""
    lost: str = ""
    """What became of the place where it works (``was deleted``); empty if nothing did, or that cannot be seen."""
    place: bytes = b""
    """The path of that place, as far as it is known."""
    parent: int = 0
    arguments: tuple[str, ...] = ()
    started: str = ""
    """When, in a form that no clock step changes."""


@dataclass(frozen=True)
class Look:
    """What one look at a host found."""

    processes: tuple[Process, ...]
    given: dict[int, Directory]
    """The directories that were asked about by their number, as far as they could be entered."""


def parse(output: bytes) -> Look:
    """Read the answer of `SCRIPT`.

    Raises:
        PeerError: it is not complete, or a tool that it needs failed.
    """
    text = output.decode(errors="surrogateescape")
    _, begin, text = ("\n" + text).partition("\n@begin\n")
    if not begin:
        said = output[-80:].decode(errors="replace").strip()
        raise PeerError(
            "a login over SSH must run commands, but this one ran none: look at the user's shell, his login scripts, "
            f"ForceCommand in sshd_config and command= in authorized_keys (the answer was {said!r})"
        )
    text, end, _ = ("\n" + text).partition("\n@end\n")
    if not end:
        raise PeerError(f"the answer to a look at the data routers is not complete: {output[-80:]!r}")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("@"):
            lines = sections[line] = []
        else:
            lines.append(line)
    for tool in ("ps", "lsof"):
        if f"@missing {tool}" in sections:
            raise PeerError(f"the program {tool} must be installed there: without it no router can be found")
    if "@hung" in sections:
        raise PeerError(
            "lsof hangs there, so its routers cannot be told apart: most often a file server that was mounted is away"
        )
    given = {
        int(title.removeprefix("@directory given ")): directory
        for title, body in sections.items()
        if title.startswith("@directory given ") and (directory := _directory(body))
    }
    return Look(tuple(_linux(sections) if "@boot" in sections else _others(sections)), given)


def _linux(sections: dict[str, list[str]]) -> Iterator[Process]:
    boot = sections["@boot"][0][:8]
    sockets = list(of_proc_net(sections.get("@sockets", [])))
    for title, lines in sections.items():
        if not title.startswith("@process "):
            continue
        pid, values = int(title.removeprefix("@process ")), _values(lines)
        after = values.get("stat", "").split()
        own = {line.removeprefix("socket ") for line in lines if line.startswith("socket ")}
        arguments = _hex(values.get("arguments", "")).decode(errors="replace").split("\0")
        mine = [socket for socket, inode, _ in sockets if inode in own]
        if "user" in values:
            # Another user's descriptors are closed to us: what remains are the ports that the process was told.
            told = {port for argument in arguments for port in _port(argument)}
            mine = [socket for socket, _, user in sockets if user == values["user"] and socket.port in told]
        place = _hex(values.get("link", ""))
        of_directory = sections.get(f"@directory process {pid}", [])
        directory, lost = _directory(of_directory), ""
        if place and ("here" not in values or directory is None):
            directory, place, lost = None, *_what_became(place, _reason(_values(of_directory)))
            if "apart" in values and "deleted" not in lost:
                lost = ""  # in a container a path means something else
        # The 22nd field of stat is the start in ticks since boot; the first four are not in `after`.
        started = f"{boot}:{after[17]}" if len(after) > 17 else ""
        yield Process(
            pid, tuple(mine), directory, lost, place, int(values.get("parent") or 0), tuple(arguments[:-1]), started
        )


def _what_became(link: bytes, reason: str) -> tuple[bytes, str]:
    if link.endswith(b" (deleted)"):
        return link.removesuffix(b" (deleted)"), "was deleted"
    return link, reason or "is not there any more: its file system was unmounted, or another one was mounted over it"


def _others(sections: dict[str, list[str]]) -> Iterator[Process]:
    sockets = of_lsof(sections.get("@lsof", []), PROCESS_NAME)
    for line in sections["@processes"]:
        # PID PARENT STATE, five words of the start, and the command: macOS has its whole path; zombies run no more.
        fields = line.split(None, 8)
        if len(fields) < 9 or fields[2].startswith("Z") or fields[8].rstrip().rpartition("/")[2] != PROCESS_NAME:
            continue
        pid = int(fields[0])
        said = _values(sections.get(f"@arguments {pid}", [])).get("arguments", "")
        of_directory = sections.get(f"@directory process {pid}", [])
        values = _values(of_directory)
        directory, lost = _directory(of_directory), ""
        # lsof's number of the directory and that of what has its name now, and then the name.
        inodes = values.get("inode", "").split()[:2]
        if "link" in values and (directory is None or inodes[:1] != inodes[1:]):
            gone = directory is not None or "No such file" in values.get("reason", "")
            directory, lost = None, "was deleted or moved away" if gone else _reason(values)
        yield Process(
            pid,
            tuple(sockets[pid]),
            directory,
            lost,
            _hex(values.get("link", "")),
            int(fields[1]),
            tuple(_hex(said).decode(errors="replace").split()),
            " ".join(fields[3:8]),
        )


def _values(lines: list[str]) -> dict[str, str]:
    """Read lines ``KEY VALUE``; what begins with a blank goes on with the value before. The first of a key counts."""
    values: dict[str, str] = {}
    key = ""
    for line in lines:
        if line.startswith(" "):
            values[key] = values.get(key, "") + line
            continue
        key, _, value = line.partition(" ")
        values.setdefault(key, value)
    return values


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


def _port(argument: str) -> Iterator[int]:
    """``ADDRESS:PORT``, either of which may be empty."""
    if match := re.fullmatch(r"[\w.\-\[\]]*:(\d{1,5})", argument):
        yield int(match[1])


def data_port(arguments: tuple[str, ...]) -> int | None:
    """Return the port that a router was told to take data on (``dataRouter CONTROL DATA TYPE``), if it can be seen."""
    for i, argument in enumerate(arguments[:-1]):
        ports = [*_port(argument), *_port(arguments[i + 1])]
        if len(ports) == 2:
            return ports[1] or None  # 0: any
    return None


def _reason(values: dict[str, str]) -> str:
    """Return what ``ls`` said, without its name and that of the file."""
    said = values.get("reason", "").rpartition(": ")[2]
    return f"cannot be read by the SSH user: {said}" if said else ""


_DISK = re.compile(r"\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s")


def _directory(lines: list[str]) -> Directory | None:
    values = _values(lines)
    path = _hex(values.get("path", ""))[:-1]  # pwd ends it with a newline
    graw = re.fullmatch(r"(\d+) (\d+)", values.get("graw", ""))
    if not path or not graw or "run" not in values:
        return None
    # Size, used, available, capacity; names before and after may have spaces.
    disk = next((found for line in lines if (found := _DISK.search(line))), None)
    unwritable = values.get("unwritable")
    return Directory(
        path=path,
        file_count=int(graw[1]),
        staged_bytes=int(graw[2]),
        disk_free=max(0, int(disk[2])) * 1024 if disk else 0,
        disk_total=int(disk[1]) * 1024 if disk else 0,
        run_dir_exists=values["run"] == "yes",
        unwritable=""
        if unwritable is None
        else "its file system is read-only"
        if "ead-only" in unwritable
        else "its permissions forbid it",
    )
