"""Obs:New: an observable is added to the topology file and recorded, or refused with the reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.app.site import RunningIoc
from tests.epics import Epics, eventually


async def enter(ioc: RunningIoc, **texts: str) -> None:
    """Type into the entries."""
    for name, text in texts.items():
        assert (await ioc.epics.acaput("-c", "-S", f"T:Obs:New:{name}", text)).returncode == 0


async def message(ioc: RunningIoc) -> str:
    return (await ioc.get("T:Obs:New:Message", "-S")).replace("\\'", "'")  # as caget escapes it


async def test_an_observable_is_added_and_recorded(ioc: RunningIoc) -> None:
    """When Add answers, the file has the new entry and nothing else new, its PVs are served, the entries are empty."""
    before = ioc.file.read_text()
    assert await ioc.put("T:ECC:CoBo0:Describe"), "in any state"
    await enter(ioc, Name="energy", Units="MeV", Label="Beam: energy", Comment="größer")
    assert await ioc.put("T:Obs:New:Type", "integer")
    assert await ioc.put("T:Obs:New:Add"), await message(ioc)
    piece = '- name: energy\n  label: "Beam: energy"\n  units: MeV\n  type: integer\n  comment: "größer"\n'
    assert ioc.file.read_text() == before + piece
    assert await ioc.get("T:Obs:energy:Value.EGU") == "MeV"
    assert await ioc.put("T:Obs:energy:Value", "7")
    assert "energy is now recorded" in await message(ioc)
    for name in ("Name", "Pv", "Units", "Label", "Comment"):
        assert await ioc.get(f"T:Obs:New:{name}", "-S") == ""
    assert await ioc.get("T:Obs:New:Type") == "float"
    assert "observable energy is added to" in await ioc.log()
    assert ioc.ready == 1, "nothing restarted"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, ["name is '', but must be 1 to 30 of"]),
        ({"Name": "gas"}, ["is 'gas', but must be another name"]),
        ({"Name": "new"}, ["is 'new', but must be another name: the PVs Obs:New:"]),
        (
            {"Name": "a b", "Pv": "x y", "Units": "kilometres", "Label": "l" * 41},
            ["name is 'a b'", "pv is 'x y'", "units is 'kilometres'", "label is"],
        ),
        ({"Name": "own", "Pv": "T:State"}, ["which this IOC serves itself"]),
    ],
)
async def test_every_reason_is_given(ioc: RunningIoc, texts: dict[str, str], said: list[str]) -> None:
    """What cannot be added changes nothing; all reasons are in the message, and what was typed stays."""
    before = ioc.file.read_bytes()
    await enter(ioc, **texts)
    assert not await ioc.put("T:Obs:New:Add")
    shown = await message(ioc)
    assert [part for part in said if part not in shown] == [], shown
    assert not shown.startswith("observables["), "the place in a file that nobody has written"
    assert ioc.file.read_bytes() == before
    assert await ioc.get("T:Obs:New:Name", "-S") == texts.get("Name", "")


async def test_a_file_with_other_changes_is_left_to_reload(ioc: RunningIoc) -> None:
    """Add applies nobody's half-finished work: other changes must be reloaded, errors mended, first."""
    ioc.write(experiment="e2")
    await enter(ioc, Name="energy")
    assert not await ioc.put("T:Obs:New:Add")
    assert "has other changes (experiment): put to IOC:Reload first" in await message(ioc)
    ioc.file.write_text(ioc.file.read_text() + "nonsense: 1\n")
    assert not await ioc.put("T:Obs:New:Add")
    assert "nonsense is not a known key" in await message(ioc)
    ioc.write(observables=[{"name": "gas", "type": "string"}, {"name": "hv"}])
    assert await ioc.put("T:Obs:New:Add"), "other observables are taken over as well"
    assert await ioc.get("T:Obs:hv:Connected") == "Yes"
    assert [each["name"] for each in yaml.safe_load(ioc.file.read_text())["observables"]] == ["gas", "hv", "energy"]


async def test_add_and_reload_take_turns(ioc: RunningIoc) -> None:
    """Put at the same time, both are carried out, one after the other."""
    await enter(ioc, Name="energy")
    assert all(await asyncio.gather(ioc.put("T:Obs:New:Add"), ioc.put("T:IOC:Reload")))
    assert await ioc.get("T:Obs:energy:Connected") == "Yes"


async def test_a_text_of_several_lines_is_refused(ioc: RunningIoc) -> None:
    """An entry is one line; the reason is in the message beside the entries."""
    assert not await ioc.put("T:Obs:New:Type", "complex")
    done = await ioc.epics.acaput("-c", "-S", "T:Obs:New:Name", "a\nb")
    assert done.returncode != 0 or "Error" in done.stderr
    assert "Name of a new observable must be one line of printable text" in await message(ioc)


@pytest.fixture
async def guarded(epics: Epics, tmp_path: Path) -> AsyncIterator[RunningIoc]:
    """An IOC whose topology grants this machine the entries, but not Add."""
    async with RunningIoc(tmp_path, epics) as running:
        running.write(access=[{"pvs": "*:Add", "write": False}, {"write": True}])
        assert await running.put("T:IOC:Reload")
        await eventually(lambda: running.ready == 2)
        await running.until("State", "Idle")
        yield running


async def test_the_access_rules_hold(guarded: RunningIoc) -> None:
    """Who may not write Add adds nothing."""
    before = guarded.file.read_bytes()
    await enter(guarded, Name="energy")
    assert not await guarded.put("T:Obs:New:Add")
    assert guarded.file.read_bytes() == before


async def test_a_file_that_may_not_be_written(ioc: RunningIoc, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the folder has no room for the new file, nothing changes and the message names the file and the reason."""
    (ioc.directory / ".topology.yaml.attpc-ioc-new").mkdir()
    await enter(ioc, Name="energy")
    before = ioc.file.read_bytes()
    assert not await ioc.put("T:Obs:New:Add")
    assert "topology.yaml cannot be changed by this user: Is a directory" in await message(ioc)
    assert ioc.file.read_bytes() == before
