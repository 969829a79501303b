"""The ledger: what must be on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.engine.ledger import Ledger
from ioc.errors import PeerError
from ioc.model import Client, DocumentState, FiledFile, RunClass, RunId, RunRecord
from ioc.runlogic.effects import Answer, SaveRun, SaveRunConfigs, SaveSetting
from ioc.runlogic.events import SetTitle
from tests.engine.clock import ClockLoop
from tests.engine.fakes import LOCKED, FakeStore


def record(number: int, state: DocumentState = DocumentState.Running) -> SaveRun:
    return SaveRun(RunRecord(RunId("e20", number), state, RunClass.Beam, "", 0.0))


def answer(number: int) -> Answer:
    return Answer(SetTitle(Client(), ""), str(number))


class Desk:
    """A ledger at work; answers appear in the same list as what the store has written."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.ledger = Ledger(self.store, lambda answer: self.store.stored.append(f"answer {answer.error}"))

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.ledger.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), "the ledger ended by itself"
            await self.ledger.finish()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(600):
            while not condition():  # noqa: ASYNC110 - it is about what is outside of the loop
                await asyncio.sleep(0.01)


@pytest.fixture
def desk() -> Desk:
    """A ledger on a store that works."""
    return Desk()


async def test_an_answer_follows_its_record(desk: Desk) -> None:
    """No answer overtakes what it acknowledges, however slow the database is."""
    desk.store.takes = 0.4
    async with desk.at_work():
        for entry in (record(1), SaveSetting("title", "x"), answer(7), record(2), answer(8)):
            desk.ledger.put(entry)
        await desk.until(lambda: "answer 8" in desk.store.stored)
    assert desk.store.stored == ["run 1 running", "title=x", "answer 7", "run 2 running", "answer 8"]


async def test_files_recorded_at_the_same_time_share_a_transaction(desk: Desk) -> None:
    """A hundred files cost two transactions; each is stored when its record returns, and before what follows it."""
    desk.store.takes = 0.1

    async def record_file(number: int) -> None:
        path = f"/data/{number}.graw"
        await desk.ledger.record(RunId("e20", 1), FiledFile("data0", "host0", path, 10, 0.0))
        assert path in desk.store.files

    async with desk.at_work(), asyncio.TaskGroup() as filings:
        for number in range(100):
            filings.create_task(record_file(number))
        await asyncio.sleep(0.05)
        desk.ledger.put(answer(7))
        filings.create_task(record_file(100))
    assert desk.store.calls.count("add_files") <= 3
    assert desk.store.files == [f"/data/{number}.graw" for number in range(101)]
    assert desk.store.stored.index("answer 7") == 100


async def test_settings_saved_at_the_same_time_share_a_transaction(desk: Desk) -> None:
    """What a Configure of a hundred servers remembers costs few transactions, and is stored before it is answered."""
    desk.store.takes = 0.1
    async with desk.at_work():
        for number in range(100):
            desk.ledger.put(SaveSetting(f"configured:{number}", "x"))
            await desk.ledger.settled().wait() if number == 50 else await asyncio.sleep(0)
        desk.ledger.put(answer(7))
        desk.ledger.put(SaveSetting("configured:0", "y"))
        await desk.until(lambda: desk.store.database.settings.get("configured:0") == "y")
    assert desk.store.calls.count("save_settings") <= 5
    assert desk.store.stored.index("answer 7") == 100


async def test_files_wait_for_a_database_that_fails(desk: Desk) -> None:
    """Files recorded while nothing can be stored are all stored later, those of each run under it."""
    desk.store.fault = LOCKED
    async with desk.at_work():
        for number in range(6):
            file = FiledFile("data0", "host0", f"/data/{number}.graw", 10, 0.0)
            await desk.ledger.record(RunId("e20", number % 2), file)
        assert desk.store.files == []
        desk.store.fault = None
        await desk.until(lambda: len(desk.store.files) == 6)
    assert sorted(desk.store.files) == [f"/data/{number}.graw" for number in range(6)]


