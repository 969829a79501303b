"""What is refused, with which words, and that nothing changes by it."""

from __future__ import annotations

from tests.e2e.plant import COBOS, MUTANT, PREFIX, ROUTERS, SERVERS, Plant, eventually


async def test_start_names_every_reason_at_once(plant: Plant) -> None:
    """A start from Idle beside a stray file is refused with a sentence for each obstacle, before and after."""
    await plant.control(router="rs", do="stray", file="old.graw", size=1000)
    for name in ROUTERS:
        await plant.until(f"Router:{name}:Online", "Online")
    for name in SERVERS:
        await plant.until(f"ECC:{name}:State", "Idle")
    await plant.until("Router:rs:Clean", "Dirty")
    assert not await plant.put("Run:Start")
    message = await plant.text("Run:Message")
    assert message.startswith("run 0 cannot start: ")
    for name in SERVERS:
        assert f"ECC server {name} is Idle, but must be Ready" in message
    assert "router rs is Dirty with 1 .graw file" in message
    assert (await plant.text("Run:BlockedBy")).count("\\n") == len(SERVERS)
    assert await plant.get("Run:State") == "Stopped"
    assert await plant.get("Run:NextNumber") == "0"
    assert plant.query("SELECT count(*) FROM runs") == [(0,)]
    puts = "SELECT result, message FROM puts WHERE pv = ?"
    await eventually(lambda: plant.query(puts, f"{PREFIX}Run:Start"))
    assert plant.query(puts, f"{PREFIX}Run:Start") == [("refused", message)]


REFUSED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Run:Class", "9", ()),
    ("Run:Class", "Holiday", ()),
    ("ECC:North:Config", "only/two", ("-S",)),
    ("ECC:North:Config", "a/b/<c>", ("-S",)),
    ("ECC:North:ConfigIndex", "99", ()),
    ("ECC:North:State", "Running", ()),
    ("Experiment", "../etc", ("-S",)),
    ("Obs:beam_energy:Value", "nan", ()),
    ("Obs:pressure:Samples", "5", ()),
    ("ECC:North:Resume", "1", ()),
    ("Run:Stop", "1", ()),
    ("Run:Pause", "1", ()),
    ("Prepare", "1", ()),
    ("Reset", "1", ()),
    ("Run:SameAsPrevious", "1", ()),
    ("Router:rn:Organize", "1", ()),
)


async def test_a_refused_put_fails_and_changes_nothing(plant: Plant) -> None:
    """Each put that cannot be granted fails at the client and leaves value and alarm of the PV as they were."""
    for pv, value, options in REFUSED:
        before = [await plant.get(pv), await plant.severity(pv)]
        assert not await plant.put(pv, value, *options), pv
        assert [await plant.get(pv), await plant.severity(pv)] == before, pv
    assert "Traceback" not in plant.log_text()


async def test_a_failed_step_halts_before_the_later_group(plant: Plant) -> None:
    """When a CoBo fails to Describe, the MuTAnT is not touched, the failure is named, the other CoBos stay."""
    await plant.control(ecc="South-2", do="fail", operation="Describe", message="no power\non slot 3")
    assert not await plant.put("Describe")
    message = await plant.text("Message")
    assert "South-2" in message
    assert "no power" in message
    assert f"{MUTANT} not touched" in message
    assert [await plant.get(f"ECC:{name}:State") for name in SERVERS] == ["Described", "Idle", "Described", "Idle"]
    assert await plant.severity("ECC:South-2:Message") == "MAJOR"
    assert not await plant.put("Prepare"), "Mixed is refused"
    mixed = await plant.text("Message")
    assert "Mixed" in mixed
    assert "South-2" in mixed
    assert await plant.put("ECC:South-2:Describe")
    assert await plant.put(f"ECC:{MUTANT}:Describe")
    assert await plant.put("Prepare"), await plant.text("Message")


async def test_an_ignored_transition_is_no_success(plant: Plant) -> None:
    """The server answers 0 to a transition that another client made void: the state decides, and the put fails."""
    await plant.control(ecc="North", do="delay", operation="GetState", seconds=0.0)
    await plant.control(ecc="North", do="fail", operation="Describe", message="busy elsewhere")
    assert not await plant.put("ECC:North:Describe")
    assert "busy elsewhere" in await plant.text("ECC:North:Message")
    assert await plant.get("ECC:North:State") == "Idle"


async def test_commands_refused_while_a_run_is_open(ready: Plant) -> None:
    """Start, Reset, Organize, Config and Experiment are refused while a run is open, each naming the run."""
    assert await ready.put("Run:Start")
    for pv, message, value in (
        ("Run:Start", "Run:Message", "1"),
        ("Reset", "Message", "1"),
        ("Experiment", "Message", "other"),
        ("Router:rn:Organize", "Router:rn:Message", "1"),
        ("ECC:North:Config", "ECC:North:Message", "plain/p1/c2"),
    ):
        options = ("-S",) if not value.isdigit() else ()
        assert not await ready.put(pv, value, *options), pv
        assert "run 0" in await ready.text(message), pv
    assert await ready.put("Run:Stop")


async def test_start_that_fails_is_rolled_back(ready: Plant) -> None:
    """When a CoBo fails to Start, those that run are stopped, files are filed, the number is kept, Reset clears it."""
    await ready.control(ecc="East_3", do="fail", operation="Start", message="clock lost")
    assert not await ready.put("Run:Start")
    assert await ready.get("Run:State") == "Failed"
    assert await ready.severity("Run:State") == "MAJOR"
    message = await ready.text("Run:Message")
    assert "East_3" in message
    assert "clock lost" in message
    assert [await ready.get(f"ECC:{name}:State") for name in (*COBOS, MUTANT)] == ["Ready"] * 4
    await eventually(lambda: ready.query("SELECT run_number, state FROM runs") == [(0, "failed")])
    assert all("run_0000" in path for path in ready.graw_files())
    assert [await ready.get(f"Router:{name}:Clean") for name in ROUTERS] == ["Clean"] * 4
    assert await ready.put("Run:Start"), await ready.text("Run:Message")
    assert await ready.get("Run:Number") == "1"
    assert await ready.put("Run:Stop")
