"""What users can touch is documented, and what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ioc.app.listing import PvDescription, describe_pvs
from ioc.cli.main import main
from ioc.pvs.tables import COLUMNS
from ioc.topology.load import load
from ioc.topology.schema import Destination, Partner

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_SECTIONS = {
    "## The system": "",
    "## An ECC server": "ECC:<name>:",
    "## A data router": "Router:<name>:",
    "## The run": "Run:",
    "## Automatic runs": "Auto:",
    "## An observable": "Obs:<name>:",
    "## A new observable": "Obs:New:",
    "## An interlock": "Interlock:<name>:",
    "## All interlocks": "",
    "## A partner": "Partner:<name>:",
    "## A destination of safe copies": "Archive:<name>:",
    "## Log and health": "",
    "## Tables": "",
}
_ROW = re.compile(r"\| `(?P<name>[A-Za-z:]+)` \| (?P<type>[^|]+) \|")


def documented() -> dict[str, str]:
    """Every PV of docs/pvs.md by its name without the prefix, with its column "type"."""
    found: dict[str, str] = {}
    base = None
    for line in (ROOT / "docs" / "pvs.md").read_text().splitlines():
        if line.startswith("## "):
            base = next((prefix for title, prefix in _SECTIONS.items() if line.startswith(title)), None)
        if base is not None and (row := _ROW.match(line)):
            found[base + row["name"]] = row["type"]
    return found


def served() -> dict[str, PvDescription]:
    """Every PV of the example topology with units, a partner and safe copies, components replaced by ``<name>``."""
    changes = {
        "units": "systemd",
        "partners": (Partner(name="FRIBDAQ", host="127.0.0.1"),),
        "archive": (Destination(name="raid", directory="/raid"),),
    }
    topology = load(ROOT / "topology.yaml").model_copy(update=changes)
    return {
        re.sub(
            r"^(ECC|Router|Obs|Interlock|Partner|Archive):(?!New:)[^:]+:",
            r"\1:<name>:",
            pv.name.removeprefix(topology.prefix),
        ): pv
        for pv in describe_pvs(topology)
    }


def test_every_pv_is_documented_and_every_documented_pv_is_served() -> None:
    """docs/pvs.md and the IOC have the same PVs."""
    assert set(documented()) == set(served())


def test_documented_types_are_true() -> None:
    """Type, length and access in docs/pvs.md are those that are served."""
    pvs = served()
    wrong = {
        name: (text, pvs[name].type)
        for name, text in documented().items()
        if text != "by its type"
        and re.sub(r" \d+", "", text) != f"{pvs[name].type} {'W' if pvs[name].writable else 'R'}"
    }
    assert not wrong


def test_the_columns_of_tables_are_documented() -> None:
    """docs/pvs.md lists the columns of each table in their order."""
    page = (ROOT / "docs" / "pvs.md").read_text()
    for name, columns in COLUMNS.items():
        (row,) = re.findall(rf"^\| in `{name}` \| (.*) \|$", page, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", row)) == columns


def _commands(group: click.Group, path: str = "attpc-ioc") -> dict[str, click.Command]:
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        found[f"{path} {name}"] = command
        if isinstance(command, click.Group):
            found |= _commands(command, f"{path} {name}")
    return found


def test_every_pv_that_a_page_names_is_served() -> None:
    """Each PV in an example or a table is one of the example topology, perhaps of an added component."""
    named = re.compile(
        r"\bATTPC:((?:ECC|Router|Obs|Interlock|Partner|Archive):[\w-]+:)?([A-Z]\w*(?::[A-Z]\w*)?)(?![\w:…*])"
    )
    known = set(served())
    unknown = {
        f"{page.name}: {found[0]}"
        for page in PAGES
        for found in named.finditer(page.read_text())
        if re.sub(r":(?!New:)[\w-]+:$", ":<name>:", found[1] or "") + found[2] not in known
    }
    assert unknown == set()


def test_every_command_is_documented() -> None:
    """Each command of the command line stands in docs/administrators.md or docs/run-database.md, with its help."""
    text = "".join((ROOT / "docs" / page).read_text() for page in ("administrators.md", "run-database.md"))
    commands = _commands(main)
    assert {"attpc-ioc run", "attpc-ioc check", "attpc-ioc runs list"} <= commands.keys()
    assert [name for name in commands if name not in text] == []
    assert [name for name, command in commands.items() if not command.help] == []


def test_every_link_in_the_documents_leads_somewhere() -> None:
    """Relative links of README and docs point to files that exist, or to the reference, which `make docs` writes."""
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not target.startswith("reference/") and not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_file_that_a_page_names_exists() -> None:
    """Paths such as `ioc/states.py` are those of the present; decisions may name what is gone."""
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        if page.parent.name != "decisions"
        for path in re.findall(r"`((?:benchmarks|docs|ioc|opi|tests)/[\w./-]*)`", page.read_text())
        if not (ROOT / path).exists()
    ]
    assert missing == []