async def test_a_failing_database_does_not_keep_answers_back(desk: Desk) -> None:
    """While nothing can be stored every command is answered; when it works again all is stored, in order."""
    desk.store.fault = LOCKED
    async with desk.at_work():
        for entry in (record(1), SaveRunConfigs(RunId("e20", 1), ()), SaveSetting("title", "x"), answer(7)):
            desk.ledger.put(entry)
        await desk.until(lambda: "answer 7" in desk.store.stored)
        desk.store.fault = None
        await desk.until(lambda: len(desk.store.stored) == 4)
    assert desk.store.stored == ["answer 7", "run 1 running", "configs of run 1", "title=x"]


async def test_one_record_that_can_never_be_stored_holds_up_no_other(desk: Desk) -> None:
    """A record of a run that somebody deleted from the database is tried in vain, beside all that follows."""
    desk.store.faults["save_run"] = PeerError("run 1 of experiment e20 is not in the run database")
    async with desk.at_work():
        for entry in (record(1), SaveSetting("title", "x"), answer(7)):
            desk.ledger.put(entry)
        await desk.until(lambda: "answer 7" in desk.store.stored)
        assert desk.store.stored == ["title=x", "answer 7"]
        await asyncio.sleep(60)
        assert 50 <= desk.store.calls.count("save_run") <= 62


async def test_the_newest_of_a_kind_wins(desk: Desk) -> None:
    """What was overtaken by a newer record while the database failed is not written over it."""
    desk.store.fault = LOCKED
    async with desk.at_work():
        desk.ledger.put(record(1, DocumentState.Stopping))
        desk.ledger.put(SaveSetting("title", "old"))
        await desk.until(lambda: len(desk.store.calls) >= 3)
        desk.store.fault = None
        desk.ledger.put(record(1, DocumentState.Complete))
        desk.ledger.put(SaveSetting("title", "new"))
        await desk.until(lambda: len(desk.store.stored) >= 2)
        await asyncio.sleep(60)
    assert desk.store.database.runs[RunId("e20", 1)].state is DocumentState.Complete
    assert desk.store.database.settings == {"title": "new"}
    assert "run 1 stopping" not in desk.store.stored


async def test_commands_do_not_wait_for_every_record_of_a_hung_database(desk: Desk) -> None:
    """A disk that hangs delays a command with many records by half a second in all, and the next command not at all."""
    desk.store.takes, desk.store.fault = 10.0, LOCKED
    loop = asyncio.get_running_loop()
    async with desk.at_work():
        began = loop.time()
        for entry in (*(SaveSetting(f"s{n}", "") for n in range(20)), answer(7)):
            desk.ledger.put(entry)
        await desk.until(lambda: "answer 7" in desk.store.stored)
        assert loop.time() - began < 0.6
        desk.ledger.put(SaveSetting("title", ""))
        desk.ledger.put(answer(8))
        await desk.until(lambda: "answer 8" in desk.store.stored)
        assert loop.time() - began < 0.7
        desk.store.takes, desk.store.fault = 0.0, None
        await desk.until(lambda: len(desk.store.database.settings) == 21)


async def test_settled_waits_for_the_record_being_written(desk: Desk) -> None:
    """Nothing that reads the database begins before the record that was put last is in it."""
    desk.store.takes = 0.4
    async with desk.at_work():
        assert desk.ledger.settled().is_set()
        desk.ledger.put(record(1))
        await desk.until(lambda: desk.store.calls)
        await desk.ledger.settled().wait()
        assert desk.store.stored == ["run 1 running"]


