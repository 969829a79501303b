"""The committed folder, the command, and the files beside the screens."""

from __future__ import annotations

import json
import math
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from archive_pv import archive
from click.testing import CliRunner
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from screens_reader import Screens, Shown, pvs_of

from ioc.app.listing import PvDescription
from ioc.cli.main import main
from ioc.screens import archiver_list, screen_files
from ioc.topology.load import load
from ioc.topology.schema import Logbook, Observable, Topology

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_screens_are_those_of_the_topology() -> None:
    """Generating again changes no byte of opi/, and opi/ has nothing else."""
    expected = screen_files(load(ROOT / "topology.yaml"))
    committed = {path.name: path.read_bytes() for path in (ROOT / "opi").iterdir() if path.is_file()}
    assert set(committed) == set(expected), "attpc-ioc screens has not been run since names changed"
    different = [name for name, text in expected.items() if committed[name] != text.encode()]
    assert not different, "attpc-ioc screens has not been run since the generator changed"


def test_the_pages_are_part_of_the_package() -> None:
    """What setuptools is told to put into the wheel has every page that is copied to opi/."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ioc"]
    packed = {file for pattern in patterns for file in (ROOT / "ioc").glob(pattern)}
    pages = set((ROOT / "ioc/screens/pages").iterdir())
    assert pages
    assert pages <= packed


def test_the_same_topology_gives_the_same_bytes(topology: Topology) -> None:
    """Nothing in the files depends on the time, the machine or the order of a set."""
    assert screen_files(topology) == screen_files(topology)


def test_the_command_writes_all_files(tmp_path: Path) -> None:
    """``attpc-ioc screens`` makes the folder and says what it wrote."""
    folder = tmp_path / "new" / "opi"
    result = CliRunner().invoke(main, ["screens", "--topology", str(ROOT / "topology.yaml"), "--output", str(folder)])
    assert result.exit_code == 0, result.output
    expected = screen_files(load(ROOT / "topology.yaml"))
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == expected
    assert f"{len(expected)} files" in result.output


@pytest.mark.parametrize(("fault", "code"), [("no topology", 2), ("no folder", 1)])
def test_the_command_says_what_is_wrong_in_a_line(tmp_path: Path, fault: str, code: int) -> None:
    """A missing topology and a folder that cannot be made end with a sentence and no traceback."""
    (tmp_path / "file").touch()
    topology = tmp_path / "none.yaml" if fault == "no topology" else ROOT / "topology.yaml"
    result = CliRunner().invoke(
        main, ["screens", "--topology", str(topology), "--output", str(tmp_path / "file" / "opi")]
    )
    assert result.exit_code == code
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1


def _names(files: dict[str, str]) -> dict[str, list[str]]:
    """Return the PVs of each file beside the screens."""
    return {
        "alarm-tree.xml": [each.get("name", "") for each in ET.fromstring(files["alarm-tree.xml"]).iter("pv")],
        "observables.plt": [
            each.findtext("name", "") for each in ET.fromstring(files["observables.plt"]).findall("pvlist/pv")
        ],
        "overview.pvs": [
            each.findtext("name", "") for each in ET.fromstring(files["overview.pvs"]).findall("pvlist/pv")
        ],
        "save-restore.csv": [line.split(",")[0] for line in files["save-restore.csv"].splitlines()[1:]],
        "archiver.json": [each["pv"] for each in json.loads(files["archiver.json"])],
    }


def test_the_files_beside_name_served_pvs_once(
    files: dict[str, str], served: dict[str, PvDescription], topology: Topology
) -> None:
    """Alarm tree, plot, table and lists have PVs of the IOC, none twice; the sources are archived too."""
    for file, names in _names(files).items():
        sources = {each.pv for each in topology.observables} if file == "archiver.json" else set[str]()
        assert not set(names) - set(served) - sources, file
        assert len(set(names)) == len(names), file


def test_only_a_required_manual_value_stands_out_while_it_is_not_set() -> None:
    """The words are grey; on amber where runs require the observable, which then blocks the start."""
    topology = load(ROOT / "topology.yaml")
    runs = topology.runs.model_copy(update={"require": ("beam", "pressure")})
    screens = Screens(screen_files(topology.model_copy(update={"runs": runs})))
    words = [each for page in screens.pages for each in screens.widgets_of(page) if each.text("text") == "not set"]
    assert {each.own["NAME"] for each in words if each.text("transparent") == "false"} == {"beam"}
    assert {each.own["NAME"] for each in words} == {each.name for each in topology.observables if each.pv is None}
    by_rule = {each.own["NAME"] for each in words if each.ruled("visible", _unset(each)) == "true"}
    assert by_rule == {each.name for each in topology.observables if each.pv is None}


def _unset(widget: Shown) -> dict[str, tuple[float, int]]:
    return {f"Obs:{widget.own['NAME']}:Value": (math.nan, 3)}


def test_what_is_restored_can_be_written(files: dict[str, str], served: dict[str, PvDescription]) -> None:
    """A PV of the save-and-restore list is writable and starts nothing."""
    assert files["save-restore.csv"].startswith("PV,READBACK,READ_ONLY\n")
    for name in _names(files)["save-restore.csv"]:
        assert served[name].writable, name
        assert served[name].type != "command", name


def test_the_appliance_archives_every_update_of_the_archiver_list(files: dict[str, str]) -> None:
    """It skips no entry and refuses none, and ten updates a second fit into the buffer of each PV."""
    archived = archive(files["archiver.json"])
    assert [each.pv for each in archived] == _names(files)["archiver.json"]
    for each in archived:
        assert each.method == "MONITOR", each.pv
        assert each.buffer > 100, each.pv


@pytest.mark.parametrize(
    ("source", "archived"),
    [
        ("GAS:P1:Pressure", "GAS:P1:Pressure"),
        ("ca://GAS:P1:Pressure", "GAS:P1:Pressure"),
        ("pva://GAS:P1:Pressure", "GAS:P1:Pressure"),
        ("GAS:P1.RVAL", "GAS:P1.RVAL"),
        ("GAS:P1.VAL", "GAS:P1"),
        ("SR:C01{BPM:1}X-I", "SR:C01{BPM:1}X-I"),
        ('GAS:P1.{"dbnd":{"abs":1.5}}', 'GAS:P1.{"dbnd":{"abs":1.5}}'),
        ("GAS:Table.VAL[0:3]", "GAS:Table"),
        # It would be taken for a PV of this name.
        ("pva://GAS:P1/alarm/severity", None),
        # Any of these would be the last that the appliance reads.
        ("GAS:P1.DESC$", None),
        ("GAS:P1.", None),
        ("GAS:P1.5", None),
        ("GAS=P1", None),
        ("GAS:P1{(1)}", None),
    ],
)
def test_a_source_is_archived_if_the_appliance_can(topology: Topology, source: str, archived: str | None) -> None:
    """One that it would refuse is left out, so that it reads the whole list."""
    observable = Observable(name="followed", pv=source)
    read = [each.pv for each in archive(archiver_list(topology.model_copy(update={"observables": (observable,)})))]
    assert f"{topology.prefix}Obs:followed:Value" in read
    assert [pv for pv in read if not pv.startswith(topology.prefix)] == ([archived] if archived else [])


@settings(deadline=None)  # a busy machine takes longer than the 200 ms of the default
@given(
    source=st.text(st.sampled_from("a5_:./[]{}()'$"), min_size=1, max_size=12)
    | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)
)
def test_no_source_hides_the_rest_of_the_archiver_list(source: str) -> None:
    """Whatever name a topology accepts as the source of an observable, the appliance reads the list to its end."""
    topology = load(ROOT / "topology.yaml")
    try:
        first = Observable(name="first", pv=source)
    except ValidationError:
        reject()
    last = Observable(name="last", pv="GAS:Last")
    read = archive(archiver_list(topology.model_copy(update={"observables": (first, last)})))
    assert {"GAS:Last", f"{topology.prefix}Obs:first:Value"} <= {each.pv for each in read}


def test_the_plot_has_an_axis_for_each_unit(files: dict[str, str], topology: Topology) -> None:
    """Every followed number is plotted, and its axis exists."""
    root = ET.fromstring(files["observables.plt"])
    axes = root.findall("axes/axis")
    lines = root.findall("pvlist/pv")
    assert len(lines) == sum(each.pv is not None and each.type in {"float", "integer"} for each in topology.observables)
    assert all(int(line.findtext("axis", "-1")) in range(len(axes)) for line in lines)


def test_every_alarm_has_guidance(files: dict[str, str]) -> None:
    """Whoever sees an alarm at night reads what to do."""
    leaves = list(ET.fromstring(files["alarm-tree.xml"]).iter("pv"))
    assert leaves
    assert all(leaf.findtext("guidance/details", "").endswith((".", "?")) for leaf in leaves)


def test_logbooks_are_shown_where_there_are_some(topology: Topology) -> None:
    """Their state, message and waiting entries are on the expert page and in the lists; else no word."""
    book = Logbook(name="shift", kind="markdown", file="shift.md")
    files = screen_files(topology.model_copy(update={"logbook": (book,)}))
    screens = Screens(files)
    (expert,) = [page for page in screens.pages if page.file == "expert.bob"]
    seen = {pv for widget in screens.shown_on(expert) for pv in pvs_of(widget)}
    state, message, waiting = pvs = [f"{topology.prefix}Logbook:{name}" for name in ("State", "Message", "Waiting")]
    assert seen >= set(pvs)
    names = _names(files)
    assert set(names["overview.pvs"]) >= set(pvs)
    assert {state, message} == set(names["alarm-tree.xml"]) & set(pvs)
    assert {state} == set(names["archiver.json"]) & set(pvs)
    assert waiting not in names["save-restore.csv"]
    without = screen_files(topology.model_copy(update={"logbook": ()}))
    assert not [name for name, text in without.items() if "Logbook:" in text or "logbook" in name]


def test_the_archive_of_the_topology_is_in_the_settings(topology: Topology) -> None:
    """Data Browser asks the archive that the topology names, and none without one."""
    without = screen_files(topology)["settings.ini"]
    named = topology.model_copy(update={"archiver": "http://arch:17668/retrieval"})
    settings = screen_files(named)["settings.ini"].splitlines()
    for key in ("urls", "archives"):
        setting = f"org.csstudio.trends.databrowser3/{key}="
        assert f"{setting}\n" in without
        assert f"{setting}pbraw\\://arch:17668/retrieval|Archive" in settings
