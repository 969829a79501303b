"""Each filed run has its card on every host, whatever happens to hosts, disks and this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ioc.archive.cards import Pace, RunCards
from ioc.errors import PeerError
from ioc.hosts import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.model import Client, Event, FiledFile, RunQuality, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.edit import edit_run
from ioc.runlogic.state import Run, State
from tests.archive.card_rig import EXPERIMENT, QUICK, TITLE, Site, due, filed_run
from tests.rundb.rows import execute
from tests.sshd import SshServer


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running SSH server that no test harms."""
    with SshServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRunStore]:
    """An open run database."""
    opened = await SqliteRunStore.open(tmp_path / "runs.db")
    yield opened
    await opened.close()


@pytest.fixture(params=["ssh", "local"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Hosts of either kind."""
    return Site(tmp_path, request.getfixturevalue("sshd").settings() if request.param == "ssh" else None)


@pytest.fixture
def local(tmp_path: Path) -> Site:
    """Hosts on this machine."""
    return Site(tmp_path, None)


@contextlib.asynccontextmanager
async def running(cards: RunCards, *hosts: MachineHost) -> AsyncGenerator[None]:
    """Let cards be written, until the end of the block."""
    task = asyncio.create_task(cards.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
        for host in hosts:
            await host.close()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


async def settled(store: SqliteRunStore) -> None:
    """Wait until every host has every card."""

    async def none() -> bool:
        return not await due(store)

    await until(none, "some cards are still due")


async def test_a_filed_run_has_its_card_on_every_host(store: SqliteRunStore, site: Site) -> None:
    """The same card lies beside the files of each router, is none that a merger takes, and nothing else is left."""
    record = await filed_run(store, site)
    hosts = [site.host(0), site.host(1)]
    async with running(site.cards(store, *hosts), *hosts):
        await settled(store)
    card = site.read(0, record.run)
    assert card is not None
    assert card == site.read(1, record.run)
    assert (card["title"], card["message"], card["state"]) == (TITLE, "CoBo0 died", "complete")
    assert [file["host"] for file in card["files"]] == ["host0", "host0", "host1", "host1"]
    assert card["links"] == [
        {"source": f"CoBo[{number}]", "router": f"data{number}", "host": f"host{number}"} for number in (0, 1)
    ]
    names = {each.name for each in site.directory(0, record.run).iterdir() if not each.name.endswith(".graw")}
    assert names == {"run_0000.json"}
    assert site.events == []


async def test_an_edit_by_another_process_renews_the_card(store: SqliteRunStore, site: Site) -> None:
    """`runs edit` and a verdict by PV both reach the card; a second look at the same run writes nothing."""
    record = await filed_run(store, site, hosts=1)
    host = site.host(0)
    async with running(site.cards(store, host), host):
        await settled(store)
        edit_run(
            site.root / "runs.db",
            EXPERIMENT,
            record.run.number,
            title="new",
            run_class=None,
            comment=None,
            quality=None,
            values={},
            client=Client("ann", "here"),
        )

        async def renewed() -> bool:
            card = site.read(0, record.run)
            return card is not None and card["title"] == "new"

        await until(renewed, "the card has the old title")
        await store.save_verdict(record.run, comment="two\nlines", quality=RunQuality.Bad)
        await settled(store)
        card = site.read(0, record.run)
        assert card is not None
        assert (card["comment"], card["quality"]) == ("two\nlines", "Bad")
        before = site.card(0, record.run).stat()
        execute(site.root / "runs.db", "UPDATE runs SET card_due = 1")
        await settled(store)
        assert site.card(0, record.run).stat() == before


class Unplugged(LocalTransport):
    """A host that is away while `away` is set."""

    away = True

    def list_directory(self, directory: bytes):
        """Fail as a lost connection does."""
        if self.away:
            raise PeerError("host1 cannot be reached")
        return super().list_directory(directory)


async def test_a_host_that_is_away_gets_its_card_when_it_is_back(store: SqliteRunStore, local: Site) -> None:
    """The others have it at once; the run stays due until then, also for the next process."""
    record = await filed_run(store, local)
    gone = Unplugged()
    hosts = [local.host(0), local.host(1, gone)]
    async with running(local.cards(store, *hosts), *hosts):

        async def first() -> bool:
            return local.read(0, record.run) is not None

        await until(first, "the card waits for the other host")
        assert await due(store) == [record.run.number]
        assert local.read(1, record.run) is None
    hosts = [local.host(0), local.host(1, gone)]
    async with running(local.cards(store, *hosts), *hosts):
        await store.save_verdict(record.run, comment="while it was away", quality=None)
        gone.away = False
        await settled(store)
    card = local.read(1, record.run)
    assert card is not None
    assert card == local.read(0, record.run)
    assert card["comment"] == "while it was away"
    assert local.events == []


async def test_a_host_whose_sshd_is_down_gets_its_card_when_it_is_up(
    store: SqliteRunStore, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With real SSH servers, of which one dies while it has old cards to renew."""
    servers = [SshServer(tmp_path_factory.mktemp("sshd")) for _ in range(2)]
    with servers[0], servers[1]:
        site = Site(tmp_path, None)
        hosts = [
            site.host(number, SshTransport("127.0.0.1", server.settings(), 10.0))
            for number, server in enumerate(servers)
        ]
        record = await filed_run(store, site)
        async with running(site.cards(store, *hosts), *hosts):
            await settled(store)
            servers[1].stop()
            await store.save_verdict(record.run, comment="while it was down", quality=None)

            async def first() -> bool:
                card = site.read(0, record.run)
                return card is not None and card["comment"] == "while it was down"

            await until(first, "the card waits for the host that is down")
            assert await due(store) == [record.run.number]
            servers[1].start()
            await settled(store)
    assert site.read(1, record.run) == site.read(0, record.run)
    assert site.events == []


class Hanging(LocalTransport):
    """A host whose disk hangs until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = False
        self.asked = False

    def list_directory(self, directory: bytes):
        """Hang."""
        self.asked = True
        while not self.released:
            time.sleep(0.01)
        return super().list_directory(directory)


async def test_a_host_that_hangs_delays_no_other(store: SqliteRunStore, local: Site) -> None:
    """Other hosts get the cards of this and of later runs, and the host that hangs can still be looked at."""
    hung = Hanging()
    hosts = [local.host(0), local.host(1, hung)]
    first = await filed_run(store, local)
    async with running(local.cards(store, *hosts), *hosts):
        second = await filed_run(store, local)

        async def both() -> bool:
            return hung.asked and all(local.read(0, each.run) is not None for each in (first, second))

        await until(both, "the host that works has not got both cards")
        await hosts[1].router_facts("e18008/run_0000")
        hung.released = True
        await settled(store)
    assert local.read(1, second.run) is not None


async def test_the_newest_run_comes_first(store: SqliteRunStore, local: Site) -> None:
    """However many old cards are due, the run that was just filed has its card before them."""
    for _ in range(30):
        await filed_run(store, local, hosts=1, files=1)
    newest = await filed_run(store, local, hosts=1, files=1)
    written: list[int] = []

    class Noting(LocalTransport):
        def replace(self, path: bytes, content: bytes) -> None:
            written.append(int(path[-9:-5]))
            super().replace(path, content)

    host = local.host(0, Noting())
    async with running(local.cards(store, host), host):
        await settled(store)
    assert written[0] == newest.run.number
    assert sorted(written) == list(range(31))


async def test_a_card_is_written_when_its_run_is_filed(store: SqliteRunStore, local: Site) -> None:
    """The state of the core wakes it: it does not wait for its next look."""
    host = local.host(0)
    slow = Pace(look=3600, again=0.05, first_pause=0.05, longest_pause=0.2)
    cards = local.cards(store, host, pace=slow)
    async with running(cards, host):
        await asyncio.sleep(0.2)  # the first look is over, or not: both are right
        record = await filed_run(store, local, hosts=1)
        cards.show(State(run=Run(record=record)))
        await settled(store)
    assert local.read(0, record.run) is not None


async def test_checksums_are_put_together(store: SqliteRunStore, local: Site) -> None:
    """However many checksums come, the card is written a few times, and has all of them at the end."""
    await filed_run(store, local, hosts=1, files=40)
    count = 0

    class Counting(LocalTransport):
        def replace(self, path: bytes, content: bytes) -> None:
            nonlocal count
            count += 1
            super().replace(path, content)

    host = local.host(0, Counting())
    pace = Pace(look=0.05, again=2.0, first_pause=0.05, longest_pause=0.2)
    async with running(local.cards(store, host, pace=pace), host):
        await settled(store)
        for each in range(1, 41):
            sql = "UPDATE files SET checksum = 'sha256:00', checksummed_at = '2026-11-27T12:00:00.000000Z' WHERE id = ?"
            await store.transaction(lambda db, each=each, sql=sql: db.execute(sql, [each]))
        await settled(store)
    files = json.loads(next(local.root.glob("data0/*/*/*.json")).read_text())["files"]
    assert {file["checksum"] for file in files} == {"sha256:00"}
    assert count < 10


async def test_a_purged_directory_is_not_made_again(store: SqliteRunStore, site: Site) -> None:
    """A directory that is gone gets no card, and the run is not due for ever."""
    record = await filed_run(store, site)
    for file in site.directory(0, record.run).iterdir():
        file.unlink()
    site.directory(0, record.run).rmdir()
    hosts = [site.host(0), site.host(1)]
    async with running(site.cards(store, *hosts), *hosts):
        await settled(store)
    assert not site.directory(0, record.run).exists()
    assert site.read(1, record.run) is not None
    assert site.events == []


def unread(path: Path) -> tuple[int, ...]:
    """Return what does not change when a file is read."""
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@pytest.mark.parametrize("kind", ["text", "json", "other run", "lost database", "directory", "link"])
async def test_a_foreign_file_is_not_overwritten(store: SqliteRunStore, site: Site, kind: str) -> None:
    """What has the name of the card but is none is left as it is, and said once; other hosts get the card.

    Runs that were adopted, or taken again, after the loss of a database have the numbers of others, whose cards are all
    that is left of them.
    """
    record = await filed_run(store, site)
    path = site.card(0, record.run)
    contents = {
        "text": "notes of the shift",
        "json": '{"schema": "something else"}',
        "other run": json.dumps({"schema": "attpc-ioc run card", "experiment": "e1", "run_number": 0}),
        "lost database": json.dumps(
            {"schema": "attpc-ioc run card", "experiment": EXPERIMENT, "run_number": record.run.number}
            | {"reserved_at": "2025-01-01T00:00:00.000000Z"}
        ),
    }
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        (site.root / "target").write_text("of somebody")
        path.symlink_to(site.root / "target")
    else:
        path.write_text(contents[kind])
    before = unread(path)
    hosts = [site.host(0), site.host(1)]
    async with running(site.cards(store, *hosts), *hosts):
        await settled(store)
        await store.save_verdict(record.run, comment="again", quality=None)
        await settled(store)
    assert unread(path) == before
    card = site.read(1, record.run)
    assert card is not None
    assert card["comment"] == "again"
    assert [(event.severity, event.run) for event in site.events] == [(Severity.MINOR, None)]
    assert str(path) in site.events[0].message


@pytest.mark.parametrize("damage", [b"", b'{\n "schema": "attpc-ioc run card",\n "vers', None])
async def test_a_damaged_card_is_replaced(store: SqliteRunStore, site: Site, damage: bytes | None) -> None:
    """A power cut may leave an empty or short file; a hidden file of an attempt that died is removed."""
    record = await filed_run(store, site, hosts=1)
    path = site.card(0, record.run)
    if damage is not None:
        path.write_bytes(damage)
    (path.parent / ".run_0000.json.partial").write_text("half a ca")
    host = site.host(0)
    async with running(site.cards(store, host), host):
        await settled(store)
    assert site.read(0, record.run) is not None
    assert not list(path.parent.glob(".*"))


class Full(LocalTransport):
    """A host whose disk is full until it is not."""

    full = True
    tries = 0

    def replace(self, path: bytes, content: bytes) -> None:
        """Write, unless full."""
        if self.full:
            self.tries += 1
            raise OSError(28, "No space left on device")
        super().replace(path, content)


async def test_a_full_disk_is_said_once_and_tried_again(store: SqliteRunStore, local: Site) -> None:
    """One MINOR event, however many runs and attempts; when there is room, every card is written."""
    full = Full()
    host = local.host(0, full)
    first = await filed_run(store, local, hosts=1)
    async with running(local.cards(store, host), host):

        async def tried() -> bool:
            return full.tries > 4

        await filed_run(store, local, hosts=1)
        await until(tried, "it is not tried again")
        assert [event.severity for event in local.events] == [Severity.MINOR]
        assert "No space left on device" in local.events[0].message
        full.full = False
        await settled(store)

        async def mended() -> bool:
            return len(local.events) == 2

        await until(mended, "that it works again is not said")
    assert local.read(0, first.run) is not None
    assert local.events[1].severity is Severity.NO_ALARM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_disk_that_is_really_full(store: SqliteRunStore, site: Site) -> None:
    """On a file system without room: the old card stays whole, nothing is left behind, and it goes on with room."""
    record = await filed_run(store, site, hosts=1)
    place = site.directory(0, record.run)
    small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False)
    if small.returncode:
        pytest.skip("this container may not mount")
    try:
        host = site.host(0)
        async with running(site.cards(store, host), host):
            await settled(store)
            old = site.card(0, record.run).read_bytes()
            (place / "filler").write_bytes(b"x" * (60 * 1024 - (len(old) // 4096 + 1) * 4096))
            await store.save_verdict(record.run, comment="x" * 4000, quality=None)

            async def said() -> bool:
                return bool(site.events)

            await until(said, "nothing is said of the full disk")
            assert site.card(0, record.run).read_bytes() == old
            assert not list(place.glob(".*"))
            (place / "filler").unlink()
            await settled(store)
        card = site.read(0, record.run)
        assert card is not None
        assert card["comment"] == "x" * 4000
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")
async def test_a_disk_that_is_really_read_only(store: SqliteRunStore, site: Site) -> None:
    """It is said once, and the card comes when the disk can be written."""
    record = await filed_run(store, site, hosts=1)
    place = site.directory(0, record.run)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        host = site.host(0)
        async with running(site.cards(store, host), host):
            await filed_run(store, site, hosts=1)

            async def said() -> bool:
                return bool(site.events)

            await until(said, "nothing is said of the disk")
            assert [event.severity for event in site.events] == [Severity.MINOR]
            subprocess.run(["mount", "-o", "remount,rw", place], check=True)
            await settled(store)
        assert site.read(0, record.run) is not None
    finally:
        subprocess.run(["umount", "-l", place], check=True)


async def test_files_of_hosts_that_are_not_in_the_topology_are_left_alone(store: SqliteRunStore, local: Site) -> None:
    """They cannot be reached: the run is done without them."""
    record = await filed_run(store, local)
    await store.add_files(record.run, FiledFile("", "elsewhere", "/x/e18008/run_0000/a.graw", 1, time.time()))
    host = local.host(0)
    async with running(local.cards(store, host), host):
        await settled(store)
    assert local.read(0, record.run) is not None
    assert local.read(1, record.run) is None


async def test_what_went_wrong_later_is_on_the_card(store: SqliteRunStore, local: Site) -> None:
    """An event of the run that comes after filing renews the card; one without alarm does not."""
    record = await filed_run(store, local, hosts=1)
    host = local.host(0)
    async with running(local.cards(store, host), host):
        await settled(store)
        store.add_event(Event(time.time(), Severity.NO_ALARM, "Run", "all is well", record.run))
        await store.flush()
        assert await due(store) == []
        store.add_event(Event(time.time(), Severity.MAJOR, "Router:data0", "a file is gone", record.run))
        await store.flush()
        assert await due(store) == [record.run.number]
        await settled(store)
    card = local.read(0, record.run)
    assert card is not None
    assert [event["message"] for event in card["events"]] == ["a file is gone"]


def test_the_pace_of_the_tests_is_that_of_the_ioc() -> None:
    """Only its times are shorter."""
    assert set(vars(QUICK)) == set(vars(Pace()))


async def test_a_purged_run_keeps_its_card(store: SqliteRunStore, local: Site) -> None:
    """When all its files are purged but their directory is there, the card says so."""
    record = await filed_run(store, local, hosts=1)
    host = local.host(0)
    async with running(local.cards(store, host), host):
        await settled(store)
        execute(local.root / "runs.db", "UPDATE files SET purged_at = '2026-11-27T12:00:00.000000Z'")
        await settled(store)
    card = local.read(0, record.run)
    assert card is not None
    assert {file["purged_at"] for file in card["files"]} == {"2026-11-27T12:00:00.000000Z"}


async def test_a_router_without_files_has_the_card_too(store: SqliteRunStore, site: Site) -> None:
    """Filing makes a directory for each router; a router that was not in the run has none, and gets none."""
    record = await filed_run(store, site, hosts=1)
    site.directory(1, record.run).mkdir(parents=True)
    hosts = [site.host(number) for number in range(3)]
    async with running(site.cards(store, *hosts), *hosts):
        await settled(store)
    assert site.read(1, record.run) == site.read(0, record.run) is not None
    assert not site.directory(2, record.run).exists()
    assert site.events == []


async def test_an_adopted_run_has_its_card(store: SqliteRunStore, local: Site) -> None:
    """`runs adopt` enters files under the name of this machine, which the topology may call otherwise."""
    record = await filed_run(store, local, hosts=1)
    execute(local.root / "runs.db", f"UPDATE files SET host = '{socket.gethostname()}', router = ''")
    host = local.host(0)
    async with running(local.cards(store, host), host):
        await settled(store)
    assert local.read(0, record.run) is not None
