"""Logbooks and notifications in a topology: what is refused, what is warned of, and that no secret is ever shown."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from ioc.errors import ConfigurationError, PeerError
from ioc.topology.load import examine, load, parse
from ioc.topology.secret import read_secret
from tests.topology.test_topology_load import GOOD, problems_of

OLOG = "name: a, kind: olog, url: http://h:1/Olog, user: u, password: env:P, logbooks: [x]"
SECRET = "hunter2"

BROKEN = [
    # what is replaced, by what, part of the message
    ("kind: olog", "kind: olg", "logbook[0].kind is 'olg', but must be olog, elog or markdown"),
    ("user: u, ", "", "logbook[0] has no 'user', but must have one, because its kind is olog"),
    (", logbooks: [x]", "", "logbook[0] has no 'logbooks', but must have one, because its kind is olog"),
    ("logbooks: [x]", "logbooks: []", "logbook[0].logbooks is empty, but must have at least one entry"),
    ("logbooks: [x]", "logbooks: [x], file: a.md", "logbook[0].file has no effect for the kind olog, but must be"),
    ("logbooks: [x]", "logbooks: [x], tag: [y]", "logbook[0].tag is not a known key; did you mean 'tags'?"),
    ("password: env:P", f"password: {SECRET}", "logbook[0].password must be env:NAME (an environment variable) or fi"),
    ("http://h:1", f"http://u:{SECRET}@h:1", "logbook[0].url must be an address http://HOST[:PORT]/… or https://…, w"),
    ("http://h:1", "ftp://h", "logbook[0].url must be an address http://HOST[:PORT]/"),
    ("http://h:1", "http://h:99999", "logbook[0].url must be an address http://HOST[:PORT]/"),
    ("http://h:1", "http://h:x", "logbook[0].url must be an address http://HOST[:PORT]/"),
    ("http://h:1/Olog", "http://h/Öl", "logbook[0].url must be an address http://HOST[:PORT]/"),
]  # fmt: skip
NOTIFY = "targets: [{name: t, url: env:U}], rules: [{when: no_data, to: [t]}]"
BROKEN_NOTIFY = [
    ("url: env:U", f"url: 'mailto://me:{SECRET}@h'", "notifications.targets[0].url must be env:NAME"),
    ("when: no_data", "when: no data", "notifications.rules[0].when is 'no data', but must be run_failed, observ"),
    ("to: [t]", "to: [shft]", "notifications.rules[0].to[0] is 'shft', but must be one of targets; known are t"),
    ("to: [t]", "hours: 3", "notifications.rules[0].hours must be left out, because it belongs to when: disk_below"),
    ("to: [t]", "at_most: 0", "notifications.rules[0].at_most is 0, but must be 1 to 1000"),
    ("to: [t]}]", "to: [t]}], quiet_hours: 22-7", "quiet_hours is '22-7', but must be two times of day such as"),
    ("{name: t, url: env:U}", "{name: t, url: env:U}, {name: t, url: env:V}", "must be another name"),
]  # fmt: skip


def with_sections(logbook: str = "", notifications: str = "") -> str:
    return (
        GOOD
        + (f"logbook:\n  - {{{logbook}}}\n" if logbook else "")
        + (f"notifications: {{{notifications}}}\n" if notifications else "")
    )


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_wrong_logbook_is_named(old: str, new: str, message: str) -> None:
    """Each fault is reported with what it must be, and without anything that may be a secret."""
    assert OLOG.count(old) == 1
    found = [text for _, text in problems_of(with_sections(logbook=OLOG.replace(old, new)))]
    assert any(message in text for text in found), found
    assert SECRET not in "".join(found)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN_NOTIFY)
def test_wrong_notifications_are_named(old: str, new: str, message: str) -> None:
    """The same for notifications."""
    assert NOTIFY.count(old) == 1
    found = [text for _, text in problems_of(with_sections(notifications=NOTIFY.replace(old, new)))]
    assert any(message in text for text in found), found
    assert SECRET not in "".join(found)


def test_defaults() -> None:
    """Without rules every condition is reported to everyone."""
    topology = parse(with_sections(OLOG, "targets: [{name: t, url: env:U}]"), "t.yaml")
    assert topology.notifications is not None
    assert {rule.when for rule in topology.notifications.rules} == {
        "run_failed",
        "observable_gone",
        "disk_below",
        "no_data",
        "interlock_tripped",
        "ioc_restarted",
    }
    assert topology.logbook[0].level == "Info"


def test_check_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that cannot be read, an unencrypted password and a missing library are warnings, without the secret."""
    monkeypatch.delenv("P", raising=False)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o644)
    text = with_sections(OLOG, "targets: [{name: t, url: 'file:secret'}]")
    (tmp_path / "t.yaml").write_text(text)
    warnings = "\n".join(str(each) for each in examine(tmp_path / "t.yaml").warnings)
    assert "logbook[0].password cannot be read: the environment variable P is not set" in warnings
    assert "secret has mode 644, but must have 600" in warnings
    assert "logbook[0].url should begin with https://" in warnings
    assert SECRET not in warnings
    (tmp_path / "t.yaml").write_text(with_sections("name: e, kind: elog, url: 'https://h/e/'"))
    warnings = "\n".join(str(each) for each in examine(tmp_path / "t.yaml").warnings)
    assert "py_elog, which is not installed" in warnings


