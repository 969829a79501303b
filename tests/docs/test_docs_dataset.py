"""The page about the data set: its command writes it, and each program prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from ioc.model import DocumentState, RunClass
from ioc.rundb import SqliteRunStore
from tests.rundb.rows import PRESSURE, reading

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "dataset.md").read_text()
EXAMPLES = dict(re.findall(r"^### (\w+)\n.*?^```python\n(.*?^```\n\n```text\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
BEGAN = 1_795_350_000.0


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    """A folder with the data set of three runs of e18008 and one of another experiment."""
    database = tmp_path / "runs.db"
    store = await SqliteRunStore.open(database)
    for experiment, titles in (("another", ["iron"]), ("e18008", ["krypton", "argon", "pulser"])):
        await store.define_observables(experiment, [PRESSURE])
        store.add_samples(experiment, None, [reading(0.0, BEGAN - 5)])
        for number, title in enumerate(titles):
            began = BEGAN + 100 * number
            record = await store.reserve_run(experiment, title, RunClass.Beam, "")
            store.add_samples(experiment, record.run, [reading(300.0 + number + n, began + n) for n in range(2)])
            await store.save_run(
                replace(record, state=DocumentState.Complete, started_at=began, stopped_at=began + 90, duration=90.0)
            )
    await store.close()
    (command,) = re.findall(r"^```sh\nattpc-ioc (runs dataset .*)\n```", PAGE, re.MULTILINE)
    words = [Path(sys.executable).with_name("attpc-ioc"), *command.split(), "--database", database]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=100, stdout=subprocess.DEVNULL)
    return tmp_path


@pytest.mark.timeout(400)
@pytest.mark.parametrize("tool", ["DuckDB", "Polars", "pandas", "Dask", "Spark"])
def test_the_programs_of_the_page(place: Path, tool: str) -> None:
    """Each prints the means that the page shows."""
    if tool == "Spark" and (find_spec("pyspark") is None or shutil.which("java") is None):
        pytest.skip("Spark needs pyspark and Java, which nothing here installs")
    program, _, shown = EXAMPLES[tool].partition("```\n\n```text\n")
    (place / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=place,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, shown), done.stderr
