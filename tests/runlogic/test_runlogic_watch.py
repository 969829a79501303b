"""What an operator must hear of in time: silent routers, filling disks, configuration files that changed."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from ioc.model import DocumentState, EccState, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.watch import seconds_to_full, total_bytes
from tests.runlogic.installation import topology
from tests.runlogic.world import FILES, World


def _write(world: World, *names: str, megabytes: float = 1.0) -> None:
    """Let routers write, and look at all of them two seconds later."""
    world.now += 2.0
    world.steady += 2.0
    for name in names:
        world.routers[name].written += int(megabytes * 1e6)
    for name in world.routers:
        world.poll_router(name)


def _configured(world: World) -> World:
    """Take all servers from Idle to Ready by the steps of the system."""
    for step in ("Describe", "Prepare", "Configure"):
        world.system(step)
        world.settle()
    return world


@pytest.mark.parametrize("writing", [("data0", "data1"), ("data0",), ()])
def test_a_router_that_is_silent_in_a_run_is_named(writing: tuple[str, ...]) -> None:
    """Ten seconds without a byte are an alarm on router and run, also if nobody writes; writing again ends it."""
    world = World()
    world.start_run()
    _write(world, *world.routers)
    world.log.clear()
    for _ in range(8):
        _write(world, *writing)
    text = "router mutant has written nothing for 10 s"
    assert world.state.routers["mutant"].silent
    assert world.state.routers["mutant"].message.text == text
    assert world.state.routers["mutant"].message.severity is Severity.MAJOR
    assert "no data from Mutant[master] for 10 s (router mutant)" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
    assert [entry.text for entry in world.log].count(text) == 1
    assert [name for name, router in world.state.routers.items() if not router.silent] == list(writing)
    _write(world, *world.routers)
    assert world.state.routers["mutant"].message.text == "router mutant writes again"
    assert not any(router.silent for router in world.state.routers.values())
    assert world.state.run.message.text == "run 0 is Running"
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert "no data from Mutant[master] for 10 s" in world.record.message
    assert "Mutant[master] sends data again)" in world.record.message


def test_a_silent_router_that_does_not_read_is_said_to_hang() -> None:
    """Its data wait in its connection, so the messages say how it can go on; once, however many bytes wait."""
    world = World()
    world.start_run()
    _write(world, *world.routers)
    for unread in (100, 200, 200, 0, 300, 300, 300, 300):
        world.routers["mutant"].unread = unread
        _write(world, "data0", "data1")
    assert world.state.routers["mutant"].message.text == (
        "router mutant has written nothing for 10 s and does not read what arrives for it: press Ctrl-Q in its "
        "terminal, or continue it (kill -CONT)"
    )
    assert world.state.run.message.text == (
        "run 0 is Running, but no data from Mutant[master] for 10 s (router mutant, which does not read them)"
    )
    assert len(world.record.message.splitlines()) == 1
    world.routers["mutant"].unread = 0
    _write(world, *world.routers)
    assert world.state.run.message.text == "run 0 is Running"


def test_silence_is_counted_from_the_start_and_not_in_a_pause() -> None:
    """Nothing is expected of a router before its run, nor while the run is Paused."""
    world = World()
    for _ in range(10):
        _write(world)
    world.start_run()
    for _ in range(4):
        _write(world)
    assert not any(router.silent for router in world.state.routers.values())
    world.run("Pause")
    world.settle()
    for _ in range(10):
        _write(world)
    assert not any(router.silent for router in world.state.routers.values())
    world.run("Resume")
    world.settle()
    _write(world)
    assert not any(router.silent for router in world.state.routers.values())
    for _ in range(5):
        _write(world)
    assert all(router.silent for router in world.state.routers.values())
    world.run("Stop")
    world.settle()
    _write(world)
    assert not any(router.silent for router in world.state.routers.values())


def test_an_exporter_that_writes_no_file_is_not_silent() -> None:
    """Of two routers of one source one may pass its data on; only if both write nothing is there no data."""
    installation = topology()
    first = installation.data_sources[0].model_copy(update={"data_routers": ("data0", "data1")})
    second = installation.data_sources[1].model_copy(update={"data_routers": ("mutant",)})
    sources = (first, second, installation.data_sources[2])
    world = World(installation.model_copy(update={"data_sources": sources}))
    world.start_run()
    world.routers["data1"].staged.clear()
    for _ in range(8):
        _write(world, "data0", "mutant")
    assert not any(router.silent for router in world.state.routers.values())
    for _ in range(8):
        _write(world, "mutant")
    assert "no data from CoBo[0] for 10 s (router data0 and data1)" in world.state.run.message.text


def test_the_growth_of_all_routers_is_the_size_of_the_run() -> None:
    """Also over another working directory and a host that was away; and it says when the first disk is full."""
    world = World()
    world.start_run()
    assert total_bytes(world.state) == 0
    world.poll()
    assert total_bytes(world.state) == 3000
    _write(world, *world.routers)
    assert total_bytes(world.state) == 3_003_000
    world.routers["data0"].reachable = False
    _write(world, "data1")
    world.routers["data0"].reachable = True
    _write(world)
    assert total_bytes(world.state) == 4_003_000
    world.routers["data0"].work_dir, world.routers["data0"].written = "/elsewhere", 500_000
    _write(world)
    assert total_bytes(world.state) == 4_503_000 + 1000
    together = sum(router.mean_rate for router in world.state.routers.values())
    assert seconds_to_full(world.plan, world.state) == pytest.approx(500e9 / together), "they share a disk"


def test_the_first_disk_to_be_full_is_told() -> None:
    """It is that of the least time, not of the least space."""
    world = World()
    assert seconds_to_full(world.plan, world.state) == math.inf
    world.start_run()
    world.routers["data1"].disk_free, world.routers["data1"].disk_total = 10**9, 10**10
    for _ in range(100):
        _write(world, "data0", megabytes=1000)
        _write(world, "data1", megabytes=0.001)
    mean = world.state.routers["data0"].mean_rate
    assert seconds_to_full(world.plan, world.state) == pytest.approx(500e9 / mean, rel=0.05)
    world.run("Stop")
    world.settle()
    assert seconds_to_full(world.plan, world.state) == math.inf


def test_the_rate_is_right_soon_after_the_start() -> None:
    """The mean over a minute is that of the run while the run is younger."""
    world = World()
    world.start_run()
    world.poll()
    for _ in range(3):
        _write(world, *world.routers, megabytes=2.0)
    mean = world.state.routers["data0"].mean_rate
    assert mean == pytest.approx(2e6 / 2.0), "2 MB in each look, every 2 s"


def test_the_rate_knows_nothing_of_the_clock_that_people_set() -> None:
    """A step of the clock, forwards or backwards, changes neither the rates nor what is said of the disk."""
    world = World()
    world.start_run()
    for _ in range(40):
        _write(world, *world.routers, megabytes=2.0)
    before = seconds_to_full(world.plan, world.state)
    for step in (3600.0, -1800.0, 315e6, -315e6):
        world.now += step
        for _ in range(3):
            _write(world, *world.routers, megabytes=2.0)
            assert all(0.3e6 < router.rate < 1.1e6 for router in world.state.routers.values())
        assert seconds_to_full(world.plan, world.state) == pytest.approx(before, rel=0.1)
    assert not [entry for entry in world.log if "will be full" in entry.text]


def test_a_long_time_without_a_look_makes_no_negative_rate() -> None:
    """Nothing was written meanwhile: the mean rate falls to zero, not below, and no disk is full soon."""
    world = World()
    world.start_run()
    for _ in range(40):
        _write(world, *world.routers, megabytes=2.0)
    world.steady += 600.0
    world.now += 600.0
    _write(world)
    assert all(router.mean_rate == 0.0 for router in world.state.routers.values())
    assert not [entry for entry in world.log if "will be full" in entry.text]


def test_a_restart_is_noticed_though_the_clock_was_set_back_after_configure() -> None:
    """The process that the source was connected to is known at the next look, whatever the clock says."""
    world = World(tick=0.01)
    for router in world.routers.values():
        router.process = "1 at 100"
    for step in ("Describe", "Prepare"):
        world.system(step)
        world.settle()
    world.system("Configure")
    while any(server.state is not EccState.Ready for server in world.state.servers.values()):
        world.perform()
    world.now -= 3600
    world.settle()
    world.poll()
    _process(world, "data0", "other")
    assert any("router data0 was restarted after Configure" in text for text in world.blocked_by())


def _process(world: World, router: str, process: str) -> None:
    world.routers[router].process = process
    world.poll_router(router)


def _linked(world: World | None = None) -> World:
    """All servers Ready, with the routers as they are connected."""
    world = world or World()
    for name in world.routers:
        _process(world, name, "1 at 100")
    return _configured(world)


def test_a_router_that_was_restarted_after_configure_blocks_the_start() -> None:
    """Its source is not connected to the new process; Breakup and Configure connect it, and nothing else."""
    world = _linked()
    assert world.blocked_by() == ()
    _process(world, "data0", "2 at 200")
    sentence = "router data0 was restarted after Configure: Breakup and Configure ECC server CoBo0"
    assert world.blocked_by() == (sentence,)
    world.restart()
    assert world.blocked_by() == (sentence,), "the IOC that comes after this one knows it too"
    token = world.run("Start")
    assert world.answers[token] == ef.Answer(token, f"run 0 cannot start: {sentence}", refused=True)
    for action in ("Breakup", "Configure"):
        world.server("CoBo0", action)
        world.settle()
    assert world.blocked_by() == ()
    world.restart()
    assert world.blocked_by() == ()


def test_a_router_whose_link_is_made_at_each_start_may_be_restarted() -> None:
    """An FDT link does not last from Configure on: the new process gets its data."""
    world = _linked()
    _process(world, "mutant", "2 at 200")
    assert world.blocked_by() == ()
    world.run("Start")
    world.settle()
    _process(world, "mutant", "3 at 300")
    assert world.state.run.message.text == "run 0 is Running"


@pytest.mark.parametrize("state", [EccState.Idle, EccState.Described, EccState.Prepared])
def test_a_router_may_be_restarted_before_configure(state: EccState) -> None:
    """Nothing is connected then."""
    world = _linked()
    world.put_servers(state)
    _process(world, "data0", "2 at 200")
    world.put_servers(EccState.Ready)
    world.poll()
    assert world.blocked_by() == ()


def test_a_look_that_began_before_configure_says_nothing_about_the_connection() -> None:
    """It may have seen the process of before."""
    world = _linked(World(tick=0.01))
    asked_at = world.steady
    world.server("CoBo0", "Breakup")
    world.settle()
    world.server("CoBo0", "Configure")
    world.perform()
    facts = world.routers["data0"].facts("", world.now, world.steady)
    world.feed(ev.RoutersRead({"data0": replace(facts, process="old", asked_at=asked_at)}))
    world.routers["data0"].process = "new"
    world.settle()
    assert world.blocked_by() == ()


def test_a_router_that_is_restarted_in_a_run_is_an_alarm_that_stays() -> None:
    """The run gets no data from it any more: said at once, and kept with the run."""
    world = _linked()
    world.run("Start")
    world.settle()
    _process(world, "data0", "2 at 200")
    sentence = "router data0 was restarted after Configure: Breakup and Configure ECC server CoBo0"
    assert world.state.run.message.text == f"run 0 is Running, but {sentence}"
    assert world.state.run.message.severity is Severity.MAJOR
    world.run("Stop")
    world.settle()
    assert sentence in world.record.message
    assert world.state.run.message.severity is Severity.MAJOR


DEAF = (
    "router data0 takes no data any more, for it neither listens nor is connected: restart it, "
    "then Breakup and Configure ECC server CoBo0"
)


def test_a_deaf_router_blocks_the_start_until_it_is_restarted_and_connected() -> None:
    """Start would succeed and the run stay empty; one look may fall into the moment between two connections."""
    world = _linked()
    world.routers["data0"].deaf = True
    world.poll()
    assert world.blocked_by() == ()
    world.poll()
    assert world.blocked_by() == (DEAF,)
    assert world.state.routers["data0"].message.text == DEAF
    assert world.state.routers["data0"].message.severity is Severity.MAJOR
    world.routers["data0"].start_again()
    world.poll()
    assert world.state.routers["data0"].message.text == "Online"
    assert world.blocked_by() == ("router data0 was restarted after Configure: Breakup and Configure ECC server CoBo0",)
    for action in ("Breakup", "Configure"):
        world.server("CoBo0", action)
        world.settle()
    assert world.blocked_by() == ()


def test_a_router_that_becomes_deaf_in_a_run_is_an_alarm_that_stays() -> None:
    """The run gets no data from its source any more: said at once, and kept with the run."""
    world = _linked()
    world.run("Start")
    world.settle()
    world.routers["data0"].deaf = True
    for _ in range(3):
        world.poll()
    assert world.state.run.message.text == f"run 0 is Running, but {DEAF}"
    world.run("Stop")
    world.settle()
    assert world.record.message.count(DEAF) == 1
    assert world.blocked_by() == (DEAF,)


def test_a_deaf_router_whose_links_are_made_at_start_needs_no_configure() -> None:
    """An FDT source connects at the next Start, and in a run to the new process: its restart ends the alarm."""
    world = _linked()
    world.run("Start")
    world.settle()
    world.routers["mutant"].deaf = True
    world.poll()
    world.poll()
    text = "router mutant takes no data any more, for it neither listens nor is connected: restart it"
    assert world.state.run.message.text == f"run 0 is Running, but {text}"
    world.routers["mutant"].start_again()
    world.poll()
    assert world.state.run.message.text == "run 0 is Running"
    assert text in world.record.message
    world.run("Stop")
    world.settle()
    assert world.blocked_by() == ()


def test_the_run_keeps_that_a_router_with_links_of_a_run_was_restarted() -> None:
    """An FDT router gets data again, but what was under way is lost: its row says so even if no look saw it Offline."""
    world = _linked()
    _process(world, "mutant", "3 at 300")
    world.run("Start")
    world.settle()
    assert world.record.message == ""
    _process(world, "mutant", "4 at 400")
    sentence = "router mutant was restarted in the run: data that it had not written are lost"
    assert sentence in world.record.message
    assert world.record.message.endswith("router mutant is Online again)")
    assert world.state.run.message.text == "run 0 is Running"
    assert [entry.text for entry in world.log].count(f"run 0: {sentence}") == 1
    world.poll()
    assert world.record.message.count(sentence) == 1


def test_a_working_directory_that_is_lost_in_a_run_is_an_alarm() -> None:
    """Nobody can see any more where the data go: MAJOR, with the cause, until it is known again."""
    world = World()
    world.start_run()
    found = world.routers["data0"].facts("", world.now, world.steady)
    facts = replace(found, work_dir="", file_count=0, problem="it was deleted")
    for _ in range(2):
        world.feed(ev.RoutersRead({"data0": facts}))
    assert world.state.routers["data0"].message.text == "it was deleted"
    assert world.state.routers["data0"].message.severity is Severity.MAJOR
    assert world.state.run.message.text == "run 0 is Running, but it was deleted"
    assert world.state.run.message.severity is Severity.MAJOR
    world.poll()
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert "it was deleted" in world.record.message


def test_a_working_directory_that_is_known_again_in_filing_is_no_alarm_any_more() -> None:
    """The router was started anew after Stop, as the message asked: the complete run is no alarm, its row tells it."""
    world = World()
    world.start_run()
    found = world.routers["data0"].facts("", world.now, world.steady)
    lost = replace(found, work_dir="", file_count=0, problem="it was deleted")
    world.feed(ev.RoutersRead({"data0": lost}))
    world.run("Stop")
    while world.state.run.state is not RunState.Filing:
        world.perform()
    world.feed(ev.RoutersRead({"data0": replace(found, read_at=world.now)}))
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert re.search(r"it was deleted \([^)]*: router data0 writes to /data\)", world.record.message)


def test_a_disk_that_will_be_full_within_the_hour_is_named_once() -> None:
    """The sentence says when, how much is free and how fast it is written; a burst alone raises nothing."""
    world = World()
    world.start_run()
    world.routers["data0"].disk_free = 7_200_000_000
    _write(world, *world.routers, megabytes=3)
    assert world.state.routers["data0"].message.severity is Severity.NO_ALARM
    for _ in range(200):
        _write(world, *world.routers, megabytes=30)
    said = [entry for entry in world.log if entry.text.startswith("disk of router data0 will be full in ")]
    assert len(said) == 1
    assert said[0].text.endswith(" MB/s are written")
    assert "7.2 GB are free" in said[0].text
    assert said[0].severity is Severity.MAJOR


def _filling() -> World:
    """A run that fills a disk within the hour."""
    world = World()
    world.start_run()
    world.routers["data0"].disk_free = 7_200_000_000
    for _ in range(60):
        _write(world, "data0", megabytes=30)
    assert world.state.routers["data0"].disk_filling
    return world


def test_a_disk_is_not_filled_when_no_run_writes() -> None:
    """The first look without growth after the run ends the alarm, although the mean of the last minute is high."""
    world = _filling()
    world.run("Stop")
    world.settle()
    _write(world)
    assert not world.state.routers["data0"].disk_filling
    assert world.state.routers["data0"].message.severity is Severity.NO_ALARM


def test_data_without_a_run_fill_a_disk_as_long_as_they_come() -> None:
    """A server that runs alone can fill a disk, too."""
    world = World()
    world.routers["data0"].disk_free = 7_200_000_000
    for _ in range(60):
        _write(world, "data0", megabytes=30)
    assert world.state.routers["data0"].disk_filling
    _write(world)
    assert not world.state.routers["data0"].disk_filling


def test_a_disk_that_will_last_again_is_said_in_the_run() -> None:
    """A pause between two bursts ends no alarm; a lower rate does, and then the message is no longer MAJOR."""
    world = _filling()
    _write(world)
    assert world.state.routers["data0"].disk_filling
    for _ in range(100):
        _write(world, "data0", megabytes=0.1)
    assert not world.state.routers["data0"].disk_filling
    assert world.state.routers["data0"].message.text == "disk of router data0 will last for more than an hour again"
    assert world.state.routers["data0"].message.severity is Severity.NO_ALARM


def test_a_configuration_file_that_changed_after_configure_is_named() -> None:
    """A file edited between Configure and Start raises an alarm at Start, on the server and on the run."""
    world = _configured(World())
    name = next(iter(world.servers))
    world.files[name] = (FILES[0], ("prepare-e20.xcfg", "changed"))
    world.start_run()
    world.settle()
    text = f"ECC server {name}: prepare-e20.xcfg changed after Configure: the electronics still have the old file"
    assert world.state.servers[name].message.text == text
    assert world.state.servers[name].message.severity is Severity.MAJOR
    assert world.state.run.message.text == f"run 0 is Running, but {text}"
    assert world.state.run.state is RunState.Running


def test_files_that_cannot_be_copied_do_not_fail_configure() -> None:
    """Configure succeeds without the copy and says what is missing; nothing is compared later."""
    world = World()
    name = next(iter(world.servers))
    world.faults[name, "backup"] = "error"
    _configured(world)
    message = world.state.servers[name].message
    assert message.text == f"configuration of ECC server {name} is not backed up: no space left on device"
    assert message.severity is Severity.MINOR
    world.start_run()
    world.settle()
    assert world.state.run.message.severity is Severity.NO_ALARM


def test_files_are_copied_at_configure_start_and_stop() -> None:
    """Each time into the directory of the same run, though it has no number yet at Configure."""
    world = _configured(World())
    world.start_run()
    world.settle()
    world.run("Stop")
    world.settle()
    name = next(iter(world.servers))
    copies = [effect for effect in world.effects if isinstance(effect, ef.BackUp) and effect.server == name]
    assert [copy.run.number for copy in copies] == [0, 0, 0]


def test_what_was_configured_is_known_after_a_restart() -> None:
    """Digests, the configuration given and a file that changed since: the IOC that comes after this one knows them."""
    world = _configured(World())
    name = next(iter(world.servers))
    before = world.state.servers[name]
    world.select(name, "other/other/other")
    world.restart()
    after = world.state.servers[name]
    assert (after.given, after.config_digest, after.files) == (before.given, before.config_digest, before.files)
    assert after.files
    world.files[name] = (FILES[0], ("prepare-e20.xcfg", "changed"))
    world.run("Start")
    world.settle()
    assert f"ECC server {name}: prepare-e20.xcfg changed after Configure" in world.state.run.message.text