@pytest.mark.parametrize("file", ["notes/runs.md", "there", "locked/runs.md", "runs.md"])
def test_check_says_that_a_logbook_cannot_be_written(file: str, tmp_path: Path) -> None:
    """A Markdown logbook in a folder that is not there, or in place of a folder, is a warning."""
    if file == "locked/runs.md" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "there").mkdir()
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "t.yaml").write_text(with_sections(f"name: n, kind: markdown, file: {file}"))
    warnings = [str(each) for each in examine(tmp_path / "t.yaml").warnings if "logbook[" in str(each)]
    if file == "runs.md":
        assert warnings == []
    else:
        assert f"logbook[0].file is '{tmp_path / file}', but should be a file in a folder" in "".join(warnings)


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is what the variable or the file says, without the end of the line; paths are those of the topology."""
    monkeypatch.setenv("P", SECRET)
    assert read_secret("env:P") == SECRET
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "t.yaml").write_text(with_sections(OLOG.replace("env:P", "'file:secret'")))
    place = load(tmp_path / "t.yaml").logbook[0].password
    assert place is not None
    assert read_secret(place) == SECRET


@pytest.mark.parametrize("what", ["missing", "folder", "empty", "pipe", "binary", "shared", SECRET])
def test_a_secret_that_cannot_be_read(what: str, tmp_path: Path) -> None:
    """Whatever is in place of the file is an error at once, that names the file and shows nothing of its content."""
    path = tmp_path / "file"
    match what:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path, 0o600)
        case "empty" | "binary" | "shared":
            path.write_bytes({"empty": b"\n", "binary": b"\xff\xfe" + SECRET.encode(), "shared": SECRET.encode()}[what])
            path.chmod(0o640 if what == "shared" else 0o600)
    place = what if what == SECRET else f"file:{path}"
    with pytest.raises(PeerError) as error:
        read_secret(place)
    assert SECRET not in str(error.value)
    assert what == SECRET or str(path) in str(error.value)


MISPLACED = [
    # the sections, and what the error says
    ("", f"targets: ['slack://{SECRET}/b/c']", "targets[0] is text, but must be a mapping"),
    ("", f"targets: 'slack://{SECRET}/b/c'", "notifications.targets is text, but must be a list"),
    ("", f"targets: {{ops: 'slack://{SECRET}/b/c'}}", "notifications.targets is a mapping, but must be a list"),
    ("", f"targets: [{{name: 'slack://{SECRET}', url: env:U}}]", "targets[0].name is text, but must be 1 to 30 of"),
    ("", f"targets: [{{'slack://{SECRET}': 1, name: t, url: env:U}}]", "targets[0] has a key that is not known"),
    ("", "targets: [{name: t, url: 73519264}]", "targets[0].url is a number, but must be env:NAME"),
    ("", f"targets: [{{name: t, url: [{SECRET}]}}]", "targets[0].url is a list, but must be env:NAME"),
    ("", "targets: [{name: t, 73519264: x}]", "targets[0] has a key that is not text"),
    ("", f"targets: [{{name: t, url: !{SECRET} x}}]", "targets[0].url has a tag, but must be written without"),
    ("", f"targets: [{{name: t, url: *{SECRET}}}]", "is not valid YAML: found undefined alias"),
    ("", f"targets: [{{name: t, url: !a{SECRET}!b x}}]", "is not valid YAML"),
    ("", f"targets: [{{name: t, url: env:U}}], rules: [{{when: no_data, to: ['slack://{SECRET}']}}]",
     "to[0] is text, but must be one of targets"),
    ("", f"targets: [{{name: 'slack://{SECRET}', url: env:U}}], rules: [{{when: no_data, to: [slack]}}]",
     "to[0] is 'slack', but must be one of targets"),
    ("", "targets: [{name: t, url: env:U}, {name: 't://73519264', url: env:V}, {name: 't://73519264', url: env:V}]",
     "targets[2].name is text, but must be another name"),
    (OLOG.replace("env:P", "73519264"), "", "logbook[0].password is a number, but must be env:NAME"),
    (OLOG.replace("env:P", "7.3519264"), "", "logbook[0].password is a number, but must be env:NAME"),
    (OLOG.replace("env:P", f"{{{SECRET}: x}}"), "", "logbook[0].password is a mapping, but must be env:NAME"),
    (OLOG.replace("env:P", f"!{SECRET} x"), "", "logbook[0].password has a tag"),
    (OLOG.replace("http://h:1/Olog", "[73519264]"), "", "logbook[0].url is a list, but must be"),
]  # fmt: skip


@pytest.mark.parametrize(("logbook", "notifications", "message"), MISPLACED)
def test_a_secret_in_a_wrong_form_is_not_shown(logbook: str, notifications: str, message: str) -> None:
    """Whatever form it has, an error says of which type it is: the errors of a reload go to a PV and the database."""
    found = "\n".join(text for _, text in problems_of(with_sections(logbook, notifications)))
    assert message in found
    assert not any(part in found for part in (SECRET, "73519264", "3519264"))


@pytest.mark.parametrize("line", [f"notifications: 'slack://{SECRET}'", f"logbook: ['password {SECRET}']"])
def test_a_secret_in_place_of_a_section_is_not_shown(line: str) -> None:
    """The same where a mapping belongs."""
    found = "\n".join(text for _, text in problems_of(f"{GOOD}{line}\n"))
    assert "is text, but must be a mapping" in found
    assert SECRET not in found


def test_the_loader_shows_no_secret() -> None:
    """Neither does the error as a whole, with its traceback."""
    with pytest.raises(ConfigurationError) as error:
        parse(with_sections(OLOG.replace("env:P", SECRET)), "t.yaml")
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_notifications_that_repeat_within_a_minute_are_a_warning(tmp_path: Path) -> None:
    """A condition that comes and goes would send a message each time."""
    rules = NOTIFY.replace("when: no_data", "when: no_data, repeat_minutes: 0.001")
    (tmp_path / "t.yaml").write_text(with_sections(notifications=rules))
    text = "notifications.rules[0].repeat_minutes is 0.001, but should be at least 1: a condition that comes and goes"
    assert text in "\n".join(str(each) for each in examine(tmp_path / "t.yaml").warnings)
