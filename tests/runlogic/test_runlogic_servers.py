"""One ECC server alone: commands, changes by others, configurations."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from ioc.model import ConfigChoice, EccState, Operation, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.subject import RUN
from tests.runlogic.installation import topology
from tests.runlogic.peers import TABLE
from tests.runlogic.world import World


@pytest.mark.parametrize("action", list(Operation))
@pytest.mark.parametrize("state", [state for state in EccState if state is not EccState.Unknown])
def test_every_command_in_every_state(action: Operation, state: EccState) -> None:
    """A command is sent exactly where the table has it; anywhere else it is refused, naming server and states."""
    world = World()
    world.put_servers(state, "CoBo0")
    token = world.server("CoBo0", action.value)
    world.settle()
    back = {"Described": "Undo", "Prepared": "Undo", "Ready": "Breakup", "Running": "Stop", "Paused": "Stop"}
    name = back.get(state.name) if action is Operation.Reset else action.value
    after = TABLE.get((Operation(name), state)) if name else None
    if after is not None:
        assert world.operations() == [(name, "CoBo0")]
        assert world.answers[token] == ef.Answer(token)
        assert world.servers["CoBo0"].state is after
    else:
        assert world.sent == []
        assert world.answers[token].refused
        assert world.answers[token].error.startswith(f"ECC server CoBo0 cannot {action}: it is {state.name}")
        assert world.state.servers["CoBo0"].message.text == world.answers[token].error


@pytest.mark.parametrize(
    ("prepare", "action", "sentence"),
    [
        ("offline", "Describe", "ECC server CoBo0 cannot Describe: it is Offline, but must be Online"),
        ("busy", "Describe", "ECC server CoBo0 cannot Describe: it is Preparing, but must be at rest"),
        ("idle", "Prepare", "ECC server CoBo0 cannot Prepare: it is Idle, but must be Described"),
        ("idle", "Stop", "ECC server CoBo0 cannot Stop: it is Idle, but must be Running or Paused"),
    ],
)
def test_refusals(prepare: str, action: str, sentence: str) -> None:
    """A refusal says what the server is and what it must be."""
    world = World()
    world.servers["CoBo0"].reachable = prepare != "offline"
    world.servers["CoBo0"].under_way = Operation.Prepare if prepare == "busy" else None
    world.poll()
    token = world.server("CoBo0", action)
    assert world.answers[token] == ef.Answer(token, sentence, refused=True)


def test_resume_is_refused_where_it_would_crash_the_server() -> None:
    """Resume needs the topology's word that this server survives it."""
    world = World(topology(resume=False))
    world.put_servers(EccState.Paused)
    token = world.server("CoBo0", "Resume")
    assert world.answers[token].error == (
        "ECC server CoBo0 cannot Resume: the server crashes on it unless the topology says supports_resume: true"
    )
    assert world.sent == []


def test_refused_while_the_system_is_under_way() -> None:
    """A single command does not cut into a step of the system."""
    world = World()
    world.system("Describe")
    token = world.server("MuTAnT", "Describe")
    assert world.answers[token].error == "ECC server MuTAnT cannot Describe: Describe of the system is under way"
    world.settle()


def test_a_start_is_not_undone_between_its_groups() -> None:
    """While the later group still starts, nobody stops a server of the first one alone."""
    world = World()
    world.ready()
    start = world.run("Start")
    while ("Start", "MuTAnT") not in world.operations():
        world.perform()
    token = world.server("CoBo0", "Stop")
    assert world.answers[token].refused
    world.settle()
    assert world.answers[start] == ef.Answer(start)


def test_starting_alone_opens_no_run() -> None:
    """The message says that the data belong to no run, and BlockedBy says what to do."""
    world = World()
    world.ready()
    world.server("CoBo0", "Start")
    world.settle()
    assert world.state.run.state is RunState.Stopped
    assert world.database.runs == {}
    assert world.state.servers["CoBo0"].message.text == (
        "Start done: no run is open, it writes data that belong to no run"
    )
    assert "ECC server CoBo0 is Running although no run is open: stop it, or Reset the system" in world.blocked_by()
    token = world.run("Stop")
    assert world.answers[token].error == (
        "no run is open: there is nothing to stop; CoBo0 can be stopped one by one or with Reset"
    )


