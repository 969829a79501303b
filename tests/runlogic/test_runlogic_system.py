"""Steps of the whole system: order of the groups, refusals, failures."""

from __future__ import annotations

import pytest

from ioc.model import EccReading, EccState, Operation, RunState, Severity, Transition
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.jobs import outcome
from ioc.runlogic.state import Server
from ioc.runlogic.subject import SYSTEM
from tests.runlogic.installation import topology
from tests.runlogic.peers import TABLE
from tests.runlogic.world import World

COBOS_FIRST = [["CoBo0", "CoBo1"], ["MuTAnT"]]
MUTANT_FIRST = [["MuTAnT"], ["CoBo0", "CoBo1"]]


@pytest.mark.parametrize(
    ("step", "state", "operation", "order"),
    [
        ("Describe", EccState.Idle, "Describe", COBOS_FIRST),
        ("Prepare", EccState.Described, "Prepare", MUTANT_FIRST),
        ("Configure", EccState.Prepared, "Configure", COBOS_FIRST),
        ("Reset", EccState.Described, "Undo", MUTANT_FIRST),
        ("Reset", EccState.Prepared, "Undo", MUTANT_FIRST),
        ("Reset", EccState.Ready, "Breakup", MUTANT_FIRST),
        ("Reset", EccState.Running, "Stop", MUTANT_FIRST),
        ("Reset", EccState.Paused, "Stop", MUTANT_FIRST),
    ],
)
def test_order_of_the_groups(step: str, state: EccState, operation: str, order: list[list[str]]) -> None:
    """A step sends to all of one group at once, to the later group only when the first reads the new state."""
    world = World()
    world.put_servers(state)
    token = world.system(step)
    for group in order:
        assert [effect.server for effect in world.pending if isinstance(effect, ef.SendTransition)] == group
        for name in group:
            assert token not in world.answers
            sent = next(effect for effect in world.pending if isinstance(effect, ef.SendTransition))
            assert sent.server == name
            world.perform(world.pending.index(sent))
    assert world.operations() == [(operation, name) for group in order for name in group]
    assert world.answers[token] == ef.Answer(token)
    after = TABLE[Operation(operation), state]
    assert {server.state for server in world.state.servers.values()} == {after}
    assert world.state.message.text == f"{step} done: every ECC server is {after.name}"


def test_the_order_is_data_of_the_topology() -> None:
    """Another order in the topology is obeyed."""
    installation = topology()
    order = installation.order.model_copy(update={"describe": tuple(reversed(installation.order.describe))})
    world = World(installation.model_copy(update={"order": order}))
    world.system("Describe")
    world.settle()
    assert world.operations() == [("Describe", "MuTAnT"), ("Describe", "CoBo0"), ("Describe", "CoBo1")]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("error", "ECC server CoBo1 failed Describe: no CoBo answers"),
        (
            "ignored",
            "ECC server CoBo1: Describe was reported as done, but the state is Idle instead of Described",
        ),
        ("unread", "ECC server CoBo1: Describe sent, but its state cannot be read: no answer"),
        ("slow", "ECC server CoBo1 did not answer Describe within 180 s"),
    ],
)
def test_a_failure_leaves_the_later_group_untouched(fault: str, sentence: str) -> None:
    """If one server fails, the failure is named, the later group is not touched and the rest is left where it is."""
    world = World()
    world.faults["CoBo1", "Describe"] = fault
    token = world.system("Describe")
    world.settle()
    answer = world.answers[token]
    assert answer.error == f"Describe failed: {sentence}; MuTAnT not touched"
    assert not answer.refused
    assert world.state.message.severity is Severity.MAJOR
    assert world.state.servers["CoBo1"].message.text == sentence
    assert world.state.servers["CoBo1"].message.severity is Severity.MAJOR
    assert world.servers["CoBo0"].state is EccState.Described
    assert ("Describe", "MuTAnT") not in world.operations()


def test_a_failure_that_names_its_server_is_not_named_again() -> None:
    """What the adapter says with name and address is the sentence."""
    error = "ECC server CoBo1 at 10.0.0.1:8083 failed Describe with code 1: no CoBo answers"
    reading = EccReading(EccState.Idle, Transition.NoTransition, 0.0)
    ended = ev.TransitionEnded("CoBo1", Operation.Describe, error, reading)
    assert outcome(ended, Server(wanted=EccState.Described)) == error


def test_a_lost_reply_is_no_failure_if_the_state_was_reached() -> None:
    """Only the state that is read afterwards counts."""
    world = World()
    world.faults["CoBo1", "Describe"] = "lost"
    token = world.system("Describe")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert len(world.sent) == 3


def test_a_state_that_could_not_be_read_after_a_transition_is_unknown() -> None:
    """What an unanswered transition did is not guessed: the state is Unknown until it is read again."""
    world = World()
    world.faults["CoBo1", "Describe"] = "unread"
    world.system("Describe")
    world.settle()
    assert world.state.servers["CoBo1"].state is EccState.Unknown
    again = world.server("CoBo1", "Describe")
    assert world.answers[again].refused, "it is never sent again without reading the state first"
    world.poll()
    assert world.state.servers["CoBo1"].state is EccState.Described
    assert world.state.servers["CoBo1"].message.severity is Severity.MAJOR, "the last transition failed"


