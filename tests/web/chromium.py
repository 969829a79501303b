"""A headless Chromium that tests drive by its DevTools protocol, through pipes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: pages are tested over HTTP only"
)
_PATIENCE = 60.0
_LIMIT = 64 * 1024 * 1024
"""Of a message; a screenshot is long."""


class Chromium:
    """One tab of a browser."""

    def __init__(self, reader: asyncio.StreamReader, writer: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        """Errors on the console, violations of the policy, and exceptions of scripts."""
        self.loaded = asyncio.Event()

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(_PATIENCE):
            return await answer

    async def read(self) -> None:
        """Read what the browser says, until it ends."""
        while True:
            try:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message.get("result", message))
            elif message["method"] == "Page.loadEventFired":
                self.loaded.set()
            elif message["method"] == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.problems.append(message["params"]["entry"]["text"])
            elif message["method"] == "Runtime.consoleAPICalled" and message["params"]["type"] in {"error", "assert"}:
                self.problems.append(json.dumps(message["params"]["args"]))

    async def attach(self) -> None:
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")

    async def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Have a window of this size and prefer light or dark."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, address: str) -> None:
        """Open a page and wait until all of it is there."""
        self.loaded.clear()
        await self.ask("Page.navigate", url=address)
        async with asyncio.timeout(_PATIENCE):
            await self.loaded.wait()

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self, selector: str = "main") -> str:
        """The text of the first element that fits."""
        return str(await self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def until(self, script: str, seconds: float = 30.0) -> float:
        """Wait until an expression is true; returns how long that took."""
        began = time.monotonic()
        while not await self.run(script):
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not true within {seconds} s: {script}\n{await self.text('body')}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began


@contextlib.asynccontextmanager
async def chromium() -> AsyncGenerator[Chromium]:
    """A browser with one tab; ends with the block."""
    assert CHROMIUM is not None
    commands_read, commands = os.pipe()
    answers, answers_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        script = f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", script, CHROMIUM, *options, "--remote-debugging-pipe", "about:blank"),
            pass_fds=(commands_read, answers_write),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.close(commands_read)
        os.close(answers_write)
        reader = asyncio.StreamReader(limit=_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb", buffering=0)
        )
        browser = Chromium(reader, commands)
        reading = asyncio.create_task(browser.read())
        try:
            await browser.attach()
            yield browser
        finally:
            os.close(commands)  # it ends then
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            transport.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def screenshot(browser: Chromium, path: Path) -> None:
    """Save what the window shows, with all of the page."""
    import base64

    answer = await browser.ask("Page.captureScreenshot", captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(answer["data"]))