def test_stopping_alone_closes_no_run() -> None:
    """The run stays open, and the message says so."""
    world = World()
    world.start_run()
    world.server("CoBo0", "Stop")
    world.settle()
    assert world.state.servers["CoBo0"].message.text == "Stop done: run 0 stays open"
    assert world.state.run.state is RunState.Running


@pytest.mark.parametrize("state", [EccState.Ready, EccState.Prepared, EccState.Off])
def test_a_server_that_leaves_running_raises_an_alarm(state: EccState) -> None:
    """A change that we did not ask for is logged on the run and alarms server and run."""
    world = World()
    world.start_run()
    world.put_servers(state, "CoBo1")
    text = f"ECC server CoBo1 changed from Running to {state.name} without a command of this IOC"
    if state is EccState.Off:
        text += ", a fault: restart the ECC server"
    assert world.state.servers["CoBo1"].message.text == text
    assert world.state.servers["CoBo1"].message.severity is Severity.MAJOR
    assert world.state.run.message.text == f"run 0 is Running, but {text}"
    assert world.record.message.endswith(text)
    assert world.state.run.message.severity is Severity.MAJOR
    assert ef.Log(Severity.MAJOR, RUN, f"run 0: {text}") in world.log


def test_a_server_that_comes_back_without_running_raises_an_alarm() -> None:
    """A server that was restarted during the run is Online again, but takes no data."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].reachable = False
    world.poll_server("CoBo1")
    assert world.state.run.message.severity is Severity.MAJOR
    world.servers["CoBo1"].reachable = True
    world.put_servers(EccState.Idle, "CoBo1")
    text = "ECC server CoBo1 is Online again, but Idle: it takes no data"
    assert world.state.servers["CoBo1"].message.text == text
    assert world.state.servers["CoBo1"].message.severity is Severity.MAJOR
    assert world.state.run.message.text == f"run 0 is Running, but {text}"


def test_what_happened_to_a_server_in_a_run_stays_with_the_run() -> None:
    """It was killed in a pause and came back Running: no alarm is left, and the row tells both, with times."""
    world = World()
    world.start_run()
    world.run("Pause")
    world.settle()
    world.servers["CoBo1"].reachable = False
    world.poll()
    assert world.state.run.message.severity is Severity.MAJOR
    world.servers["CoBo1"].reachable = True
    world.poll()
    assert world.state.run.message.text == "run 0 is Paused"
    world.run("Stop")
    world.settle()
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert re.fullmatch(
        r"\S+ ECC server CoBo1 at 127.0.0.1:8083 does not answer \(\S+: ECC server CoBo1 is Online again, Paused\)",
        world.record.message,
    )


def test_a_server_that_comes_back_running_is_no_alarm() -> None:
    """A lost connection alone ends no run."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].reachable = False
    world.poll_server("CoBo1")
    world.servers["CoBo1"].reachable = True
    world.poll_server("CoBo1")
    assert world.state.servers["CoBo1"].message.text == "Online again"
    assert world.state.run.state is RunState.Running


def test_a_change_outside_a_run_is_said_without_alarm() -> None:
    """Another client may prepare the system; Off is a fault at any time."""
    world = World()
    world.put_servers(EccState.Described, "CoBo0")
    assert world.state.servers["CoBo0"].message.severity is Severity.NO_ALARM
    assert "without a command of this IOC" in world.state.servers["CoBo0"].message.text
    world.put_servers(EccState.Off, "CoBo0")
    assert world.state.servers["CoBo0"].message.severity is Severity.MAJOR
    assert "a fault: restart the ECC server" in world.state.servers["CoBo0"].message.text


def test_our_own_change_is_nobody_elses() -> None:
    """A poll that sees the new state before the reply comes does not call it somebody else's."""
    world = World()
    world.server("CoBo0", "Describe")
    world.servers["CoBo0"].state = EccState.Described
    world.poll_server("CoBo0")
    assert not any("another client" in line.text for line in world.log)


def test_a_description_that_differs_from_the_topology_is_a_warning() -> None:
    """Describe succeeds, and the message names both lists of sources."""
    world = World()
    token = world.server("CoBo0", "Describe")
    world.pending.clear()
    world.servers["CoBo0"].state = EccState.Described
    reading = world.servers["CoBo0"].reading(world.now)
    world.feed(ev.TransitionEnded("CoBo0", Operation.Describe, "", reading, sources=("CoBo[0]", "CoBo[7]")))
    assert world.answers[token] == ef.Answer(token)
    note = world.state.servers["CoBo0"].message
    assert note.severity is Severity.MINOR
    assert note.text == (
        "Describe done, but the hardware description has CoBo[0] and CoBo[7] where the topology has CoBo[0]"
    )


