"""The example of docs/how-to/bluesky.md, as a process of its own."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from tests.e2e.plant import PREFIX, Plant

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "bluesky.md"


async def test_a_bluesky_plan_takes_two_runs(ready: Plant) -> None:
    """The program of the page takes, files and judges two runs, and prints a line for each as the page shows it."""
    program, *_ = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    example = ready.directory / "two_runs.py"
    example.write_text(program)
    process = await asyncio.create_subprocess_exec(
        sys.executable, example, PREFIX, stdout=PIPE, stderr=STDOUT, env=ready.epics.environment()
    )
    try:
        output = (await asyncio.wait_for(process.communicate(), 110))[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output
    await ready.until_closed()
    runs = ready.query("SELECT run_number, title, state, quality, duration >= 2 FROM runs")
    assert runs == [(n, f"{what} by Bluesky", "complete", "Good", 1) for n, what in enumerate(("first", "second"))]
    assert re.findall(r"^run (\d): [\d.]+ MB in \d+ s$", output, re.MULTILINE) == ["0", "1"], output
