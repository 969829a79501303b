"""From a run to what the analysis begins with: taken, filed, gathered and read by the merger's rules."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
from pathlib import Path

from tests.e2e.plant import COBOS, COMMAND, ROUTERS, Plant, ready_plant
from tests.epics import Epics, eventually
from tests.merger import COBOS as DIRECTORIES
from tests.merger import File, merge


async def test_a_run_is_merged(tmp_path: Path, epics: Epics) -> None:
    """All frames of two runs are in the events, which have all AsAds of a CoBo; every router has its directory.

    It is so where they were gathered, and in the archives that have this layout.
    """
    archive = {"raid": tmp_path / "raid"} | ({"store": tmp_path / "store"} if shutil.which("rclone") else {})
    for place in archive.values():
        place.mkdir()
    kinds = {"raid": ("directory", ""), "store": ("rclone", ":local:")}
    destinations = [
        {"name": name, "layout": "merger", kinds[name][0]: f"{kinds[name][1]}{place}"}
        for name, place in archive.items()
    ]
    async with ready_plant(Plant(tmp_path, epics, archive=destinations)) as ready:
        await take_and_merge(ready, archive)


async def take_and_merge(ready: Plant, archive: dict[str, Path]) -> None:
    """Take two runs, and merge them everywhere."""
    gathered = ready.directory / "merge"
    for _ in range(2):
        assert await ready.put("Run:Start"), await ready.text("Run:Message")
        for router in ROUTERS:
            files = 1 if router == "rt" else 4
            await ready.until(f"Router:{router}:FileCount", lambda count, files=files: int(count) == files)
        await ready.stop_run()
    done = await asyncio.to_thread(gather, ready, "0-1", gathered)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 2)
    copies = "SELECT count(*), sum(state = 'verified') FROM files LEFT JOIN file_copies ON file_id = id"
    ((files, _),) = ready.query("SELECT count(*), 0 FROM files")
    wanted = [(files * len(archive),) * 2]
    await eventually(lambda: ready.query(copies) == wanted, 100)
    for place, number in itertools.product([gathered, *(each / "e99" for each in archive.values())], range(2)):
        directories = {path.name for path in (place / f"run_{number:04d}").iterdir()}
        assert directories == {*(f"mm{cobo}" for cobo in DIRECTORIES), "rt"}
        events = merge(place, number)
        frames = frames_filed(ready, number)
        assert sum(map(len, events.values())) == frames > 0
        assert list(events) == list(range(len(events)))
        for event in events.values():
            boards = set(event)
            assert boards == {(cobo, asad) for cobo, _ in boards for asad in range(4)}
        assert {cobo for cobo, _ in events[0]} == set(range(len(COBOS)))
        assert any(sample > 500 for frame in events[0].values() for sample in frame.samples.values())


def gather(plant: Plant, numbers: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run the command beside the IOC."""
    command = [COMMAND, "runs", "gather", numbers, place, "--topology", plant.file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def frames_filed(plant: Plant, number: int) -> int:
    """Count the frames in the CoBos' files of a run, by the size of each."""
    rows = plant.query("SELECT path, files.bytes FROM files JOIN runs ON runs.id = run_id WHERE run_number = ?", number)
    paths = [(Path(path), size) for path, size in rows if "/CoBo" in path]
    assert all(path.stat().st_size == size for path, size in paths)
    count = 0
    for path, _ in paths:
        file = File(path)
        while file.next_header() is not None:
            file.next_frame()
            count += 1
    return count
