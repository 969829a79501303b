"""Logbook and notifications in the whole IOC: entries and messages of a run, and that no service can disturb it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ioc.app.demo import on_this_machine
from ioc.topology.load import EXAMPLE, parse
from tests.app.site import RunningIoc
from tests.epics import Epics, eventually
from tests.logbook.olog_stub import PASSWORD, USER, OlogStub
from tests.notify.receiver import Receiver


class WithServices(RunningIoc):
    """An IOC whose topology has logbooks and notifications."""

    def __init__(self, directory: Path, epics: Epics, services: dict[str, Any]) -> None:
        super().__init__(directory, epics)
        self._services = services

    def write(self, **changes: Any) -> None:
        super().write(**(self._services | changes))


def sections(olog: OlogStub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("OLOG_PASSWORD", PASSWORD)
    monkeypatch.setenv("URL", f"json://127.0.0.1:{receiver.port}/")
    book = {"name": "ours", "kind": "olog", "url": olog.url, "user": USER, "password": "env:OLOG_PASSWORD"}
    return {
        "logbook": [{**book, "logbooks": ["Operations"]}, {"name": "notes", "kind": "markdown", "file": "notes.md"}],
        "notifications": {"targets": [{"name": "shift", "url": "env:URL"}]},
    }


async def test_the_pvs(ioc: RunningIoc) -> None:
    """Without a logbook in the topology its state is Off, which is no alarm."""
    await ioc.until("Logbook:State", "Off")
    assert await ioc.get("T:Logbook:Message", "-S") == "no logbook is set up"
    assert "Logbook" not in await ioc.get("T:IOC:Alarms", "-S")


async def test_a_start_of_the_ioc_and_a_service_that_is_away(
    epics: Epics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People are told once that the IOC has started, not at an internal restart; the PVs follow the services."""
    with OlogStub() as olog, Receiver() as receiver:
        async with WithServices(tmp_path, epics, sections(olog, receiver, monkeypatch)) as ioc:
            await ioc.until("Logbook:State", "Ok")
            await eventually(lambda: receiver.messages)
            ioc.write(prefix="U:")
            assert await ioc.put("T:IOC:Reload")
            await ioc.until("Logbook:State", "Ok", prefix="U:")
        assert [message["message"][:25] for message in receiver.messages] == ["the IOC was started at 20"]
        assert (tmp_path / "runs.db-logbook" / "ours" / "made.json").exists()


def test_the_demo_calls_nobody(tmp_path: Path) -> None:
    """With the topology of a laboratory, a demo writes neither into its logbooks nor to its people."""
    text = EXAMPLE.read_text() + (
        "logbook:\n"
        "  - {name: a, kind: olog, url: 'https://h/Olog', user: u, password: 'env:P', logbooks: [x]}\n"
        "  - {name: b, kind: markdown, file: /lab/book.md}\n"
        "notifications: {targets: [{name: t, url: 'env:U'}]}\n"
    )
    topology = parse(text, "t.yaml")

    at = SimpleNamespace(port=1, log_path="")
    addresses: Any = SimpleNamespace(
        servers={each.name: at for each in topology.ecc_servers},
        routers={each.name: at for each in topology.data_routers},
        config_root="",
    )
    simulated = on_this_machine(topology, addresses, tmp_path)
    assert simulated.notifications is None
    assert [(each.kind, each.file) for each in simulated.logbook] == [("markdown", str(tmp_path / "b.md"))]
