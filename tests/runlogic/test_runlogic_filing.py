"""Filing after a run, Organize, and the configurations beside the run."""

from __future__ import annotations

import pytest

from ioc.model import DocumentState, EccState, FiledFile, FilingReport, RouterFacts, RunId, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan
from ioc.runlogic.subject import RUN, data_router
from tests.runlogic.installation import topology
from tests.runlogic.world import World


def _stopped_with(world: World, fault: str) -> str:
    world.start_run()
    world.faults["data1", "file"] = fault
    token = world.run("Stop")
    world.settle()
    return world.answers[token].error


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("error", "host of data1 does not answer"),
        ("incomplete", "1 file cannot be moved: permission denied"),
    ],
)
def test_a_router_that_is_not_filed_blocks_the_next_start(fault: str, why: str) -> None:
    """Stop names it, the run stays filing, the next start is refused until Organize has succeeded."""
    world = World()
    sentence = f"run 0 is stopped, but router data1 is not filed: {why}"
    assert _stopped_with(world, fault) == sentence
    assert world.record.state is DocumentState.Filing
    assert world.record.message.endswith(f" router data1 is not filed: {why}")
    assert world.state.run.state is RunState.Filing
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.routers["data1"].message.severity is Severity.MAJOR
    assert world.blocked_by() == (
        "run 0 is not filed: data1 must be filed first",
        "router data1 is Dirty with 1 .graw file, but must be Clean: Organize it",
    )
    for token in (world.run("Start"), world.system("Describe")):
        assert world.answers[token].refused
        assert "data1 must be filed" in world.answers[token].error
    token = world.organize("data1")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert world.record.state is DocumentState.Complete
    assert world.state.run.state is RunState.Stopped
    assert world.blocked_by() == ()


def test_organize_that_fails_again_leaves_the_run_filing() -> None:
    """Nothing is lost by trying."""
    world = World()
    _stopped_with(world, "error")
    world.faults["data1", "file"] = "error"
    token = world.organize("data1")
    world.settle()
    assert world.answers[token] == ef.Answer(token, "router data1 is not filed: host of data1 does not answer")
    assert world.record.state is DocumentState.Filing


def test_filing_continues_by_itself_when_the_cause_is_gone() -> None:
    """It is tried again with the looks at the host, said once while it fails, and the run is complete at the end."""
    world = World()
    _stopped_with(world, "error")
    world.log.clear()
    for _ in range(5):
        world.steady += 4.0
        world.faults["data1", "file"] = "error"
        world.poll_router("data1")
        world.settle()
    assert world.record.state is DocumentState.Filing
    assert [line.text for line in world.log if "filing failed" in line.text] == []
    assert not [line for line in world.log if line.subject == RUN]
    world.faults.clear()
    world.steady += 4.0
    world.poll_router("data1")
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.state.run.message.text == "run 0 is complete"
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert "router data1 is not filed: host of data1 does not answer (" in world.record.message
    assert world.record.message.endswith(": router data1 is filed)")


def test_filing_is_not_tried_without_a_pause_nor_while_the_host_is_away() -> None:
    """A look that follows at once begins nothing, nor does one that fails."""
    world = World()
    _stopped_with(world, "error")
    world.steady += 1.0
    world.poll_router("data1")
    assert not world.pending
    world.steady += 100.0
    world.routers["data1"].reachable = False
    world.poll_router("data1")
    assert not world.pending


def test_every_directory_that_a_router_had_in_a_run_is_filed() -> None:
    """It died and was started elsewhere: the first directory is known also to the IOC that comes after this one."""
    world = World()
    world.start_run()
    world.routers["data0"].work_dir = "/elsewhere"
    world.poll()
    world.restart()
    world.settle()
    world.run("Stop")
    while not any(isinstance(effect, ef.FileRouter) for effect in world.pending):
        world.perform()
    filing = {effect.router: effect.directories for effect in world.pending if isinstance(effect, ef.FileRouter)}
    assert filing["data0"] == ("/data", "/elsewhere")
    assert filing["data1"] == ("/data",)
    world.settle()
    world.start_run()
    world.run("Stop")
    while not any(isinstance(effect, ef.FileRouter) for effect in world.pending):
        world.perform()
    filing = {effect.router: effect.directories for effect in world.pending if isinstance(effect, ef.FileRouter)}
    assert filing["data0"] == ("/elsewhere",), "directories belong to one run"


