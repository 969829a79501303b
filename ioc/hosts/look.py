"""The script that looks at the data routers of a host, and the reading of its answer (Linux and macOS)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ioc.errors import PeerError

PROCESS_NAME = "dataRouter"

# $1 is the run directory asked about, $2… are directories to look at besides those of the processes.
# A section begins with a line "@…". Paths come in hexadecimal: they may hold any byte.
SCRIPT = r"""
look() {
  printf '@directory %s\n' "$1"
  (
    cd "$2" || exit
    printf 'path '; pwd -P | od -An -v -tx1 | tr -d ' \n'; echo
    files=$(ls -lnq) && printf '%s\n' "$files" |
      awk '/^-/ && /\.graw$/ { n++; s += $5 } END { printf "graw %.0f %.0f\n", n, s }'
    printf 'disk '; df -Pk . | tail -n 1
    if [ -e "$run" ] || [ -L "$run" ]; then echo 'run yes'; else echo 'run no'; fi
  )
}
main() {
  PATH=$PATH:/usr/sbin:/sbin; export PATH
  run=$1; shift
  if command -v ps >/dev/null; then
    processes=$(ps -A -ww -o pid= -o stat= -o comm= | grep dataRouter)
  else
    processes=$(for process in /proc/[0-9]*; do
      read -r pid name state rest <"$process/stat" || continue
      [ "$name" = '(dataRouter)' ] && echo "$pid $state dataRouter"
    done)
  fi
  printf '@processes\n%s\n' "$processes"
  pids=$(printf '%s\n' "$processes" | awk '$2 !~ /^Z/ && /[ \/]dataRouter$/ { print $1 }')
  [ -n "$pids" ] && if command -v lsof >/dev/null; then
    echo @ports
    LC_ALL=C lsof -nP -a -c dataRouter -i -Fpcn
  else
    echo @sockets
    for pid in $pids; do
      echo "p$pid"
      ls -l "/proc/$pid/fd" | sed -n 's/.*socket:\[\([0-9]*\)\]$/s\1/p'
    done
    echo @listening
    for table in tcp tcp6 udp udp6; do
      awk '$4 == "0A" || $4 == "07" { print $2, $10 }' "/proc/net/$table"
    done
  fi
  ask_lsof=
  for pid in $pids; do
    if [ -d "/proc/$pid/cwd/." ]; then look "process $pid" "/proc/$pid/cwd"; else ask_lsof=yes; fi
  done
  # In a UTF-8 locale lsof escapes no letters. What it does escape (control characters) cannot be found then.
  [ -n "$ask_lsof" ] && LC_ALL=en_US.UTF-8 lsof -a -d cwd -c dataRouter -Fpcn | while IFS= read -r line; do
    case $line in
      p*) pid=${line#p} ;;
      n*) [ -d "/proc/$pid/cwd/." ] || look "process $pid" "${line#n}" ;;
    esac
  done
  number=0
  for directory; do
    case $directory in "~" | "~/"*) directory=$HOME${directory#"~"} ;; esac
    [ -n "$directory" ] && look "given $number" "$directory"
    number=$((number + 1))
  done
  echo @end
}
"""


@dataclass(frozen=True)
class Directory:
    """A directory that a router writes to."""

    path: bytes
    file_count: int
    staged_bytes: int
    disk_free: int
    disk_total: int
    run_dir_exists: bool


@dataclass(frozen=True)
class Process:
    """A dataRouter process that runs."""

    pid: int
    ports: frozenset[int]
    """Ports it listens on, of any protocol."""
    directory: Directory | None
    """Where it works; None if that cannot be told."""


@dataclass(frozen=True)
class Look:
    """What one look at a host found."""

    processes: tuple[Process, ...]
    given: dict[int, Directory]
    """The directories that were asked about by their number, as far as they could be entered."""


def parse(output: bytes) -> Look:
    """Read the answer of `SCRIPT`.

    Raises:
        PeerError: it is not complete.
    """
    text = output.decode(errors="surrogateescape")
    _, begin, text = ("\n" + text).partition("\n@processes\n")
    text, end, _ = (begin + text).partition("\n@end\n")
    if not begin or not end:
        raise PeerError(f"its answer to a look at the data routers is not complete: {output[-80:]!r}")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("@"):
            lines = sections[line] = []
        else:
            lines.append(line)
    ports = _ports(sections)
    directories = {
        title.removeprefix("@directory "): directory
        for title, body in sections.items()
        if title.startswith("@directory ") and (directory := _directory(body))
    }
    return Look(
        tuple(
            Process(pid, frozenset(ports[pid]), directories.get(f"process {pid}"))
            for pid in _pids(sections["@processes"])
        ),
        {
            int(title.removeprefix("given ")): directory
            for title, directory in directories.items()
            if title.startswith("given ")
        },
    )


def _pids(lines: list[str]) -> Iterator[int]:
    """Read ``PID STATE COMMAND``: macOS has the whole path of the command; zombies run no more."""
    for line in lines:
        fields = line.split(None, 2)
        if len(fields) < 3 or fields[1].startswith("Z"):
            continue
        if fields[2].rstrip().rpartition("/")[2] == PROCESS_NAME:
            yield int(fields[0])


def _ports(sections: dict[str, list[str]]) -> defaultdict[int, set[int]]:
    ports: defaultdict[int, set[int]] = defaultdict(set)
    for pid, port in _ports_of_lsof(sections.get("@ports", [])):
        ports[pid].add(port)
    port_of_inode = dict(_ports_of_proc_net(sections.get("@listening", [])))
    pid = 0
    for line in sections.get("@sockets", []):
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("s") and line[1:] in port_of_inode:
            ports[pid].add(port_of_inode[line[1:]])
    return ports


def _ports_of_lsof(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Read ``lsof -Fpcn``: p = process, c = command, n = address; one with ``->`` is connected, not listening."""
    pid, mine = 0, False
    for line in lines:
        if line.startswith("p"):
            pid, mine = int(line[1:]), False
        elif line.startswith("c"):
            mine = line[1:] == PROCESS_NAME
        elif mine and (match := re.fullmatch(r"n[^>]*:(\d+)", line)):
            yield pid, int(match[1])


def _ports_of_proc_net(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Read ``ADDRESS:PORT INODE`` of ``/proc/net/tcp`` and its like; address and port are hexadecimal."""
    for line in lines:
        if match := re.fullmatch(r"[0-9A-F]+:([0-9A-F]{4}) (\d+)", line):
            yield match[2], int(match[1], 16)


def _directory(lines: list[str]) -> Directory | None:
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    path = bytes.fromhex(values.get("path", ""))[:-1]  # pwd ends it with a newline
    graw = re.fullmatch(r"(\d+) (\d+)", values.get("graw", ""))
    if not path or not graw or "run" not in values:
        return None
    # Size, used, available, capacity; names before and after may have spaces.
    disk = re.search(r"\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s", values.get("disk", ""))
    return Directory(
        path=path,
        file_count=int(graw[1]),
        staged_bytes=int(graw[2]),
        disk_free=max(0, int(disk[2])) * 1024 if disk else 0,
        disk_total=int(disk[1]) * 1024 if disk else 0,
        run_dir_exists=values["run"] == "yes",
    )
