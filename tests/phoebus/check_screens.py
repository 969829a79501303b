"""The screens in Phoebus' own display runtime, against a simulated detector, in all the situations of a shift.

    tests/phoebus/run.sh

starts this with a virtual screen. It ends with exit code 0 if nothing was amiss; the pictures are kept in the folder
that is its argument.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from aioca import caget, caput

from ioc.sim.control_port import send_command
from ioc.topology.load import load
from tests.epics import free_port

ROOT = Path(__file__).resolve().parents[2]
OPI = ROOT / "opi"
PAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("main", ()),
    ("run", ()),
    ("observables", ()),
    ("history", ()),
    ("expert", ()),
    ("ecc", ("NAME=CoBo3",)),
    ("router", ("NAME=data3",)),
)
FIRST_RULES_SECONDS = 60.0
"""Jython starts once in a process, in about 14 s on a fast machine."""
CONNECT_SECONDS = 30.0
TITLE = "typed in Phoebus, µm"


class Amiss(Exception):
    """A screen did not do what it must."""


class Runtime:
    """The display runtime in its own process; one command at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *words: str) -> list[str]:
        """Send a command and return the lines of its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(("\t".join(words) + "\n").encode())
        lines: list[str] = []
        async with asyncio.timeout(120):
            while line := (await self._process.stdout.readline()).decode():
                if line.startswith("\t"):
                    lines.append(line.strip())
                elif line.strip() == "ok":
                    return lines
                elif line.startswith("error "):
                    raise Amiss(f"{' '.join(words)}: {line.strip()}")
        raise Amiss(f"{' '.join(words)}: the display runtime ended")

    async def show(self, page: str, macros: Sequence[str], *, connected: bool = True) -> None:
        """Open a page and wait until all its PVs are connected, or none."""
        await self.do("open", str(OPI / f"{page}.bob"), *macros)
        if connected:
            await until(lambda: self._all_connected(page), CONNECT_SECONDS)

    async def _all_connected(self, page: str) -> bool:
        missing = await self.do("disconnected")
        if missing:
            print(f"  {page}: waiting for {len(missing)} widgets")
        return not missing

    async def no_faults(self, when: str) -> None:
        """Raise if anything was logged as a warning."""
        if faults := await self.do("faults"):
            raise Amiss(f"{when}: " + "\n  ".join(faults))


async def until(holds: Any, seconds: float) -> None:
    """Wait until `holds()` is true."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise Amiss(f"{holds} did not become true within {seconds:g} s")
        await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def runtime(settings: Path, user: Path) -> AsyncIterator[Runtime]:
    """Run the display runtime; its preferences go to `user`."""
    target = ROOT / "tests/phoebus/target"
    command = [
        "java",
        "-Dprism.order=sw",
        f"-Djava.util.prefs.userRoot={user}",
        f"-Duser.home={user}",
        "--add-opens=javafx.controls/javafx.scene.control.skin=ALL-UNNAMED",
        "-cp",
        f"{target}/classes:{target}/dependency/*",
        "attpc.screens.Main",
        "settings.ini",
        str(settings),
    ]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=OPI, stdin=pipe, stdout=pipe)
    try:
        yield Runtime(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def detector(directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run the simulated detector; yields its process and its port for faults."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tests/phoebus/detector.py"),
        str(ROOT / "topology.yaml"),
        str(directory),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            control_port = int(await process.stdout.readline())
            await process.stdout.readline()
        yield process, control_port
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """End the detector, as Ctrl-C does."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def text_of(pv: str) -> str:
    """Read a text PV."""
    value = await caget(pv, count=0)
    return bytes(value).split(b"\0")[0].decode()


async def state(prefix: str, wanted: int) -> None:
    """Wait until the detector is in a state."""

    async def reached() -> bool:
        return int(await caget(f"{prefix}State")) == wanted

    await until(reached, 60)


async def photographs(screens: Runtime, pictures: Path, situation: str, *, connected: bool = True) -> None:
    """Show every page and keep its picture."""
    for page, macros in PAGES:
        await screens.show(page, macros, connected=connected)
        await asyncio.sleep(2)
        await screens.do("shot", str(pictures / f"{page}-{situation}.png"))
    print(f"{situation}: {len(PAGES)} pictures")


async def check(pictures: Path, directory: Path, port: int) -> None:
    """Go through the situations of a shift."""
    prefix = load(ROOT / "topology.yaml").prefix
    settings = directory / "ca.ini"
    settings.write_text(
        f"org.phoebus.pv.ca/addr_list=127.0.0.1\norg.phoebus.pv.ca/auto_addr_list=false\norg.phoebus.pv.ca/server_port={port}\n"
    )
    async with runtime(settings, directory) as screens, detector(directory / "detector") as (process, control_port):
        await screens.do("check", str(OPI))
        await screens.no_faults("model check")
        print("model check: nothing amiss")
        await screens.show("main", ())
        await asyncio.sleep(FIRST_RULES_SECONDS)
        await screens.do("press", "Describe")
        await state(prefix, 2)
        await screens.do("type", "Run:Title", TITLE)

        async def typed() -> bool:
            return await text_of(f"{prefix}Run:Title") == TITLE

        await until(typed, 10)
        print("Describe pressed, title typed: both arrived")
        await caput(f"{prefix}Reset", 1, wait=True, timeout=60)
        await photographs(screens, pictures, "idle")
        for step in ("Describe", "Prepare", "Configure"):
            await caput(f"{prefix}{step}", 1, wait=True, timeout=60)
        await photographs(screens, pictures, "ready")
        await caput(f"{prefix}Run:Start", 1, wait=True, timeout=60)
        await photographs(screens, pictures, "running")
        await send_command(control_port, {"ecc": "CoBo3", "do": "kill"})
        await photographs(screens, pictures, "failed")
        await screens.no_faults("in use")
        await end(process)
        await photographs(screens, pictures, "gone", connected=False)
        if not await screens.do("disconnected"):
            raise Amiss("the IOC is gone, but every widget says that it is connected")


def main() -> None:
    """Run all of it on ports of its own, on this machine only."""
    pictures = Path(sys.argv[1]).resolve()
    pictures.mkdir(parents=True, exist_ok=True)
    port = free_port()
    os.environ.update(
        EPICS_CA_ADDR_LIST="127.0.0.1",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_SERVER_PORT=str(port),
        EPICS_CAS_SERVER_PORT=str(port),
        EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CA_REPEATER_PORT=str(free_port()),
        EPICS_CAS_BEACON_PORT=str(free_port()),
    )
    with tempfile.TemporaryDirectory() as directory:
        try:
            asyncio.run(check(pictures, Path(directory), port))
        except Amiss as amiss:
            sys.exit(f"amiss: {amiss}")


if __name__ == "__main__":
    main()