def _filed(world: World) -> ef.FileRouter:
    """How data0 is asked to file the run that ends now."""
    world.run("Stop")
    while not (asked := [each for each in world.pending if isinstance(each, ef.FileRouter) and each.router == "data0"]):
        world.perform()
    world.settle()
    return asked[0]


def test_the_old_name_of_a_renamed_directory_may_be_gone() -> None:
    """A process that works elsewhere than before had its directory renamed: its files have the new name, too."""
    world = World()
    world.routers["data0"].process = "7@1"
    world.start_run()
    world.poll()
    for name in ("/data-old", "/data"):
        world.routers["data0"].work_dir = name
        world.poll()
    assert world.state.routers["data0"].written == 1000, "the same files are not counted again"
    asked = _filed(world)
    assert asked.directories == ("/data", "/data-old")
    assert asked.may_be_gone == ("/data-old",)


def test_a_directory_in_which_no_file_was_seen_may_be_gone() -> None:
    """A router that was started elsewhere leaves its data where it wrote them; one without data may go."""
    world = World()
    world.routers["data0"].process = "7@1"
    world.start_run()
    world.poll()
    files, world.routers["data0"].staged = world.routers["data0"].staged, []
    for name in ("/empty", "/other"):
        world.routers["data0"].work_dir = name
        world.routers["data0"].start_again()
        world.poll()
    world.routers["data0"].staged = files
    world.poll()
    asked = _filed(world)
    assert asked.directories == ("/data", "/empty", "/other")
    assert asked.may_be_gone == ("/empty",)


@pytest.mark.parametrize("seen", [True, False])
def test_the_old_name_may_be_gone_after_a_restart_too(seen: bool) -> None:
    """That a directory was renamed is known over a restart of the IOC, whether the IOC saw it or was down then."""
    world = World()
    world.routers["data0"].process = "7@1"
    world.start_run()
    world.poll()
    world.routers["data0"].work_dir = "/data-old"
    if seen:
        world.poll()
    world.restart()
    world.poll()
    asked = _filed(world)
    assert asked.directories == ("/data", "/data-old")
    assert asked.may_be_gone == ("/data",)


def test_a_directory_in_which_a_file_may_have_come_while_the_ioc_was_down_must_be_there() -> None:
    """Only what the IOC looked at can be without data: a router that it left in an empty directory may write then."""
    world = World()
    world.routers["data0"].process = "7@1"
    world.start_run()
    world.poll()
    world.routers["data0"].staged = []
    for name in ("/empty", "/other"):
        world.routers["data0"].work_dir = name
        world.routers["data0"].start_again()
        world.poll()
    world.routers["data0"].work_dir = "/third"
    world.routers["data0"].start_again()
    world.restart()
    asked = _filed(world)
    assert asked.directories == ("/data", "/empty", "/other", "/third")
    assert asked.may_be_gone == ("/empty", "/third")


def test_old_names_belong_to_one_run() -> None:
    """A directory that has the old name of another run is one of the next run as any other."""
    world = World()
    world.routers["data0"].process = "7@1"
    world.start_run()
    for name in ("/data-old", "/data"):
        world.routers["data0"].work_dir = name
        world.poll()
    assert _filed(world).may_be_gone == ("/data-old",)
    world.start_run()
    world.restart()
    asked = _filed(world)
    assert (asked.directories, asked.may_be_gone) == (("/data",), ())


def test_after_a_restart_a_directory_with_files_must_be_there() -> None:
    """A router that is not known to be the same went elsewhere: its files stayed where they were."""
    world = World()
    world.start_run()
    world.routers["data0"].work_dir = "/other"
    world.poll()
    world.restart()
    asked = _filed(world)
    assert asked.directories == ("/data", "/other")
    assert asked.may_be_gone == ()


