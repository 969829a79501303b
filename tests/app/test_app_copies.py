"""Safe copies in the whole IOC: PVs, a reload, and a filed run that is copied, then removed beside the running IOC."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.app.site import RunningIoc
from tests.archive.conftest import needs_rsync
from tests.epics import LOOPBACK, eventually

RUN = """
    INSERT INTO experiments (name, created_at) SELECT 'e1', '2020-01-01T00:00:00.000000Z'
        WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE name = 'e1');
    INSERT INTO runs (experiment_id, run_number, run_class, state, reserved_at, stopped_at)
        SELECT id, 7, 'Testing', 'complete', '2020-01-01T00:00:00.000000Z', '2020-01-01T00:00:01.000000Z'
        FROM experiments WHERE name = 'e1';
    INSERT INTO files (run_id, router, host, path, bytes, moved_at)
        SELECT max(id), 'CoBo0', '{host}', '{path}', 3, '2020-01-01T00:00:02.000000Z' FROM runs;
"""


@needs_rsync
async def test_from_filing_to_purge(ioc: RunningIoc, tmp_path: Path) -> None:
    """A reload begins to copy earlier runs; the PVs follow; runs purge works beside the IOC and tells it in the log."""
    source = tmp_path / "e1" / "run_0007" / "CoBo0_AsAd0.graw"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"abc")
    with closing(sqlite3.connect(tmp_path / "runs.db", timeout=60)) as db:
        db.executescript(RUN.format(host=LOOPBACK, path=source))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    ioc.write(archive=[{"name": name, "directory": str(tmp_path / name)} for name in ("one", "two")])
    assert await ioc.put("T:IOC:Reload")
    for name in ("one", "two"):
        await eventually(lambda name=name: list((tmp_path / name).rglob("CoBo0_AsAd0.graw")), 60)
        await ioc.until(f"Archive:{name}:Backlog", "0")
        await ioc.until(f"Archive:{name}:State", "Idle")
    command = (sys.executable, "-m", "ioc", "runs", "purge", "--topology", str(ioc.file), "--experiment", "e1")
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--older-than", "30d", "--copies", "2", "--deep", "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not source.exists()
    assert (tmp_path / "two/e1/run_0007/CoBo0/CoBo0_AsAd0.graw").read_bytes() == b"abc"
