"""The display runtime of Phoebus in a process of its own, on a virtual screen of its own."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Generator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from tests.phoebus.pages import OPI, ROOT, SCREENS, pvs_on
from tests.phoebus.stock import is_ours
from tests.phoebus.tables import READERS
from tests.screens.screens_reader import Page, Screens

TARGET = ROOT / "tests/phoebus/target"
TOOLS = ("javac", "mvn", "Xvfb")
_ANSWER_SECONDS = 600.0
_CONNECT_SECONDS = 180.0
_OPERABLE_SECONDS = 60.0
"""Limits of what hangs, for a machine with twenty busy processes; what works on an idle one takes a second."""


class MissingError(Exception):
    """Something that is not of this project is not at hand: the screens cannot be tried here."""


class AmissError(AssertionError):
    """Phoebus did not do what it must."""


class LateError(AmissError):
    """Something did not come true in time."""


def build() -> frozenset[str]:
    """Compile the driver of the display runtime, and put Phoebus beside it.

    Returns:
        The parts of Phoebus, of those in `READERS`, that are not at hand.

    Raises:
        MissingError: this machine lacks a tool, or no Maven repository that it reaches has Phoebus.
    """
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise MissingError(f"{', '.join(missing)} not found (tests/phoebus/README.md)")
    parts = {part for _, part in READERS.values()}
    without: set[str] = set()
    while said := _maven(*(f"-Dno.{part}" for part in sorted(without))):
        if not re.search("could not be resolved|Could not (resolve|transfer|find)", said):
            raise AmissError(said)
        lacking = parts.intersection(re.findall(r"org\.phoebus:([\w-]+):jar", said)) or parts
        if lacking <= without:
            what = "Phoebus 5.0.5" if "org.phoebus" in said else "the plugins that Maven needs"
            raise MissingError(f"no Maven repository at hand has {what} (tests/phoebus/README.md)")
        without |= lacking
    return frozenset(without)


def _maven(*options: str) -> str:
    """Return what it said if it failed."""
    command = ["mvn", "-B", "-q", "-f", "tests/phoebus/pom.xml", *options, "compile", "dependency:copy-dependencies"]
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise MissingError("Maven did not get Phoebus within ten minutes") from None
    return "" if result.returncode == 0 else result.stdout or "mvn failed"


def until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `holds()` is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise LateError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


class Seen(NamedTuple):
    """A text on the screen: where it is, its size, the width and height that it needs and has, in pixels."""

    file: str
    name: str
    kind: str
    pv: str
    size: float
    needs: tuple[float, float]
    has: tuple[float, float]
    text: str


class DisplayRuntime:
    """Does one command of `Main.java` at a time."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands = commands
        self._answers = answers.fileno()
        self._unread = b""
        self.page: Page | None = None
        """The page that is looked at."""
        self.left: set[Page] = set()
        """The pages that stay open while others are looked at."""

    def do(self, *words: str) -> list[str]:
        """Carry out a command and return the lines of its answer."""
        self._commands.write(("\t".join(words) + "\n").encode())
        self._commands.flush()
        deadline = time.monotonic() + _ANSWER_SECONDS
        lines: list[str] = []
        while True:
            line = self._line(deadline, words)
            if line.startswith("\t"):
                lines.append(line[1:])
            elif line == "ok":
                return lines
            elif line.startswith("error "):
                raise AmissError(f"{' '.join(words)}: {line}")

    def _line(self, deadline: float, words: Collection[str]) -> str:
        while b"\n" not in self._unread:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AmissError(f"{' '.join(words)}: no answer within {_ANSWER_SECONDS:g} s")
            if not (part := os.read(self._answers, 65536)):
                raise AmissError(f"{' '.join(words)}: the display runtime ended")
            self._unread += part
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()

    def show(self, page: Page, folder: Path = OPI, screens: Screens = SCREENS) -> None:
        """Open a page, and wait until each of its PVs is connected and no widget says otherwise."""
        self.open(page, folder)
        self.complete(page, screens)

    def look_at(self, page: Page) -> None:
        """Go on with a page if it is looked at, back to it if it was left open, else open it."""
        if page in self.left:
            self.back(page)
        if page != self.page:
            self.open(page)
        self.complete(page)

    def leave(self) -> None:
        """Leave the page open, and look at none."""
        assert self.page is not None
        self.do("leave", str(self.page))
        self.left.add(self.page)
        self.page = None

    def back(self, page: Page) -> None:
        """Look at a page that was left open in place of the one before."""
        self.left.remove(page)
        self.do("back", str(page))
        self.page = page

    def alone(self) -> None:
        """End all pages that were left open."""
        self.do("alone")
        self.left.clear()

    def complete(self, page: Page, screens: Screens = SCREENS) -> None:
        """Wait until each PV of the page is connected and no widget says otherwise, twice in a row.

        A new page still finds the connections of the one before, and its widgets have not yet begun.
        """
        wanted = pvs_on(page, screens)
        lacking: list[str] = []
        in_a_row = 0

        def all_connected() -> bool:
            nonlocal in_a_row
            lacking[:] = sorted(wanted - self.connected()) or self.do("disconnected")
            in_a_row = 0 if lacking else in_a_row + 1
            return in_a_row > 1

        try:
            until(all_connected, _CONNECT_SECONDS, "")
        except LateError:
            raise AmissError(f"{page.file}: not connected: {lacking}") from None

    def open(self, page: Page, folder: Path = OPI) -> None:
        """Open a page in place of the one before."""
        self.page = None
        self.do("open", str(folder / page.file), *_given(page))
        self.page = page

    def follow(self, page: Page) -> None:
        """Press the button that leads to a page, and wait until it is complete."""
        self.page = None
        self.do("follow", page.file, *_given(page))
        self.page = page
        self.complete(page)

    def read(self, reader: str, file: Path) -> list[tuple[str, ...]]:
        """Return what a part of Phoebus reads in a file beside the screens."""
        return [tuple(line.split("\t")) for line in self.do("read", reader, str(file))]

    def press(self, pv: str, answer: str) -> list[str]:
        """Press the button that writes a PV, as soon as it can be pressed, and return the questions."""
        return self._as_soon_as_possible("press", pv, answer)

    def mark(self, table: str, row: int) -> None:
        """Mark a row, from 0, of the table of this name, as soon as it has so many."""
        self._as_soon_as_possible("mark", table, str(row))

    def choose(self, pv: str, item: str, answer: str) -> None:
        """Choose an item of the list that writes a PV, and answer yes, no, or none where no question is asked."""
        self._as_soon_as_possible("choose", pv, item, answer)

    def type(self, pv: str, text: str) -> None:
        """Type into the text entry of a PV, as soon as Phoebus knows that the PV can be written."""
        self._as_soon_as_possible("type", pv, text)

    def _as_soon_as_possible(self, *words: str) -> list[str]:
        deadline = time.monotonic() + _OPERABLE_SECONDS
        while True:
            try:
                return self.do(*words)
            except AmissError as amiss:
                if "that can be operated" not in str(amiss) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def texts(self) -> list[Seen]:
        """Return every text that is seen, measured."""
        rows = [line.split("\t") for line in self.do("texts")]
        return [
            Seen(
                file,
                name,
                kind,
                pv,
                float(size),
                (float(width), float(height)),
                (float(room), float(room_height)),
                text,
            )
            for file, name, kind, pv, size, width, height, room, room_height, text in rows
        ]

    def blank(self) -> list[str]:
        """Return every text that is seen but not drawn: where it is, the text, and what is drawn in its place."""
        return self.do("blank")

    def rows(self, table: str) -> list[list[str]]:
        """Return the titles, then the rows of the table of this name."""
        return [line.split("\t") for line in self.do("rows", table)]

    def shown(self, pv: str) -> str:
        """Return what the text entry or the list of a PV shows."""
        return self.do("shown", pv)[0]

    def connected(self) -> set[str]:
        """Return the PVs that are connected, except for those that Phoebus makes itself."""
        return {pv for pv in self.do("connected") if not pv.startswith("sim://")}

    def enabled(self) -> set[str]:
        """Return the PVs that can be written from the screen now."""
        return set(self.do("enabled"))

    def controls(self) -> list[tuple[str, str]]:
        """Return for each control its PV, and why it can be operated or not: what its rule waits for, and has."""
        found: list[tuple[str, str]] = []
        for line in self.do("controls"):
            pv, enabled, writable, seen, inputs = line.split("\t")
            why = f"enabled {enabled}, writable {writable}, seen {seen}, inputs {inputs or 'not yet there'}"
            found.append((pv, why))
        return found

    def visible(self) -> set[str]:
        """Return the texts of labels and the PVs of readings that are seen now."""
        return set(self.do("visible"))

    def faults(self) -> list[str]:
        """Return what was logged as a warning or worse since the last time, except for what is in `stock`."""
        return [fault for fault in self.do("faults") if is_ours(fault)]