def test_a_run_is_complete_with_its_bytes_and_names_each_source_without_data() -> None:
    """Sizes are added up; a source whose router has no file makes the end of the run an alarm."""
    world = World()
    world.start_run()
    world.routers["data1"].staged.clear()
    world.run("Stop")
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.record.size == 2000
    assert world.state.run.message.text == "run 0 is complete, but no data from CoBo[1]"
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.record.message.endswith(" no data from CoBo[1]")
    world.start_run()
    assert world.state.run.message.severity is Severity.NO_ALARM
    world.run("Stop")
    world.settle()
    assert world.record.message == ""


def test_organize_between_runs() -> None:
    """Files that turn up later are filed under the last run."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.routers["data0"].staged.append(("late.graw", None))
    world.poll()
    world.pass_time(10)
    token = world.organize("data0")
    assert ef.FileRouter("data0", RunId("e20", 0), ("/data",)) in world.pending
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert "late.graw" in world.routers["data0"].directories["e20/run_0000"]
    assert world.state.routers["data0"].clean, "the router was looked at again at once"


def test_organize_leaves_files_that_still_grow() -> None:
    """A source that sends without a run begins its file again after each filing, which would cut it in parts."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    for _ in range(3):
        world.routers["data0"].written += 1000
        world.pass_time(2)
        world.poll()
    early = world.organize("data0")
    why = "router data0 cannot be organized: its files grew less than 10 s ago, but must be at rest: wait"
    assert world.answers[early].error.startswith(why)
    assert world.answers[early].error.endswith("and Breakup CoBo0 alone")
    assert world.pending == []
    other = world.organize("data1")
    world.pass_time(10)
    world.poll()
    later = world.organize("data0")
    world.settle()
    assert [world.answers[each].error for each in (other, later)] == ["", ""]


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (0, "run 0: no more files to file, 1 was filed before"),
        (1, "run 0: 1 file filed, 1 was filed before"),
        (2, "run 0: 2 files filed, 1 was filed before"),
    ],
)
def test_organize_tells_its_files_from_those_filed_before(late: int, said: str) -> None:
    """The message counts what this attempt filed, and apart from that what the run had, also after a restart."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    assert world.state.routers["data0"].message.text == "run 0: 1 file filed"
    world.restart()
    world.routers["data0"].staged += [(f"late{i}.graw", None) for i in range(late)]
    world.organize("data0")
    world.settle()
    assert world.state.routers["data0"].message.text == said


def test_refusals_of_organize() -> None:
    """Before the first run, while the run takes data, and while it works already."""
    world = World()
    first = world.organize("data0")
    assert world.answers[first].error == (
        "router data0 cannot be organized: experiment e20 has no run yet that the files could belong to: "
        "move them by hand"
    )
    assert world.state.routers["data0"].message.text == world.answers[first].error
    world.start_run()
    running = world.organize("data0")
    assert world.answers[running].error == ("router data0 cannot be organized: run 0 is Running, but must be stopped")
    world.run("Stop")
    world.settle()
    world.organize("data0")
    again = world.organize("data0")
    assert world.answers[again].error == "router data0 cannot be organized: its files are being filed already"
    world.settle()


def test_a_start_is_refused_while_a_router_is_organized() -> None:
    """The staging directory must be at rest."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.organize("data0")
    assert world.blocked_by() == ("router data0: its files are being filed",)
    token = world.run("Start")
    assert world.answers[token].error == "run 1 cannot start: router data0: its files are being filed"
    world.settle()


def test_a_backup_that_fails_is_said_and_holds_nothing() -> None:
    """The run is complete; its message names the server whose configuration is missing."""
    world = World()
    world.start_run()
    world.faults["CoBo1", "backup"] = "error"
    token = world.run("Stop")
    world.settle()
    sentence = "configuration of ECC server CoBo1 is not backed up: no space left on device"
    assert world.answers[token].error == f"run 0 is complete, but {sentence}"
    assert world.record.state is DocumentState.Complete
    assert world.state.servers["CoBo1"].message.text == sentence
    assert world.state.run.message.severity is Severity.MINOR


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("still", [True, False])
def test_a_backup_is_made_again_with_the_filing(*, by_hand: bool, still: bool) -> None:
    """What kept the files from being filed kept the configuration from being backed up, too; it is tried once more."""
    world = World()
    world.start_run()
    world.faults |= {("data1", "file"): "error", ("CoBo1", "backup"): "error"}
    world.run("Stop")
    world.settle()
    sentence = "configuration of ECC server CoBo1 is not backed up: no space left on device"
    assert sentence in world.state.run.message.text
    world.faults.clear()
    if still:
        world.faults["CoBo1", "backup"] = "error"
    world.steady += 4.0
    if by_hand:
        world.organize("data1")
    else:
        world.poll_router("data1")
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.state.run.message.text == (f"run 0 is complete, but {sentence}" if still else "run 0 is complete")
    assert ("configuration of ECC server CoBo1 is backed up)" in world.record.message) is not still
    assert world.blocked_by() == ()