def test_a_configuration_is_remembered() -> None:
    """A selected configuration is stored, survives a restart and is what the next transition carries."""
    world = World()
    token = world.select("CoBo0", "back/e21/e21")
    assert world.answers[token] == ef.Answer(token)
    assert world.state.servers["CoBo0"].message.text == (
        "configuration back/e21/e21 selected, which the server does not list"
    )
    world.restart()
    world.server("CoBo0", "Describe")
    assert world.sent[-1].config == ConfigChoice("back", "e21", "e21")
    world.settle()


def test_a_listed_configuration_is_selected_without_a_warning() -> None:
    """Only a name that the server does not offer is worth a warning."""
    world = World()
    world.feed(ev.ConfigsRead("CoBo0", (ConfigChoice("back", "e21", "e21"),)))
    world.select("CoBo0", "back/e21/e21")
    assert world.state.servers["CoBo0"].message.text == "configuration back/e21/e21 selected"


@pytest.mark.parametrize(
    ("config", "warning"),
    [
        ("2.5_bar/e20/e20", "look for 2 instead of 2.5_bar"),
        ("front/e20.xcfg/e20.xcfg", "look for e20 instead of e20.xcfg"),
        ("front/a.b/c.d.e", "look for a and c.d instead of a.b and c.d.e"),
    ],
)
def test_a_name_that_the_server_cannot_load_is_a_warning_when_it_is_selected(config: str, warning: str) -> None:
    """The server lists a name with a dot, but cuts it there when it looks for the file."""
    world = World()
    world.feed(ev.ConfigsRead("CoBo0", (ConfigChoice.parse(config),)))
    token = world.select("CoBo0", config)
    assert world.answers[token] == ef.Answer(token)
    assert world.state.servers["CoBo0"].message.text.endswith(
        f"the server cuts a name at its last dot: it will {warning}"
    )
    assert world.state.servers["CoBo0"].message.severity is Severity.MINOR
    world.select("CoBo0", "front/e20/e20")
    assert world.state.servers["CoBo0"].message.severity is Severity.NO_ALARM, "there is nothing to warn of any more"


@pytest.mark.parametrize(
    ("config", "names"),
    [("front/e 20/e20", "“e 20”"), ("a b/c d/c d", "“a b” and “c d”"), ("a b.c/e20/e20", "“a b.c”")],
)
def test_a_name_with_a_space_is_a_warning_when_it_is_selected(config: str, names: str) -> None:
    """The server lists such a name, but then takes the path for an invalid URL and cannot load the file."""
    world = World()
    world.feed(ev.ConfigsRead("CoBo0", (ConfigChoice.parse(config),)))
    token = world.select("CoBo0", config)
    assert world.answers[token] == ef.Answer(token)
    message = world.state.servers["CoBo0"].message
    assert f"; the server cannot load a name with a space: rename {names}" in message.text
    assert message.severity is Severity.MINOR


@pytest.mark.parametrize("state", [EccState.Described, EccState.Prepared, EccState.Ready])
def test_a_configuration_acts_from_the_next_step_on(state: EccState) -> None:
    """The selection goes with every operation, so it needs no Reset, and the message says so."""
    world = World()
    world.put_servers(state)
    world.select("CoBo0", "back/e21/e21")
    assert world.state.servers["CoBo0"].message.text == (
        "configuration back/e21/e21 selected, which the server does not list; "
        f"the server is {state.name}: it takes effect with the next step"
    )


def test_a_list_of_configurations_that_could_not_be_read_is_no_complaint_when_it_can() -> None:
    """The error is said once, and replaced when the list is read."""
    world = World()
    world.log.clear()
    for _ in range(3):
        world.feed(ev.ConfigsLost("CoBo0", "ECC server CoBo0: its list of configurations is no XML"))
    assert world.state.servers["CoBo0"].message.text == "ECC server CoBo0: its list of configurations is no XML"
    assert world.state.servers["CoBo0"].message.severity is Severity.MINOR
    assert len(world.log) == 1
    world.feed(ev.ConfigsRead("CoBo0", (ConfigChoice("back", "e21", "e21"),)))
    assert world.state.servers["CoBo0"].message.text == "list of configurations read again"
    assert world.state.servers["CoBo0"].message.severity is Severity.NO_ALARM


