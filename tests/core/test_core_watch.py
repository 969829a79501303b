"""What an operator must hear of in time: silent routers, filling disks, configuration files that changed."""

from __future__ import annotations

from ioc.model import RunState, Severity
from ioc.runlogic import effects as ef
from tests.core.world import FILES, World


def _write(world: World, *names: str, megabytes: float = 1.0) -> None:
    """Let routers write, and look at all of them two seconds later."""
    world.now += 2.0
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


def test_a_router_that_is_silent_while_its_peers_write_is_named() -> None:
    """Ten seconds without a byte beside writing peers are an alarm on router and run; writing again ends it."""
    world = World()
    world.start_run()
    _write(world, *world.routers)
    world.log.clear()
    for _ in range(8):
        _write(world, "data0")
    text = "router data1 has written nothing for 10 s while its peers write"
    assert world.state.routers["data1"].message.text == text
    assert world.state.routers["data1"].message.severity is Severity.MAJOR
    assert world.state.run.message.text == f"run 0: {text}"
    assert [entry.text for entry in world.log].count(text) == 1
    assert world.state.routers["data0"].message.severity is Severity.NO_ALARM
    _write(world, "data0", "data1")
    assert world.state.routers["data1"].message.text == "router data1 writes again"


def test_routers_that_are_all_silent_are_no_alarm() -> None:
    """Without a trigger nobody writes, and that is no fault of a router."""
    world = World()
    world.start_run()
    for _ in range(10):
        _write(world)
    assert all(router.message.severity is Severity.NO_ALARM for router in world.state.routers.values())
    assert world.state.run.message.severity is Severity.NO_ALARM


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


def test_a_configuration_file_that_changed_after_configure_is_named() -> None:
    """A file edited between Configure and Start raises an alarm at Start, on the server and on the run."""
    world = _configured(World())
    name = next(iter(world.servers))
    world.files[name] = (FILES[0], ("prepare-e20.xcfg", "changed"))
    world.start_run()
    world.settle()
    text = f"ECC server {name}: prepare-e20.xcfg changed after Configure: the electronics have the old one"
    assert world.state.servers[name].message.text == text
    assert world.state.servers[name].message.severity is Severity.MAJOR
    assert world.state.run.message.text == f"run 0: {text}"
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
