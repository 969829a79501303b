"""An SFTP session whose file names are bytes, and which reads large files in constant memory."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false
# The stubs of paramiko leave out the protected methods of SFTPClient.

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

import paramiko
from paramiko.message import Message
from paramiko.sftp import CMD_CLOSE, CMD_DATA, CMD_EXTENDED, CMD_OPENDIR, CMD_READ, CMD_READDIR, CMD_REALPATH, int64

from ioc.hosts.transport import Entry, cut_short, entry_of

_REQUEST = 32768
"""Bytes of one request; every server answers as many."""
_UNDER_WAY = 64
"""Requests that are sent before the first answer is needed."""


class SftpSession(paramiko.SFTPClient):
    """paramiko's session with directory listings in bytes: its own listing fails on a name that is not UTF-8."""

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__(channel)
        self._channel = channel

    @property
    def closed(self) -> bool:
        return bool(self._channel.closed)

    def real_path(self, path: bytes) -> bytes:
        _, answer = self._request(CMD_REALPATH, path)
        answer.get_int()  # how many names follow: one
        return answer.get_binary()

    def read_only(self) -> bool:
        """Whether the server refuses every change (``sftp-server -R``): it then does so before it looks for a name."""
        try:
            self.rmdir("/no such directory/none")
        except PermissionError:
            return True
        except TimeoutError:
            raise
        except OSError:  # there is no such directory, in the words of any server
            if self.closed:
                raise
        return False

    def sync(self, file: paramiko.SFTPFile) -> None:
        """Bring a file onto the disk, if the server knows how (OpenSSH since 6.5)."""
        # The refusal of a server that does not know this request looks like a failure.
        with contextlib.suppress(OSError):
            self._request(CMD_EXTENDED, "fsync@openssh.com", file.handle)

    def read_file(self, path: bytes, size: int, take: Callable[[bytes], None]) -> None:
        """Give the first `size` bytes of a file to `take`, in pieces.

        The reading ahead of paramiko takes all of a file into memory if the disk here is slower than the network.
        """
        with self.open(path, "rb") as file:
            answers = _Answers(self)
            asked: deque[tuple[int, int, int]] = deque()
            asked_to = 0
            while asked or asked_to < size:
                while asked_to < size and len(asked) < _UNDER_WAY:
                    length = min(_REQUEST, size - asked_to)
                    asked.append((self._ask(answers, file, asked_to, length), asked_to, length))
                    asked_to += length
                number, start, length = asked.popleft()
                piece = answers.wait_for(number)
                if not piece:
                    raise cut_short(path, size, size - start)
                take(piece)
                if len(piece) < length:
                    start, length = start + len(piece), length - len(piece)
                    asked.appendleft((self._ask(answers, file, start, length), start, length))

    def _ask(self, answers: _Answers, file: paramiko.SFTPFile, start: int, length: int) -> int:
        return self._async_request(answers, CMD_READ, file.handle, int64(start), length)

    def entries(self, directory: bytes) -> list[Entry]:
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


class _Answers:
    """Collects the answers to requests that were sent ahead; paramiko hands them over by a method of this name."""

    def __init__(self, session: SftpSession) -> None:
        self._session = session
        self._found: dict[int, bytes | Exception] = {}

    def wait_for(self, number: int) -> bytes:
        """Return the data of a request, empty at the end of the file."""
        while number not in self._found:
            self._session._read_response()  # noqa: SLF001 - of our own session
        found = self._found.pop(number)
        if isinstance(found, EOFError):
            return b""
        if isinstance(found, Exception):
            raise found
        return found

    def _async_response(self, kind: int, answer: Message, number: int) -> None:
        try:
            if kind == CMD_DATA:
                self._found[number] = answer.get_string()
            else:
                self._session._convert_status(answer)  # noqa: SLF001
                self._found[number] = paramiko.SFTPError("no data were sent")
        except (EOFError, OSError) as error:
            self._found[number] = error


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