def _given(page: Page) -> list[str]:
    return [f"{name}={value}" for name, value in page.macros]


@contextlib.contextmanager
def virtual_screen() -> Generator[str]:
    """Run Xvfb; yields the name of its display."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as number:
            display = number.readline().strip()
        if not display:
            raise AmissError("Xvfb did not start")
        yield f":{display}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def display_runtime(user: Path, settings: Mapping[str, str]) -> Generator[DisplayRuntime]:
    """Run the display runtime with the settings of opi/ and these; its preferences go to `user`."""
    own = user / "own.ini"
    own.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [
        "java",
        "-Dprism.order=sw",
        "-XX:TieredStopAtLevel=1",  # it does not run long enough to earn the time that the second compiler takes
        "-Dfile.encoding=UTF-8",
        f"-Djava.util.prefs.userRoot={user}",
        f"-Duser.home={user}",
        "-Dphoebus.folder.name.preference=.phoebus",
        f"-Dphoebus.user={user}/.phoebus",
        "--add-opens=javafx.controls/javafx.scene.control.skin=ALL-UNNAMED",
        "-cp",
        f"{TARGET}/classes:{TARGET}/dependency/*",
        "attpc.screens.Main",
        "settings.ini",
        str(own),
    ]
    with virtual_screen() as display, (TARGET / "phoebus.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=OPI,
            env={**os.environ, "DISPLAY": display},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield DisplayRuntime(process.stdin, process.stdout)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