def test_an_empty_list_of_configurations_is_a_warning_until_it_has_some() -> None:
    """A server whose folder is not there answers with an empty list and no error: said once."""
    world, offers = World(), (ConfigChoice("back", "e21", "e21"),)
    world.feed(ev.ConfigsRead("CoBo0", offers))
    world.log.clear()
    for _ in range(3):
        world.feed(ev.ConfigsRead("CoBo0", ()))
    message = world.state.servers["CoBo0"].message
    assert message.text == "the server lists no configuration: is its folder (--config-repo-url) there?"
    assert message.severity is Severity.MINOR
    assert len(world.log) == 1
    world.feed(ev.ConfigsRead("CoBo0", offers))
    assert world.state.servers["CoBo0"].message.text == "list of configurations read again"
    assert world.state.servers["CoBo0"].message.severity is Severity.NO_ALARM


def test_a_message_about_a_state_of_the_past_begins_with_its_time() -> None:
    """After the system has moved on, nothing says any more that every server is Ready; a message may be days old."""
    world = World()
    for step in ("Describe", "Prepare", "Configure"):
        world.system(step)
        world.settle()
    assert world.state.message.text == "Configure done: every ECC server is Ready"
    world.run("Start")
    world.settle()
    at = datetime.fromtimestamp(world.state.message.at).astimezone()
    assert world.state.message.text == f"at {at:%Y-%m-%d %H:%M:%S}: Configure done: every ECC server is Ready"
    world.run("Stop")
    world.settle()
    world.put_servers(EccState.Idle)
    assert world.state.message.text.count("at ") == 1
    assert world.state.servers["CoBo0"].message.text.endswith("without a command of this IOC")


def test_a_failed_step_that_was_mended_is_no_alarm_any_more() -> None:
    """The operator took the server there alone: what failed is told as past."""
    world = World()
    world.faults["CoBo1", "Describe"] = "error"
    world.system("Describe")
    world.settle()
    assert world.state.message.severity is Severity.MAJOR
    for name in ("CoBo1", "MuTAnT"):
        world.server(name, "Describe")
        world.settle()
    assert world.state.message.text.startswith("at ")
    assert world.state.message.severity is Severity.NO_ALARM


def test_a_configuration_cannot_change_under_a_transition_or_a_run() -> None:
    """The refusal says what the server does."""
    world = World()
    world.server("CoBo0", "Describe")
    busy = world.select("CoBo0", "a/b/c")
    assert world.answers[busy].error == "configuration of ECC server CoBo0 cannot be changed: it is Describing"
    world.settle()
    world.start_run()
    used = world.select("CoBo0", "a/b/c")
    assert world.answers[used].error == "configuration of ECC server CoBo0 cannot be changed: it is used by run 0"


def test_the_run_records_what_the_server_was_given() -> None:
    """A configuration selected after Configure is not that of the run: the electronics have the older one."""
    world = World()
    for step in ("Describe", "Prepare", "Configure"):
        world.system(step)
        world.settle()
    world.select("CoBo0", "other/other/other")
    world.run("Start")
    world.settle()
    saved = next(effect for effect in world.effects if isinstance(effect, ef.SaveRunConfigs))
    assert {config.ecc_server: str(config.config) for config in saved.configs}["CoBo0"] == "front/e20/e20"
    assert world.record.config_name == "front/e20/e20"
    assert all(config.config_digest == "d1g35t" for config in saved.configs)
    world.run("Stop")
    world.settle()
    copied = {effect.server: str(effect.config) for effect in world.effects if isinstance(effect, ef.BackUp)}
    assert copied == {"CoBo0": "front/e20/e20", "CoBo1": "front/e20/e20"}


def test_selecting_a_configuration_does_not_hide_a_failure() -> None:
    """The server's message stays in alarm while its last transition failed."""
    world = World()
    world.faults["CoBo0", "Describe"] = "error"
    world.server("CoBo0", "Describe")
    world.settle()
    world.select("CoBo0", "a/b/c")
    assert world.state.servers["CoBo0"].message.severity is Severity.MAJOR