async def test_what_waits_is_stored_when_the_ledger_ends() -> None:
    """A record that is queued, being written or was not stored when the IOC ends is stored then."""
    desk = Desk()
    desk.store.fault = LOCKED
    async with desk.at_work():
        desk.ledger.put(record(1))
        desk.ledger.put(answer(7))
        await desk.until(lambda: "answer 7" in desk.store.stored)
        desk.store.fault, desk.store.takes = None, 0.2
        await desk.until(lambda: desk.store.calls.count("save_run") == 2)  # run 1 is being written
        desk.ledger.put(SaveSetting("title", "x"))
    assert set(desk.store.stored) == {"answer 7", "run 1 running", "title=x"}


async def test_the_end_does_not_wait_for_ever(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A database that hangs when the IOC ends is waited for once, and the log says how much is lost."""
    desk.store.fault, desk.store.takes = LOCKED, 10.0
    loop = asyncio.get_running_loop()
    async with desk.at_work():
        for n in range(5):
            desk.ledger.put(record(n))
        await desk.until(lambda: len(desk.store.calls) >= 2)
        ends_at = loop.time()
    assert loop.time() - ends_at < 1.5
    assert "5 records" in caplog.text
    assert "locked" in caplog.text


async def test_an_unexpected_error_of_the_store_ends_nothing(desk: Desk) -> None:
    """A bug in the database adapter is treated as a failing database: answers are given, records kept."""
    desk.store.fault = ZeroDivisionError("bug")
    async with desk.at_work():
        desk.ledger.put(record(1))
        desk.ledger.put(answer(7))
        await desk.until(lambda: "answer 7" in desk.store.stored)
        desk.store.fault = None
        await desk.until(lambda: "run 1 running" in desk.store.stored)


async def test_what_is_kept_is_stored_soon_after_the_database_works_again(desk: Desk) -> None:
    """However long it failed, and however many commands come, what is kept is stored 1.5 s after the cause is gone."""
    desk.store.fault = LOCKED
    loop = asyncio.get_running_loop()
    async with desk.at_work():
        for n in range(20):
            desk.ledger.put(record(n))
        for n in range(100):
            desk.ledger.put(SaveSetting("title", str(n)))
            await asyncio.sleep(0.3)
        desk.store.fault = None
        works_at = loop.time()
        while len(desk.store.database.runs) < 20:
            desk.ledger.put(SaveSetting("title", "more"))
            await asyncio.sleep(0.3)
        assert loop.time() - works_at < 1.5


async def test_a_long_failure_is_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """An hour without a database is one line when it begins and one when it ends."""
    caplog.set_level("INFO", "ioc")
    desk.store.fault = LOCKED
    async with desk.at_work():
        for n in range(10):
            desk.ledger.put(SaveSetting(f"s{n}", ""))
        await asyncio.sleep(3600)
        desk.store.fault = None
        await desk.until(lambda: len(desk.store.database.settings) == 10)
        await asyncio.sleep(60)
    assert len(caplog.records) == 2, caplog.text


KEYS = st.sampled_from(["title", "class", "a", "b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS), st.tuples(st.just("works"), st.booleans()), st.tuples(st.just("wait"), KEYS)
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_the_database_does_the_newest_is_stored_in_the_end(steps: list[tuple[str, str | bool]]) -> None:
    """No sequence of records, failures and pauses loses the newest value or an answer, or reorders answers."""

    async def go() -> None:
        desk = Desk()
        newest: dict[str, str] = {}
        async with desk.at_work():
            for n, (what, argument) in enumerate(steps):
                if what == "put":
                    newest[str(argument)] = str(n)
                    desk.ledger.put(SaveSetting(str(argument), str(n)))
                    desk.ledger.put(answer(n))
                elif what == "works":
                    desk.store.fault = None if argument else LOCKED
                else:
                    await asyncio.sleep(n)
            answers = [f"answer {n}" for n, (what, _) in enumerate(steps) if what == "put"]
            await desk.until(lambda: [text for text in desk.store.stored if text.startswith("answer")] == answers)
            desk.store.fault = None
            await desk.until(lambda: desk.store.database.settings == newest)
            await asyncio.sleep(60)
            assert desk.store.database.settings == newest

    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        runner.run(go())
