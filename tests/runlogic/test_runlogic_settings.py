"""What the operator writes down: experiment, title, class."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ioc.model import EccState, Operation, RunClass, RunId, RunQuality, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from tests.runlogic.world import OPERATOR, World


def test_an_experiment_has_numbers_and_titles_of_its_own() -> None:
    """Each experiment counts from 0, and goes on where it was when it comes back."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.title("for the old one")
    world.put_servers(EccState.Idle)
    token = world.experiment("e21")
    assert token not in world.answers
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert (world.state.experiment, world.state.run.number, world.state.run.title) == ("e21", -1, "")
    world.experiment("e20")
    world.settle()
    assert (world.state.experiment, world.state.run.number) == ("e20", 0)
    world.restart()
    assert world.state.experiment == "e20"


def test_the_class_of_another_experiment_outlives_a_restart() -> None:
    """An experiment that is entered again has the class of its last run, after a restart too."""
    world = World()
    world.ask(ev.SetClass(OPERATOR, RunClass.Beam))
    world.start_run()
    world.run("Stop")
    world.settle()
    world.put_servers(EccState.Idle)
    world.experiment("e21")
    world.settle()
    world.ask(ev.SetClass(OPERATOR, RunClass.Pulser))
    world.experiment("e20")
    world.settle()
    assert world.state.run.run_class is RunClass.Beam
    world.restart()
    assert world.state.run.run_class is RunClass.Beam


def test_an_experiment_that_cannot_be_opened_changes_nothing() -> None:
    """The database's trouble is the answer."""
    world = World()
    world.faults["database", "experiment"] = "error"
    token = world.experiment("e21")
    world.settle()
    assert world.answers[token].error == "experiment e21 cannot be opened: the database is locked"
    assert world.state.message.severity is Severity.MAJOR
    assert world.state.experiment == "e20"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "experiment name has 0 characters, but must have 1 to 100 (200 bytes of UTF-8)"),
        (
            "../e20",
            (
                "experiment name '../e20' is also a directory: it must be printable, without '/', "
                "not start with '.' or '-', and have no space at either end"
            ),
        ),
    ],
)
def test_a_name_that_is_no_directory_is_refused(name: str, sentence: str) -> None:
    """The name becomes a directory on every router's host."""
    world = World()
    token = world.experiment(name)
    assert world.answers[token] == ef.Answer(token, sentence, refused=True)


def test_refused_unless_every_server_is_idle() -> None:
    """All who are not are named, a busy one too."""
    world = World()
    world.put_servers(EccState.Ready, "CoBo0")
    world.servers["CoBo1"].under_way = Operation.Describe
    world.servers["MuTAnT"].reachable = False
    world.poll()
    token = world.experiment("e21")
    assert world.answers[token].error == (
        "experiment cannot be changed: CoBo0 is Ready, CoBo1 is Describing and MuTAnT is Unknown, "
        "but every ECC server must be Idle and at rest"
    )


def test_refused_while_a_run_is_open_or_something_is_under_way() -> None:
    """The run belongs to its experiment."""
    world = World()
    world.experiment("e21")
    twice = world.experiment("e22")
    assert world.answers[twice].error == "experiment cannot be changed: another experiment is being opened"
    world.settle()
    world.system("Describe")
    step = world.experiment("e22")
    assert world.answers[step].error == "experiment cannot be changed: Describe is under way"
    world.settle()
    world.start_run()
    token = world.experiment("e22")
    assert world.answers[token].error == ("experiment cannot be changed: run 0 is Running: it must be stopped first")


def test_title_and_class_of_the_open_run_are_stored_with_it() -> None:
    """What is typed during a run is that of the run."""
    world = World()
    world.start_run()
    world.title("during")
    world.ask(ev.SetClass(OPERATOR, RunClass.Junk))
    assert (world.record.title, world.record.run_class) == ("during", RunClass.Junk)
    world.restart()
    world.settle()
    assert (world.state.run.title, world.state.run.run_class) == ("during", RunClass.Junk)


