"""An SFTP session whose file names are bytes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false
# The stubs of paramiko leave out the protected methods of SFTPClient.

from __future__ import annotations

import contextlib

import paramiko
from paramiko.message import Message
from paramiko.sftp import CMD_CLOSE, CMD_EXTENDED, CMD_OPENDIR, CMD_READDIR, CMD_REALPATH

from ioc.hosts.transport import Entry, entry_of


class SftpSession(paramiko.SFTPClient):
    """paramiko's session with directory listings in bytes: its own listing fails on a name that is not UTF-8."""

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__(channel)
        self._channel = channel

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._channel.closed)

    def real_path(self, path: bytes) -> bytes:
        """Return a path without links."""
        _, answer = self._request(CMD_REALPATH, path)
        answer.get_int()  # how many names follow: one
        return answer.get_binary()

    def sync(self, file: paramiko.SFTPFile) -> None:
        """Bring a file onto the disk, if the server knows how (OpenSSH since 6.5)."""
        # The refusal of a server that does not know cannot be told from a failure.
        with contextlib.suppress(OSError):
            self._request(CMD_EXTENDED, "fsync@openssh.com", file.handle)

    def entries(self, directory: bytes) -> list[Entry]:
        """List a directory."""
        _, answer = self._request(CMD_OPENDIR, directory)
        handle = answer.get_binary()
        entries: list[Entry] = []
        try:
            while True:
                _, answer = self._request(CMD_READDIR, handle)
                entries.extend([_entry(answer) for _ in range(answer.get_int())])
        except EOFError:
            self._request(CMD_CLOSE, handle)
        return [entry for entry in entries if entry.name not in (b".", b"..")]


def _entry(answer: Message) -> Entry:
    """Read one name of an SSH_FXP_NAME packet (draft-ietf-secsh-filexfer-02, sections 5 and 7)."""
    name = answer.get_binary()
    answer.get_binary()  # the same as ls -l would show it
    flags = answer.get_int()
    size = answer.get_int64() if flags & 0x1 else 0
    if flags & 0x2:  # owner and group
        answer.get_bytes(8)
    mode = answer.get_int() if flags & 0x4 else 0
    if flags & 0x8:  # times
        answer.get_bytes(8)
    if flags & 0x80000000:  # extensions: pairs of strings
        for _ in range(2 * answer.get_int()):
            answer.get_binary()
    return entry_of(name, mode, size)
