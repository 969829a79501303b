# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""An S3 server (moto) in a process of its own, known to rclone as the remote ``s3:``.

Usage as a program: python -m tests.archive.s3 PORT. It serves until its input ends, and does what the lines there say:
``down`` (connections are refused, objects stay), ``up`` and ``bucket NAME`` (make one).
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from ioc.sim.ports import free_port

BUCKET = "attpc-raw"
PART = 5 << 20
"""What is longer is sent in parts of this size, the least that S3 knows."""


class S3Server:
    """Runs while it is entered; has one bucket."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._log = directory / "s3.log"
        self._scratch = directory / "objects"
        self.environment = {
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "RCLONE_CONFIG_S3_ACCESS_KEY_ID": "key",
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "secret",
            "RCLONE_CONFIG_S3_CHUNK_SIZE": f"{PART >> 20}Mi",
            "RCLONE_CONFIG_S3_UPLOAD_CUTOFF": f"{PART >> 20}Mi",
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.archive.s3", str(self._port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self._answered()
            self.make_bucket(BUCKET)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def make_bucket(self, name: str) -> None:
        """Make a bucket that keeps versions: without, moto refuses to tell rclone of an object made of parts."""
        self._tell(f"bucket {name}")

    def down(self) -> None:
        """Refuse connections; what is stored stays."""
        self._tell("down")

    def up(self) -> None:
        """Serve again."""
        self._tell("up")

    def freeze(self) -> None:
        """Answer nothing any more, without closing any connection."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)

    def rclone(self, *words: str) -> str:
        """Return what rclone says of this server."""
        environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
        command = ["rclone", "--retries=1", *words]
        done = subprocess.run(command, env=environment | self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    def objects(self, bucket: str = BUCKET) -> dict[str, bytes]:
        """Return all objects by their keys, without the mark of the archive."""
        keys = [key for key in self.rclone("lsf", "-R", "--files-only", f"s3:{bucket}").split("\n") if key]
        place = self._scratch / f"got{time.monotonic_ns()}"
        self.rclone("copy", f"s3:{bucket}", str(place))
        return {key: (place / key).read_bytes() for key in keys if key != ".attpc-archive"}

    def times_sent(self, key: str, bucket: str = BUCKET) -> int:
        """Count how often an object was sent, or begun to be sent in parts."""
        lines = self._log.read_text(errors="replace").splitlines()
        return sum(f"PUT /{bucket}/{key} " in line or f"POST /{bucket}/{key}?uploads=" in line for line in lines)

    def parts_sent(self, key: str) -> int:
        """Count how many parts of an object have been sent."""
        return self._log.read_text(errors="replace").count(f"PUT /{BUCKET}/{key}?partNumber=")

    def unfinished(self) -> int:
        """Count the parts' uploads that were begun and neither ended nor given up."""
        said = self.rclone("backend", "list-multipart-uploads", f"s3:{BUCKET}")
        return said.count('"UploadId"')

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._answered()

    def _answered(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n", self._log.read_text()


def main(port: int) -> None:
    """Serve until the end of the input."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    for line in itertools.chain(["up"], iter(sys.stdin.readline, "")):
        word, _, name = line.strip().partition(" ")
        if word == "up":
            server.start()
        elif word == "down":
            server.stop()
        else:
            keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
            client: Any = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **keys)
            client.create_bucket(Bucket=name)
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