def test_title_and_class_of_the_next_run_survive_a_restart() -> None:
    """What was typed between runs is remembered."""
    world = World()
    world.title("next")
    world.ask(ev.SetClass(OPERATOR, RunClass.Pulser))
    world.restart()
    assert (world.state.run.title, world.state.run.run_class) == ("next", RunClass.Pulser)


def test_same_as_previous() -> None:
    """Title and class come from the run before; without one it is refused."""
    world = World()
    nothing = world.copy_previous(None)
    assert world.answers[nothing].error == "nothing to copy: experiment e20 has no run before this one"
    world.title("alpha")
    world.ask(ev.SetClass(OPERATOR, RunClass.Beam))
    world.start_run()
    world.run("Stop")
    world.settle()
    world.ask(ev.SetClass(OPERATOR, RunClass.Testing))
    token = world.copy_previous(world.record)
    assert world.answers[token] == ef.Answer(token)
    assert (world.state.run.title, world.state.run.run_class) == ("alpha", RunClass.Beam)
    assert world.state.run.message.text == "title and class copied from run 0"


def test_copying_does_not_hide_an_alarm_of_the_run() -> None:
    """A server that left Running is still in the alarm after SameAsPrevious."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Ready, "CoBo0")
    world.copy_previous(world.record)
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.run.state is RunState.Running


def test_the_number_of_the_next_run_can_be_set() -> None:
    """It survives a restart, is what Start uses, and belongs to the experiment."""
    world = World()
    command = _number(world, 12)
    assert world.answers[command] == ef.Answer(command)
    assert world.state.run.next_number == 12
    world.restart()
    assert world.state.run.next_number == 12
    world.start_run()
    assert world.record.run == RunId("e20", 12)
    refused = _number(world, 20)
    assert world.answers[refused].refused
    world.run("Stop")
    world.settle()
    assert world.state.run.next_number == 13
    world.put_servers(EccState.Idle)
    world.experiment("e99")
    world.settle()
    assert world.state.run.next_number == 0


def test_a_slip_of_the_hand_can_be_taken_back_until_a_run_has_the_number() -> None:
    """A number that no run has may be used later, but none that a run has, nor any below it."""
    world = World()
    negative = _number(world, -1)
    assert world.answers[negative].error == "the number of the next run cannot be -1: it must be 0 or higher"
    _number(world, 1200)
    assert world.answers[_number(world, 120)].error == ""
    assert world.state.run.next_number == 120
    world.start_run()
    world.run("Stop")
    world.settle()
    _number(world, 1200)
    world.restart()
    for number in (119, 120):
        assert world.answers[command := _number(world, number)] == ef.Answer(
            command,
            f"the number of the next run cannot be {number}: it must be higher than that of run 120",
            refused=True,
        )
    assert world.state.run.next_number == 1200
    _number(world, 121)
    world.start_run()
    assert world.record.run == RunId("e20", 121)


def test_a_number_after_which_none_would_fit_a_pv_is_refused() -> None:
    """It must leave room for all runs to come."""
    world = World()
    too_large = _number(world, 1_000_000_000)
    assert world.answers[too_large] == ef.Answer(
        too_large, "the number of the next run cannot be 1000000000: it must be 999999999 or lower", refused=True
    )
    assert world.state.run.next_number == 0
    largest = _number(world, 999_999_999)
    assert world.answers[largest] == ef.Answer(largest)


def _number(world: World, number: int) -> ev.Command:
    return world.ask(ev.SetNextNumber(OPERATOR, number))


def test_a_start_is_blocked_while_the_database_cannot_be_written() -> None:
    """CanStart says so before a number is asked for, and no longer when it can."""
    world = World()
    world.ready()
    world.feed(ev.DatabaseProblem("it is locked by another program"))
    sentence = "the run database cannot be written: it is locked by another program"
    assert world.blocked_by() == (sentence,)
    token = world.run("Start")
    assert world.answers[token] == ef.Answer(token, f"run 0 cannot start: {sentence}", refused=True)
    world.feed(ev.DatabaseProblem(""))
    assert world.blocked_by() == ()


def test_the_verdict_is_on_the_open_run_or_the_last_one() -> None:
    """It is stored with its run, whose history has who changed what; the next run begins without one."""
    world = World()
    world.start_run()
    comment = world.ask(ev.SetComment(OPERATOR, "beam\nunstable"))
    quality = world.ask(ev.SetQuality(OPERATOR, RunQuality.Check))
    assert world.answers[comment] == ef.Answer(comment)
    assert world.answers[quality] == ef.Answer(quality)
    world.run("Stop")
    world.settle()
    world.ask(ev.SetQuality(OPERATOR, RunQuality.Bad))
    world.ask(ev.SetQuality(OPERATOR, RunQuality.Bad))  # changes nothing
    assert (world.record.comment, world.record.quality) == ("beam\nunstable", RunQuality.Bad)
    run = world.record.run
    assert [(line.text, line.client, line.run) for line in world.log if line.client == OPERATOR and line.run] == [
        ("run 0: comment changed from '' to 'beam\\nunstable'", OPERATOR, run),
        ("run 0: quality changed from Unknown to Check", OPERATOR, run),
        ("run 0: quality changed from Check to Bad", OPERATOR, run),
    ]
    world.restart()
    assert (world.state.run.record, world.record.quality) == (world.record, RunQuality.Bad)
    world.copy_previous(world.record)
    world.start_run()
    assert (world.record.run.number, world.record.comment, world.record.quality) == (1, "", RunQuality.Unknown)


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        ("x" * 2001, "comment has 2001 bytes of UTF-8, but must have at most 2000"),
        ("ü" * 1001, "comment has 2002 bytes of UTF-8, but must have at most 2000"),
        ("a\x07", "comment has the character '\\x07', but must be printable text; line breaks are \\n"),
    ],
)
def test_a_comment_that_cannot_be_stored_is_refused(comment: str, sentence: str) -> None:
    """The refusal says how long it is and may be, or what is wrong in it; the comment stays as it was."""
    world = World()
    world.start_run()
    world.ask(ev.SetComment(OPERATOR, "ü" * 1000))
    token = world.ask(ev.SetComment(OPERATOR, comment))
    assert world.answers[token] == ef.Answer(token, sentence, refused=True)
    assert world.record.comment == "ü" * 1000


@pytest.mark.parametrize(
    ("command", "what"),
    [(ev.SetComment(OPERATOR, "good"), "comment"), (ev.SetQuality(OPERATOR, RunQuality.Good), "quality")],
)
def test_there_is_no_verdict_before_the_first_run(command: ev.Command, what: str) -> None:
    """It belongs to a run, so without one it is refused, also in an experiment that was just entered."""
    world = World()
    world.ask(command)
    sentence = f"{what} cannot be set: experiment e20 has no run yet"
    assert world.answers[command] == ef.Answer(command, sentence, refused=True)
    assert world.state.run.message.text == sentence


def test_what_is_edited_in_the_database_is_taken_over() -> None:
    """The last run shows what another program has made of it; the open run and other runs are not touched."""
    world = World()
    world.start_run()
    edited = replace(world.record, title="edited", quality=RunQuality.Bad)
    world.feed(ev.RunEdited(edited))
    assert world.state.run.record == world.record
    world.run("Stop")
    world.settle()
    world.title("of the next run")
    edited = replace(world.record, title="edited", run_class=RunClass.Junk, comment="no", quality=RunQuality.Bad)
    world.feed(ev.RunEdited(replace(edited, run=RunId("e20", 7))))
    assert world.state.run.record == world.record
    world.feed(ev.RunEdited(edited))
    assert world.state.run.record == edited
    assert (world.state.run.title, world.state.run.run_class) == ("of the next run", RunClass.Testing)
