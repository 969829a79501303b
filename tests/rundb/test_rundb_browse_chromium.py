"""The pages of ``attpc-ioc browse`` as a browser shows them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ioc.rundb import SqliteRunStore
from tests.rundb.test_rundb_browse import browsing, filled

__all__ = ["filled"]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None
)


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run headless Chromium on a page; its console goes to stderr."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={profile}"]
    return subprocess.run([CHROMIUM, *options, *arguments], capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: pages are tested over HTTP only")
@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("runs", ["Runs of an experiment", "Conditions of a run", "run_sheet"]),
        ("runs/run_sheet", ["run <1>", "e18008", "pressure"]),
        ("runs/runs_of_experiment?experiment=e18008", ["run <0>", "run <1>", "production"]),
        ("runs/conditions_of_run?experiment=e18008&run_number=1", ["pressure", "2.5"]),
        ("runs/trend_of_observable?experiment=e18008&observable=pressure", ["1.5", "2.5"]),
    ],
)
async def test_chromium_shows_the_page(
    filled: SqliteRunStore, database: Path, tmp_path: Path, page: str, shown: list[str]
) -> None:
    """A browser shows the texts of the page, with no error of a script, and can take a picture of it."""
    del filled
    picture = tmp_path / "page.png"
    with browsing(database) as address:
        dumped = chromium(tmp_path / "profile", "--dump-dom", f"{address}{page}")
        chromium(tmp_path / "profile", f"--screenshot={picture}", "--window-size=1200,800", f"{address}{page}")
    text = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", dumped.stdout, flags=re.DOTALL)
    text = text.replace("&lt;", "<").replace("&gt;", ">")
    assert [each for each in shown if each.lower() not in text.lower()] == []
    assert "Uncaught" not in dumped.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