@pytest.mark.parametrize(
    ("step", "states", "sentence"),
    [
        (
            "Describe",
            ("Idle", "Ready", "Idle"),
            "system cannot Describe: it is Mixed, but every ECC server must be Idle: CoBo1 is Ready",
        ),
        (
            "Prepare",
            ("Idle", "Idle", "Described"),
            "system cannot Prepare: it is Mixed, but every ECC server must be Described: CoBo0 and CoBo1 are Idle",
        ),
        (
            "Reset",
            ("Ready", "Ready", "Running"),
            "system cannot Reset: it is Mixed, but every ECC server must be in one state: MuTAnT is Running",
        ),
        (
            "Reset",
            ("Idle", "Idle", "Idle"),
            "system cannot Reset: every ECC server is Idle already",
        ),
        (
            "Reset",
            ("Off", "Off", "Off"),
            "; ".join(
                f"ECC server {name} cannot Reset: it is Off, a fault: restart the ECC server"
                for name in ("CoBo0", "CoBo1", "MuTAnT")
            ),
        ),
        (
            "Configure",
            ("Ready", "Ready", "Ready"),
            "; ".join(
                f"ECC server {name} cannot Configure: it is Ready, but must be Prepared"
                for name in ("CoBo0", "CoBo1", "MuTAnT")
            ),
        ),
    ],
)
def test_refusals_of_a_step(step: str, states: tuple[str, ...], sentence: str) -> None:
    """A step that the states do not allow is refused in a sentence that names who differs, and sends nothing."""
    world = World()
    for name, state in zip(world.servers, states, strict=True):
        world.put_servers(EccState[state], name)
    token = world.system(step)
    assert world.answers[token] == ef.Answer(token, sentence, refused=True)
    assert world.state.message.text == sentence
    assert world.log[-1] == ef.Log(Severity.MINOR, SYSTEM, sentence, world.log[-1].client)
    assert world.sent == []


def test_refused_while_a_server_cannot_be_read() -> None:
    """A step needs all servers."""
    world = World()
    world.servers["CoBo1"].reachable = False
    world.poll()
    token = world.system("Describe")
    assert world.answers[token].error == (
        "system cannot Describe: CoBo1 cannot be read, but every ECC server must be Online"
    )


def test_refused_while_a_server_is_busy() -> None:
    """A transition that somebody else started is waited for by the operator, not by us."""
    world = World()
    world.servers["CoBo1"].under_way = Operation.Describe
    world.poll()
    token = world.system("Describe")
    assert world.answers[token].error == "ECC server CoBo1 cannot Describe: it is Describing, but must be at rest"


def test_refused_without_a_configuration() -> None:
    """A server for which nothing was selected is named before anything is sent."""
    world = World(topology(config=False))
    token = world.system("Describe")
    assert "ECC server CoBo0 cannot Describe: no configuration is selected" in world.answers[token].error


def test_refused_while_another_step_is_under_way() -> None:
    """The system does one thing at a time."""
    world = World()
    world.system("Describe")
    token = world.system("Describe")
    assert world.answers[token].error == "system cannot Describe: Describe is under way"
    world.settle()


@pytest.mark.parametrize("step", ["Describe", "Prepare", "Configure", "Reset"])
def test_refused_while_a_run_is_open(step: str) -> None:
    """Ending a run is what Stop is for."""
    world = World()
    world.start_run()
    token = world.system(step)
    assert world.answers[token].error == f"system cannot {step}: run 0 is Running: it must be stopped first"
    assert world.state.run.state is RunState.Running


def test_nothing_is_done_before_the_database_was_read() -> None:
    """Whether a run is open, and which configurations were chosen, is known only then."""
    world = World(fresh=False)
    world.poll()
    for token in (
        world.system("Describe"),
        world.run("Start"),
        world.run("Stop"),
        world.organize("data0"),
        world.title("x"),
        world.experiment("e21"),
        world.select("CoBo0", "a/b/c"),
    ):
        assert world.answers[token].refused
        assert "the run database has not been read yet" in world.answers[token].error
    assert "the run database has not been read yet" in world.blocked_by()
    world.routers["data0"].staged.append(("a.graw", None))
    world.poll_router("data0")
    assert any("data0 is Dirty with 1 .graw file" in reason for reason in world.blocked_by())
    assert not any("there was no run" in reason for reason in world.blocked_by()), "that is not known"
    world.restore()
    said = (world.state.message, world.state.run.message)
    assert all(note.past and note.text.startswith("at ") for note in said), "it is not true any more"


def test_a_single_server_can_be_stopped_even_without_the_database() -> None:
    """The database never stands in the way of trouble-shooting."""
    world = World(fresh=False)
    world.put_servers(EccState.Running)
    token = world.server("CoBo0", "Stop")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert world.state.servers["CoBo0"].transition is Transition.NoTransition
