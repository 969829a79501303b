"""``attpc-ioc notify-test``: tries every target and says how it went."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ioc.cli.main import main
from ioc.sim.ports import free_port
from tests.notify.receiver import Receiver
from tests.topology.test_topology_load import GOOD

pytest.importorskip("apprise")


def test_each_target_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good target gets a message; a bad one is named with the reason, without its URL; then the exit code is 1."""
    file = tmp_path / "t.yaml"
    targets = "{name: a, url: env:GOOD}, {name: b, url: env:BAD}, {name: c, url: env:NOT_SET}"
    with Receiver() as receiver:
        monkeypatch.setenv("GOOD", f"json://127.0.0.1:{receiver.port}/s3cret")
        monkeypatch.setenv("BAD", f"json://127.0.0.1:{free_port()}/s3cret")
        monkeypatch.delenv("NOT_SET", raising=False)
        file.write_text(f"{GOOD}notifications: {{targets: [{targets}]}}\n")
        done = CliRunner().invoke(main, ["notify-test", "--topology", str(file)])
        assert done.exit_code == 1
        assert done.stdout.splitlines() == [
            "a: sent",
            "b: the service did not accept the message, or cannot be reached",
            "c: the environment variable NOT_SET is not set",
        ]
        assert "2 of 3 messages were not sent" in done.output
        assert "environment of this shell: GOOD, BAD; the IOC needs them in its unit" in done.stderr
        assert "s3cret" not in done.output
        file.write_text(f"{GOOD}notifications: {{targets: [{{name: a, url: env:GOOD}}]}}\n")
        assert CliRunner().invoke(main, ["notify-test", "--topology", str(file)]).exit_code == 0
    assert [message["message"] for message in receiver.messages] == ["This is a test of the notifications."] * 2
    file.write_text(GOOD)
    done = CliRunner().invoke(main, ["notify-test", "--topology", str(file)])
    assert done.exit_code == 1
    assert "has no notifications" in done.output