def test_a_router_that_goes_offline_alarms_the_run() -> None:
    """Data may be lost: the run says which router, once."""
    world = World()
    world.start_run()
    world.routers["data0"].online = False
    world.poll()
    world.poll()
    text = "router data0 is Offline: no dataRouter process for router data0 on its host"
    assert world.state.run.message.text == f"run 0 is Running, but {text}"
    assert world.state.run.message.severity is Severity.MAJOR
    assert [line.text for line in world.log].count(f"run 0: {text}") == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_router_that_died_just_before_stop_is_told_with_the_run(again: bool) -> None:
    """The first look that began after the end of the data finds it gone or anew, for the run; later ones do not."""
    world = World(tick=0.01)
    for router in world.routers.values():
        router.process = "1 at 100"
    world.ready()
    world.run("Start")
    world.settle()
    began_before = world.routers["data0"].facts("", world.now, world.steady)
    world.routers["data0"].process, world.routers["data0"].online = "2 at 200", again
    world.run("Stop")
    while world.state.run.state is not RunState.Filing:
        world.perform()
    world.feed(ev.RoutersRead({"data0": began_before}))
    world.poll()
    world.routers["data1"].process, world.routers["data1"].online = "3 at 300", again
    world.poll()
    world.settle()
    assert world.record.state is DocumentState.Complete
    said = "router data0 was restarted after Configure" if again else "router data0 is Offline"
    assert said in world.record.message
    assert "data1" not in world.record.message


def test_a_host_that_goes_away_alarms_the_run() -> None:
    """What cannot be asked is Offline: one entry when it goes, one when it returns, whatever is said in between."""
    world = World()
    world.start_run()
    world.log.clear()
    for reason in ("host of data0 does not answer", "connection refused", "host of data0 does not answer"):
        world.feed(ev.RoutersLost(("data0",), reason))
    assert world.state.run.message.text == (
        "run 0 is Running, but router data0 is Offline: host of data0 does not answer"
    )
    assert not world.state.routers["data0"].online
    world.poll()
    assert [line.text for line in world.log if line.subject == data_router("data0")] == [
        "host of data0 does not answer",
        "Online",
    ]
    assert [line.text for line in world.log if line.subject == RUN] == [
        "run 0: router data0 is Offline: host of data0 does not answer",
        "run 0: router data0 is Online again",
    ]
    assert world.state.run.message.text == "run 0 is Running"
    assert world.state.run.message.severity is Severity.NO_ALARM


def test_the_rate_is_the_growth_of_what_is_staged() -> None:
    """Bytes a second between two looks; never negative."""
    world = World()

    def look(staged: int, at: float) -> float:
        facts = RouterFacts(True, "/data", 1, staged, 10**12, 10**12, False, 0.0, answered_at=at)
        world.feed(ev.RoutersRead({"data0": facts}))
        return world.state.routers["data0"].rate

    look(1000, 5000.0)
    assert look(5000, 5002.0) == 2000.0
    assert look(0, 5004.0) == 0.0


def test_a_router_of_another_installation_is_ignored() -> None:
    """After a reload a late answer may name a router that is gone."""
    world = World()
    state = world.state
    world.feed(ev.RoutersRead({"gone": world.routers["data0"].facts("", 1.0, 1.0)}))
    world.feed(ev.RoutersLost(("gone",), "away"))
    assert world.state == state


def test_a_working_directory_that_cannot_be_determined_blocks_the_start() -> None:
    """Where the files are is part of knowing that there are none."""
    world = World()
    world.ready()
    facts = RouterFacts(True, "", 0, 0, 0, 0, False, 1.0, "lsof is not installed")
    world.feed(ev.RoutersRead({"data0": facts}))
    assert world.blocked_by() == ("router data0: its working directory cannot be determined: lsof is not installed",)
    assert world.state.routers["data0"].message.severity is Severity.MINOR


