"""The look at a host (``look.sh``), and reading its answer: the dataRouter processes and the directories they use.

One script looks at everything in one round trip and prints sections, each begun by a line ``@…``; it decides nothing.
On Linux it prints the contents of ``/proc``, elsewhere the output of ps and lsof (`_linux` and `_others` parse them
into the same form). `ioc.hosts.routers` decides which process is which router, and what is reported.

Where ``ls``, ``rmdir`` or the kernel give a reason only as text, that text is examined here and nowhere else; the
script runs them with ``LC_ALL=C``, so the text does not depend on the language of the host.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from ioc.errors import PeerError
from ioc.hosts.sockets import Socket, of_lsof, of_proc_net

SCRIPT = resources.files("ioc.hosts").joinpath("look.sh").read_text(encoding="ascii")
PROCESS_NAME = "dataRouter"
DELETED = b" (deleted)"
"""Suffix of a link in /proc to a deleted file (``man 5 proc``)."""
_UNMOUNTED = "its file system was unmounted, or another one was mounted over it"


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
    """Why the user cannot write there; empty if it is writable."""


@dataclass(frozen=True)
class Process:
    """A running dataRouter process."""

    pid: int
    sockets: tuple[Socket, ...] = ()
    directory: Directory | None = None
    """Its working directory; None if it cannot be determined, or files cannot be taken from it."""
    lost: str = ""
    """What happened to its working directory (``was deleted``); empty if it exists or this is not known."""
    unreadable: str = ""
    """Why the SSH user cannot read its working directory, although it exists."""
    place: bytes = b""
    """Path of its working directory, if known."""
    parent: int = 0
    arguments: tuple[str, ...] = ()
    started: str = ""
    """Start time, in a form that no clock step changes."""

    @cached_property
    def data_port(self) -> int | None:
        """Its data port by its arguments; None if they do not tell."""
        return data_port(self.arguments)


@dataclass(frozen=True)
class Look:
    processes: tuple[Process, ...]
    given: dict[int, Directory]
    """The given directories by number, if they could be entered."""


def parse(output: bytes) -> Look:
    """Read the answer of `SCRIPT`.

    Raises:
        PeerError: it is incomplete, or a required tool failed.
    """
    text = output.decode(errors="surrogateescape")
    _, begin, text = ("\n" + text).partition("\n@begin\n")
    if not begin:
        said = output[-80:].decode(errors="replace").strip()
        raise PeerError(
            "a login over SSH must run commands, but this one ran none: check the user's shell and login scripts, "
            f"ForceCommand in sshd_config and command= in authorized_keys (the answer was {said!r})"
        )
    text, end, _ = ("\n" + text).partition("\n@end\n")
    if not end:
        raise PeerError(f"the search for data routers did not finish; its output ends with {output[-80:]!r}")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("@"):
            lines = sections.setdefault(line, [])
        else:
            lines.append(line)
    for tool in ("ps", "lsof"):
        if f"@missing {tool}" in sections:
            raise PeerError(f"install the program {tool} there: without it no router can be found")
    if "@failed ps" in sections:
        raise PeerError("the program ps fails there, so no router can be found: on Linux it needs /proc, mount it")
    if "@hung" in sections:
        raise PeerError(
            "lsof hangs there, so the state of its routers cannot be determined: most often a mounted file server "
            "does not answer. Bring it back, or unmount it"
        )
    given = {
        int(title.removeprefix("@directory given ")): directory
        for title in sections
        if title.startswith("@directory given ") and (directory := _directory(_lines(sections, title)))
    }
    return Look(tuple(_linux(sections) if "@boot" in sections else _others(sections)), given)


def _linux(sections: dict[str, list[str]]) -> Iterator[Process]:
    boot = sections["@boot"][0]
    sockets = list(of_proc_net(sections.get("@sockets", [])))
    of_inode: defaultdict[str, list[Socket]] = defaultdict(list)
    for socket, inode, _ in sockets:
        of_inode[inode].append(socket)
    titles = [title for title in sections if title.startswith("@process ")]
    # Each process has the number of the boot before its arguments.
    said = _hex("".join(sections.get("@arguments", []))).split(f"{boot}\n".encode())[1:]
    for i, title in enumerate(titles):
        arguments = said[i] if i < len(said) else b""
        pid, values = int(title.removeprefix("@process ")), _values(sections[title])
        own = dict.fromkeys(line.removeprefix("socket ") for line in sections[title] if line.startswith("socket "))
        words = tuple(arguments.decode(errors="replace").split("\0")[:-1])
        mine = [socket for inode in own for socket in of_inode.get(inode, ())]
        if "user" in values:
            # Another user's descriptors are not readable: what remains are the ports in the arguments of the process.
            argument_ports = {port for word in words for port in _port(word)}
            mine = [socket for socket, _, user in sockets if user == values["user"] and socket.port in argument_ports]
        of_directory = _lines(sections, f"@directory process {pid}")
        directory, lost, unreadable = _directory(of_directory), "", ""
        place = _hex(values.get("link", "")) or _values(of_directory).get("at", "").encode()
        if place and ("here" not in values or directory is None):
            directory = None
            if place.endswith(DELETED):  # by the kernel
                place, lost = place.removesuffix(DELETED), "was deleted"
            elif "apart" not in values:  # in a container the path has a different meaning
                unreadable = _reason(_values(of_directory))
                # One that was there is gone since: how will be known at the next look.
                how = "it was deleted, or its file system unmounted" if "here" in values else _UNMOUNTED
                lost = "" if unreadable else f"is gone: {how}"
        started = f"{boot[:8]}:{ticks}" if (ticks := values.get("start")) else ""  # ticks since boot
        yield Process(
            pid,
            tuple(mine),
            directory,
            lost,
            unreadable,
            place,
            int(values.get("parent") or 0),
            words,
            started,
        )


def _others(sections: dict[str, list[str]]) -> Iterator[Process]:
    sockets = of_lsof(sections.get("@lsof", []), PROCESS_NAME)
    commands = _values([line.lstrip() for line in sections.get("@commands", [])])
    for line in sections["@processes"]:
        # PID PARENT STATE, five words of the start, and the command (macOS: with its whole path); zombies do not count.
        fields = line.split(None, 8)
        if len(fields) < 9 or fields[2].startswith("Z") or fields[8].rstrip().rpartition("/")[2] != PROCESS_NAME:
            continue
        pid = int(fields[0])
        of_directory = _lines(sections, f"@directory process {pid}")
        values = _values(of_directory)
        directory, lost, unreadable = _directory(of_directory), "", ""
        place = values["name"].encode() if "name" in values else _hex(values.get("link", ""))
        # inode of the directory according to lsof, and that of the name now
        inodes = f"{values.get('inode', '')} {values.get('node', '')}".split()[:2]
        if place and (directory is None or inodes[:1] != inodes[1:]):
            # Only the text of ls distinguishes a missing directory from one without read permission.
            gone = directory is not None or "reason" not in values or "No such file" in values["reason"]
            directory = None
            lost, unreadable = ("was deleted or moved away", "") if gone else ("", _reason(values))
        yield Process(
            pid,
            tuple(sockets[pid]),
            directory,
            lost,
            unreadable,
            place,
            int(fields[1]),
            tuple(commands.get(str(pid), "").split()),
            " ".join(fields[3:8]),
        )


def _values(lines: list[str]) -> dict[str, str]:
    """Read lines ``KEY VALUE``; a leading blank continues the value. The first value of a key counts."""
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
    """Return a router's data port from its arguments (``dataRouter CONTROL DATA TYPE``), if they are visible."""
    for i, argument in enumerate(arguments[:-1]):
        ports = [*_port(argument), *_port(arguments[i + 1])]
        if len(ports) == 2:
            return ports[1] or None  # 0: any
    return None


