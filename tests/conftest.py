"""Fixtures for all parts, and the proof that no test leaves anything running."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from _pytest.fixtures import SubRequest

from tests.epics import Epics

_GRACE = 30.0
"""Seconds that what was told to end may take."""
_ALLOWED_THREADS = (
    "asyncio_",  # the loop's own executor, which ends with the loop
    "asyncio-waitpid-",  # the same for each child process
)
_SSH_SERVERS = {"sshd", "tests.sshd_stand_in"}
"""Words of the command of the one SSH server that the tests of hosts share; it ends with the session."""


@pytest.fixture
def epics(monkeypatch: pytest.MonkeyPatch) -> Iterator[Epics]:
    """EPICS base's tools with ports of their own; this process has the same EPICS environment."""
    with Epics() as tools:
        for name, value in tools.env.items():
            monkeypatch.setenv(name, value)
        yield tools


@pytest.fixture(autouse=True)
def nothing_is_left(request: SubRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or (if it is async) a task behind."""
    threads, children = set(threading.enumerate()), _children()
    if "_function_scoped_runner" in request.fixturenames:
        request.getfixturevalue("no_task_is_left")
    yield
    deadline = time.monotonic() + _GRACE
    while left := [*_threads_beside(threads), *_children_beside(children)]:
        assert time.monotonic() < deadline, f"the test left behind: {left}"
        time.sleep(0.01)


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Of an async test: fail if it leaves a task behind, which the end of its loop would cancel without a word."""
    yield
    deadline = time.monotonic() + _GRACE
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        assert time.monotonic() < deadline, f"the test left behind: {left}"
        await asyncio.sleep(0.01)


def _threads_beside(known: set[threading.Thread]) -> list[threading.Thread]:
    """Python's threads; those of libca are C's, and known here (as dummies) once they have called Python."""
    return [
        thread
        for thread in threading.enumerate()
        if thread not in known
        and not isinstance(thread, threading._DummyThread)  # noqa: SLF001 - has no public name
        and not thread.name.startswith(_ALLOWED_THREADS)
    ]


def _children_beside(known: set[psutil.Process]) -> list[psutil.Process]:
    left: list[psutil.Process] = []
    for child in _children() - known:
        try:
            if not _SSH_SERVERS & {child.name(), *child.cmdline()}:
                left.append(child)
        except psutil.NoSuchProcess:
            continue
    return left


def _children() -> set[psutil.Process]:
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # quicker than a look at all processes of the machine
            return set()
    return set(psutil.Process().children())
