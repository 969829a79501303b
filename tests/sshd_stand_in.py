"""Stands in for OpenSSH's sshd where that is missing: ``python -m tests.sshd_stand_in PORT HOST_KEY AUTHORIZED_KEYS``.

It fails on some file names that are not UTF-8.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
from typing import Any

import asyncssh


class _Sftp(asyncssh.SFTPServer):
    def map_path(self, path: bytes) -> bytes:
        return super().map_path(os.path.join(os.fsencode(pathlib.Path.home()), path))  # noqa: PTH118


class _Forwarding(asyncssh.SSHServer):
    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


async def _run(process: Any) -> None:
    shell = await asyncio.create_subprocess_shell(
        process.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await shell.communicate(await process.stdin.read())
    process.stdout.write(output)
    process.exit(shell.returncode or 0)


async def main() -> None:
    port, host_key, authorized_keys = sys.argv[1:]
    server = await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=_Sftp,
        process_factory=_run,
        server_factory=_Forwarding,
        encoding=None,
    )
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