def data_go_on_while_it_is_filed(world: World) -> None:
    """Wait for the filing of a run that is being stopped, and let data1 write for a while."""
    while not any(isinstance(effect, ef.FileRouter) for effect in world.pending):
        world.perform()
    for seconds in (2.0, 4.0):
        world.steady += seconds
        world.routers["data1"].written += 1000
        world.poll_router("data1")


def test_data_that_go_on_after_a_run_are_said_with_their_remedy() -> None:
    """An ECC server was restarted in the run, its board goes on sending: filing waits, and the run says for what."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Idle, "CoBo1")
    world.run("Stop")
    data_go_on_while_it_is_filed(world)
    text = (
        "router data1 still receives data and cannot be filed until that ends: the electronics of ECC server CoBo1 "
        "keep sending; Describe, Prepare, Configure (twice if it fails) and Breakup CoBo1 alone"
    )
    assert text in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert text not in world.state.run.message.text
    assert text in world.record.message


def test_the_remedy_stays_when_filing_gives_up() -> None:
    """Data go on until filing reaches its time-out: Stop is answered with the reason, the run still says what to do."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Idle, "CoBo1")
    world.faults["data1", "file"] = "error"
    command = world.run("Stop")
    data_go_on_while_it_is_filed(world)
    world.settle()
    assert "router data1 is not filed: host of data1 does not answer" in world.answers[command].error
    assert world.state.routers["data1"].message.text == "filing failed: host of data1 does not answer"
    assert "Describe, Prepare, Configure (twice if it fails) and Breakup CoBo1 alone" in world.state.run.message.text


def test_a_reason_whose_numbers_change_is_logged_once() -> None:
    """Filing is tried every few seconds, and its reason may have another number each time: the log has it once."""
    world = World()
    world.start_run()
    world.faults["data0", "file"] = "error"
    world.run("Stop")
    world.settle()
    world.log.clear()
    attempt = ef.FileRouter("data0", world.record.run, ())
    for free in range(20):
        problem = f"1 file cannot be moved: {free} MB are free, but it has 900 MB"
        world.feed(ev.Ended(attempt, FilingReport((), problem, complete=False)))
        assert world.state.routers["data0"].message.text == f"filing failed: {problem}"
        assert world.state.run.message.text.endswith(problem)
    first = "1 file cannot be moved: 0 MB are free, but it has 900 MB"
    assert [line.text for line in world.log] == [
        f"filing failed: {first}",
        f"run 0: router data0 is not filed: {first}",
    ]
    world.feed(ev.Ended(attempt, error="host of data0 does not answer"))
    assert len(world.log) == 4, "another reason is news"
    assert world.record.message.count("is not filed") == 3


def test_who_asks_again_finds_the_reason_in_the_log() -> None:
    """A failure is answered with its reason each time that somebody presses Stop, and is in the log each time."""
    world = World()
    world.start_run()
    for _ in range(2):
        world.log.clear()
        world.faults["data0", "file"] = "error"
        command = world.run("Stop")
        world.settle()
        assert "host of data0 does not answer" in world.answers[command].error
        assert "filing failed: host of data0 does not answer" in [line.text for line in world.log]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("CoBo0_AsAd3_2026-11-28T18:01:32.277_0000.graw", "CoBo[0]"),
        ("CoBo1_AsAd0_2026-11-28T18:01:32.277_0000.duplicate-1", "CoBo[1]"),
        ("MuTanT_2026-11-28T18:01:32.277_0000.graw", "Mutant[master]"),
        ("CoBo7_AsAd0_2026-11-28T18:01:32.277_0000.graw", "CoBo[0]"),
        ("stray.graw", "CoBo[0]"),
    ],
)
def test_the_source_of_a_file_is_that_of_its_name(name: str, source: str) -> None:
    """In a directory of two routers one files what the other wrote; only a name that tells no source is its own's."""
    file = FiledFile("data0", "127.0.0.1", f"/data/e20/run_0000/{name}", 1000, 0.0)
    assert Plan.of(topology()).attributed("data0", file).source == source
