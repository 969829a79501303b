"""The network sockets of processes, from lsof or Linux's tables."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache


@dataclass(frozen=True)
class Socket:
    """The local end of a connection, a listener, or a datagram socket."""

    address: str
    """Empty for any address of the host."""
    port: int
    listening: bool
    """It accepts connections, or datagrams from anybody; otherwise it has or had a peer."""
    outgoing: bool = False
    """It was certainly opened by this side, so its port is ephemeral."""
    unread: int = field(default=0, compare=False)
    """Bytes that have arrived, but that the program has not read."""


def of_proc_net(lines: list[str]) -> Iterator[tuple[Socket, str, str]]:
    """Read ``TABLE LOCAL REMOTE STATE USER INODE QUEUES`` of ``/proc/net/tcp`` and similar.

    Yields socket, inode and user. A connection whose other end is a listener of this host was opened by this side.
    """
    split = [fields for line in lines if len(fields := line.split()) == 7 and ":" in fields[1]]
    rows = {tuple(fields[:6]): fields[6] for fields in split}  # a table that was read twice has the newest last
    served = {_end(row[1])[1] for row in rows if row[3] == "0A"}
    for (table, local, remote, state, user, inode), queues in rows.items():
        address, port = _end(local)
        peer, peer_port = _end(remote)
        # 0A is LISTEN; 07 is CLOSE: a UDP socket without a peer, or a TCP socket that is not bound to anything yet.
        listening = state == "0A" or (state == "07" and table.startswith("udp"))
        unread = 0 if listening else int(queues.rpartition(":")[2], 16)
        socket = Socket(address, port, listening, unread=unread)
        at_home = peer == address or peer.startswith("127.")
        if not listening and at_home and peer_port in served and port not in served:
            socket = replace(socket, outgoing=True)
        yield socket, inode, user


def _end(text: str) -> tuple[str, int]:
    """Read ``ADDRESS:PORT`` in hexadecimal."""
    words, _, port = text.partition(":")
    return _address(words), int(port, 16)


@lru_cache
def _address(words: str) -> str:
    """Read 32-bit words of the host's byte order (little-endian). A host has few addresses, which come often."""
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    return _plain(ipaddress.ip_address(raw))


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return "" if address.is_unspecified else str(address)


def of_lsof(lines: list[str], command: str) -> defaultdict[int, list[Socket]]:
    """Read ``lsof -FpcPnT``: p = process, c = command, n = address, TST = state, TQR = unread; sockets by process."""
    sockets: defaultdict[int, list[Socket]] = defaultdict(list)
    pid, mine = 0, False
    for line in lines:
        if line.startswith("p"):
            pid, mine = int(line[1:]), False
        elif line.startswith("c"):
            mine = line[1:] == command
        elif line.startswith("TST=") and mine and sockets[pid]:
            sockets[pid][-1] = replace(sockets[pid][-1], listening=line == "TST=LISTEN")
        elif (queue := re.fullmatch(r"TQR=(\d+)", line)) and mine and sockets[pid]:
            sockets[pid][-1] = replace(sockets[pid][-1], unread=int(queue[1]))
        elif mine and (match := re.fullmatch(r"n(.*?):(\d+)(->.*)?", line)):
            address = "" if match[1] == "*" else match[1].strip("[]")
            sockets[pid].append(Socket(address, int(match[2]), listening=not match[3]))
    return sockets
