"""A client made of CAJ, the Channel Access library of Phoebus and of the Archiver Appliance (tests/java)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest

from tests.epics import Epics

PROJECT = Path(__file__).parent.parent / "java"


@cache
def classpath() -> str:
    """Compiled classes and CAJ; the test is skipped where they cannot be had."""
    for tool in ("java", "javac", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"the Java client needs a JDK and Maven: {tool} is missing")
    target = PROJECT / "target"
    sources = max(path.stat().st_mtime for path in [PROJECT / "pom.xml", *PROJECT.glob("src/**/*.java")])
    built = target / "classes" / "Client.class"
    if not built.exists() or built.stat().st_mtime < sources:
        command = ["mvn", "-q", "-B", "compile", "dependency:copy-dependencies"]
        try:
            result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("the Java client needs CAJ from Maven Central, which took more than 100 s")
        if result.returncode != 0:
            complaint = next((line for line in result.stdout.splitlines() if "ERROR" in line), "mvn failed")
            if "Could not transfer" in result.stdout or "could not be resolved" in result.stdout:
                pytest.skip(f"the Java client needs CAJ from Maven Central: {complaint[:200]}")
            raise AssertionError(result.stdout[-2000:] + result.stderr[-2000:])
        built.touch()
    jars = [str(jar) for jar in (target / "dependency").glob("*.jar")]
    return ":".join([str(target / "classes"), *jars])


class JavaClient:
    """Says what to do, and has what the client printed, each line as a list of words."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[list[str]] = []
        self._new = asyncio.Event()

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode().rstrip("\n").split("\t"))
            self._new.set()

    def say(self, *words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(("\t".join(words) + "\n").encode())

    async def hear(self, *words: str, timeout: float = 60.0) -> list[str]:
        """The words after these of the first line that begins with them and was not heard before."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for place, line in enumerate(self.lines):
                        if line[: len(words)] == list(words):
                            del self.lines[place]
                            return line[len(words) :]
                    self._new.clear()
                    await self._new.wait()
        except TimeoutError:
            raise AssertionError(f"the client said nothing of {words} within {timeout} s, but {self.lines}") from None

    async def connect(self, *pvs: str) -> None:
        for pv in pvs:
            self.say("connect", pv)
        for pv in pvs:
            await self.hear("connected", pv)


@contextlib.asynccontextmanager
async def java_client(epics: Epics, *, array_bytes: int = 16384) -> AsyncIterator[JavaClient]:
    """Run the client with Phoebus' default for the longest array."""
    path = await asyncio.to_thread(classpath)
    address = f"127.0.0.1:{epics.server_port}"
    process = await asyncio.create_subprocess_exec(
        *("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", path, "Client", address, str(array_bytes)),
        env=epics.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    client = JavaClient(process)
    reader = asyncio.create_task(client.read())
    try:
        await client.hear("ready", timeout=60)
        yield client
    finally:
        process.kill()
        await reader
        await process.wait()
