"""Killed at any step of writing cards: no half card is ever seen, and the next process goes on."""

from __future__ import annotations

import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from ioc.rundb import SqliteRunStore, cards
from tests.archive.card_rig import Site, filed_run
from tests.dying import DyingProgram
from tests.rundb.rows import execute, rows
from tests.sshd import SshServer

ROOT = pathlib.Path(__file__).parents[2]
OLD = "the title of the old card"
HOSTS = 2


@pytest.fixture(scope="module")
def writer() -> Iterator[DyingProgram]:
    """The program that writes and dies."""
    writer = DyingProgram("tests.archive.dying_writer")
    yield writer
    writer.close()


async def prepared(root: pathlib.Path) -> Site:
    """A run whose cards are old: its title was changed since."""
    site = Site(root, None)
    root.mkdir()
    store = await SqliteRunStore.open(root / "runs.db")
    record = await filed_run(store, site, HOSTS, 1)
    await store.save_run(record.changed(title=OLD))
    card = await store.transaction(lambda db: cards.card_of(db, 1))
    for number in range(HOSTS):
        site.card(number, record.run).write_bytes(card.content)
    await store.close()
    execute(root / "runs.db", "UPDATE runs SET title = 'new', comment = hex(randomblob(60000))")
    return site


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["local", "ssh"])
async def test_at_any_step(
    writer: DyingProgram, tmp_path: pathlib.Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Whole cards at every moment, old or new; in the end all are new, none is due, and nothing else is left."""
    sshd = SshServer(directory_in(tmp_path)) if kind == "ssh" else None
    if sshd:
        sshd.start()
        request.addfinalizer(sshd.stop)
    ssh = sshd.settings().model_dump(mode="json") if sshd else None
    for step in itertools.count(1):
        root = tmp_path / f"step{step}"
        site = await prepared(root)
        outcome = writer.do(root=str(root), ssh=ssh, hosts=HOSTS, step=step)
        [(run_title, is_due)] = rows(root / "runs.db", "SELECT title, card_due FROM runs")
        found = [json.loads(path.read_text()) for path in root.glob("data*/*/*/run_*.json")]
        assert [card["title"] in (OLD, run_title) for card in found] == [True] * HOSTS
        assert is_due or {card["title"] for card in found} == {run_title}
        assert not [path for path in root.rglob("*.graw*") if path.stat().st_size != 4]
        assert writer.do(root=str(root), ssh=ssh, hosts=HOSTS, step=0) == "done"
        found = [json.loads(path.read_text()) for path in root.glob("data*/*/*/run_*.json")]
        assert [card["title"] for card in found] == ["new"] * HOSTS
        assert found[0] == found[1]
        assert rows(root / "runs.db", "SELECT card_due FROM runs") == [(0,)]
        left = [path.name for path in site.root.glob("data*/*/*/*") if not path.name.endswith((".graw", ".json"))]
        assert left == []
        shutil.rmtree(root)
        if outcome == "done":
            assert step > 12
            return
        assert outcome == "killed"


def directory_in(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory for the server."""
    place = tmp_path / "sshd"
    place.mkdir()
    return place