def _reason(values: dict[str, str]) -> str:
    """Return the message of ``ls`` without its name and that of the file."""
    return values.get("reason", "").rpartition(": ")[2]


_DISK = re.compile(r"\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s")


def _lines(sections: dict[str, list[str]], title: str) -> list[str]:
    """Return what is said about a directory: of one looked at with others, a section of its path has the rest."""
    lines = sections.get(title, [])
    at = _values(lines).get("at")
    return lines if at is None else [*lines, *sections.get(f"@listing {at}", [])]


def _directory(lines: list[str]) -> Directory | None:
    values = _values(lines)
    path = values["at"].encode() if "at" in values else _hex(values.get("path", ""))[:-1]  # pwd ends it with a newline
    graw = re.fullmatch(r"(\d+) (\d+)", values.get("graw", ""))
    if not path or not graw or "run" not in values:
        return None
    # Size, used, available, capacity; names before and after may have spaces.
    disk = next((found for line in lines if (found := _DISK.search(line))), None)
    unwritable = values.get("unwritable")
    # Only the text of rmdir distinguishes a read-only file system from missing permissions.
    read_only = unwritable is not None and "ead-only" in unwritable
    reason = "its file system is read-only" if read_only else "its permissions forbid it"
    return Directory(
        path=path,
        file_count=int(graw[1]),
        staged_bytes=int(graw[2]),
        disk_free=max(0, int(disk[2])) * 1024 if disk else 0,
        disk_total=int(disk[1]) * 1024 if disk else 0,
        run_dir_exists=values["run"] == "yes",
        unwritable="" if unwritable is None else reason,
    )
