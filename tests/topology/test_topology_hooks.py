"""Hooks in a topology: what is refused, what is warned of, and what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.model import HookPoint
from ioc.topology.load import examine, parse
from tests.topology.test_topology_load import GOOD, problems_of

USUAL = "name: hv, run: [hv, on], host: local, timeout: 5, required: true"

BROKEN = [
    # what is replaced, by what, part of the message
    ("name: hv", "name: h v", "before_start[0].name is 'h v', but must be 1 to 30 of"),
    ("name: hv, ", "", "hooks.before_start[0] has no 'name', but must have one"),
    ("[hv, on]", "hv on", "hooks.before_start[0].run is 'hv on', but must be a list"),
    ("[hv, on]", "[]", "hooks.before_start[0].run is empty, but must have at least one entry"),
    ("[hv, on]", "[hv, 3]", "hooks.before_start[0].run[1] is 3, but must be text (put it in quotes)"),
    ("[hv, on]", "[bin/hv]", "run[0] is 'bin/hv', but must be a program: a name, or a path that begins with / or ~/"),
    ("[hv, on]", "['', on]", "run[0] is '', but must be a program: a name, or a path that begins with / or ~/"),
    ("[hv, on]", "[-x]", "run[0] is '-x', but must be a program: a name, or a path that begins with / or ~/"),
    ("[hv, on]", r'["hv", "a\0b"]', "run[1] is 'a\\x00b', but must be a text without the character NUL"),
    ("run: [hv, on], ", "", "has neither run nor post, but must have one of run and post"),
    ("host: local", "post: 'http://a/'", "has run and post, but must have one of run and post"),
    ("run: [hv, on]", "post: 'http://a/'", "has post and host, but must have host only with run"),
    ("host: local", "host: 10.0.0.9", "host is '10.0.0.9', but must be local or the host of a server or router; did"),
    ("run: [hv, on], host: local", "post: 'ftp://a/'", "post is 'ftp://a/', but must be the URL of a web server"),
    ("run: [hv, on], host: local", "post: 'http://'", "post is 'http://', but must be the URL of a web server"),
    ("run: [hv, on], host: local", "post: 'http://a:99999/'", "but must be the URL of a web server"),
    ("run: [hv, on], host: local", "post: 'http://a/ü'", "but must be a URL without spaces and with ASCII letters"),
    ("timeout: 5", "timeout: 0", "timeout is 0, but must be more than 0 and at most 86400 seconds"),
    ("timeout: 5", "timeout: -1", "timeout is -1, but must be more than 0 and at most 86400 seconds"),
    ("required: true", "required: yes", "required is 'yes', but must be true or false"),
    ("required: true", "requird: true", "requird is not a known key; did you mean 'required'?"),
]  # fmt: skip


def with_hooks(*hooks: str, point: str = "before_start") -> str:
    return GOOD + f"hooks:\n  {point}:\n" + "".join(f"  - {{{each}}}\n" for each in hooks)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_each_fault_is_named_with_its_line(old: str, new: str, message: str) -> None:
    """A wrong hook is refused with its line, what is wrong and what it must be."""
    assert USUAL.count(old) == 1
    found = problems_of(with_hooks(USUAL.replace(old, new)))
    assert any(at == 29 and message in text for at, text in found), found


def test_all_faults_come_at_once() -> None:
    """Faults within and between hooks are reported together; the same name in another list is none."""
    hooks = (USUAL.replace("timeout: 5", "timeout: 0"), "name: HV, post: x", "name: q, run: [a], host: nowhere")
    found = problems_of(with_hooks(*hooks) + "  after_stop: [{name: hv, run: [a]}]\n  at_night: []\n")
    parts = ["timeout is 0", "differ from 'hv'", "post is 'x'", "'nowhere'", "hooks.at_night is not a known key"]
    assert len(found) == len(parts)
    assert all(any(part in text for _, text in found) for part in parts), found


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ana:secret@lab/x",
        "ftp://ana:sec/secret@lab/x",
        "ftp://ana:a@secret@lab/x",
        "ana:secret@lab/x",
        f"ftp://ana:{'secret' * 20}@lab/x",
    ],
)
def test_a_password_is_not_repeated(url: str) -> None:
    """An error names the URL without user and password, whatever these are: it is also logged."""
    [(_, text)] = problems_of(with_hooks(f"name: n, post: '{url}'"))
    assert "secret" not in text
    assert "…@lab/x" in text


STRANGE = [
    ("before_start", "[hv, on]", "[no-such-program]", "run[0] is 'no-such-program', but should be a program that this"),
    ("before_start", "[hv, on]", "[/etc/passwd]", "run[0] is '/etc/passwd', but should be a program that this user"),
    ("before_start", "[hv, on]", "[~/nothing]", "run[0] is '~/nothing', but should be a program that this user can"),
    ("before_stop", "timeout: 5", "timeout: 300", "timeout is 300.0, but should be at most 30 seconds: the run stops"),
]  # fmt: skip


@pytest.mark.parametrize(("point", "old", "new", "message"), STRANGE)
def test_what_is_hardly_meant_is_a_warning(tmp_path: Path, point: str, old: str, new: str, message: str) -> None:
    """`attpc-ioc check` warns of a program that is not there, and of a stop that would wait for long."""
    path = tmp_path / "t.yaml"
    path.write_text(with_hooks(USUAL.replace(old, new), point=point))
    assert [each.line for each in examine(path).warnings if message in each.text] == [29]


def test_a_program_elsewhere_is_not_looked_for(tmp_path: Path) -> None:
    """Only programs of this machine can be checked; those that are there are fine."""
    path = tmp_path / "t.yaml"
    path.write_text(
        with_hooks("name: a, run: [nothing], host: 10.0.0.1", "name: b, run: [sh]", "name: c, run: [/bin/sh]")
    )
    assert not [each for each in examine(path).warnings if "hooks" in each.text]


def test_what_is_read() -> None:
    """Defaults, and the lists by occasion."""
    topology = parse(with_hooks("name: hv, run: [hv, '']", point="failed"), "t.yaml")
    assert {point: len(topology.hooks.at(point)) for point in HookPoint if topology.hooks.at(point)} == {
        HookPoint.Failed: 1
    }
    [hook] = topology.hooks.failed
    assert hook.run == ("hv", "")
    assert (hook.host, hook.post, hook.timeout, hook.required) == ("local", None, 10.0, False)
