"""Writes the pages below ``docs/reference`` from the code, each time the documentation is built.

The pages say what there is: every PV, topology key, command, table and column. What they mean in use is written by hand
in ``pvs.md``, ``topology.md``, ``administrators.md`` and ``run-database.md``; tests compare both.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import re
import sqlite3
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from ioc.app.listing import describe_pvs
from ioc.cli.main import main as program
from ioc.rundb import SqliteRunStore
from ioc.topology.load import load
from ioc.topology.messages import SECTIONS
from ioc.topology.schema import Section

ROOT = Path(__file__).parents[1]
_GROUPS = {
    "The system": re.compile(r"[A-Za-z]+"),
    "An ECC server": re.compile(r"ECC:<name>:"),
    "A data router": re.compile(r"Router:<name>:"),
    "The run": re.compile(r"Run:"),
    "An observable": re.compile(r"Obs:<name>:"),
    "A new observable": re.compile(r"Obs:New:"),
    "A destination of safe copies": re.compile(r"Archive:<name>:"),
    "Log and health": re.compile(r"(Log|IOC):"),
    "Tables, by PVAccess only": re.compile(r"(\w+:Table|Run:Info)$"),
}
_WORDS: dict[type, str] = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def write(folder: Path) -> None:
    """Write all pages into `folder`; one that has not changed is left alone, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    pages = {"pvs": pv_page, "topology": topology_page, "command-line": command_page, "database": database_page}
    for name, page in pages.items():
        file, text = folder / f"{name}.md", page()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def pv_page() -> str:
    """Return the page of all PVs that the example topology has, those of one server, router and observable once."""
    topology = load(ROOT / "topology.yaml").model_copy(update={"units": "systemd"})
    found: dict[str, list[tuple[str, ...]]] = {group: [] for group in _GROUPS}
    for pv in describe_pvs(topology):
        name = re.sub(r"^(ECC|Router|Obs):(?!New:)[^:]+:", r"\1:<name>:", pv.name.removeprefix(topology.prefix))
        group = next(title for title, pattern in reversed(_GROUPS.items()) if pattern.match(name))
        if all(row[0] != f"`{name}`" for row in found[group]):
            kind = "by its type" if name == "Obs:<name>:Value" else pv.type
            access = "write" if pv.writable else "read"
            states = "" if pv.type == "command" else ", ".join(pv.states)
            found[group].append((f"`{name}`", kind, access, pv.units, _cell(pv.description), states))
    lines = [
        "# List of PVs",
        "",
        "Generated from the code. All names begin with the topology's `prefix`; `.DESC` is the field of that name.",
        "[The PVs](../pvs.md) explains what they mean, their alarms and what may be put to them.",
    ]
    for group, rows in found.items():
        lines += ["", f"## {group}", "", *_table(("PV", "type", "access", "units", "`.DESC`", "states"), rows)]
    return "\n".join([*lines, ""])


def topology_page() -> str:
    """Return the page of all keys with their types and defaults, and the example."""
    lines = [
        "# List of topology keys",
        "",
        "Generated from the code. [topology.yaml](../topology.md) explains each key and its limits.",
    ]
    first = {section: name for name, section in reversed(SECTIONS.items())}  # lists of hooks have the same keys
    for name, section in SECTIONS.items():
        if first[section] != name:
            continue
        rows = [(f"`{key}`", _type(field), _default(field)) for key, field in section.model_fields.items()]
        title = f"`{name}`" if name else "The whole file"
        lines += ["", f"## {title}", "", _first_paragraph(section), "", *_table(("key", "type", "default"), rows)]
    example = (ROOT / "topology.yaml").read_text(encoding="utf-8")
    return "\n".join([*lines, "", "## The example", "", "```yaml", example.rstrip(), "```", ""])


def command_page() -> str:
    """Return the page with the help of every command."""
    lines = ["# Command line", "", "Generated from the code: what each command prints with `--help`."]
    for path, command in _commands(program, "attpc-ioc"):
        context = click.Context(command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"])
        level = "##" if path.count(" ") < 2 else "###"
        lines += ["", f"{level} `{path}`", "", "```text", command.get_help(context), "```"]
    return "\n".join([*lines, ""])


def database_page() -> str:
    """Return the page of all tables, views and indexes of an empty run database."""
    lines = [
        "# Schema of the run database",
        "",
        "Generated from a new database. [The run database](../run-database.md) explains each column.",
        "`run_sheet` also has a column for each observable.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        asyncio.run(_make_database(path))
        db = sqlite3.connect(path)
        try:
            query = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY type, name"
            for kind, name in db.execute(query).fetchall():
                lines += ["", f"## {kind} `{name}`", "", *_table(("column", "type", "key"), _columns(db, name))]
        finally:
            db.close()
    return "\n".join([*lines, ""])


async def _make_database(path: Path) -> None:
    store = await SqliteRunStore.open(path)
    await store.close()


def _columns(db: sqlite3.Connection, table: str) -> Iterator[tuple[str, ...]]:
    foreign = {row[3]: f"→ `{row[2]}`" for row in db.execute(f"PRAGMA foreign_key_list({table})")}
    for _, name, kind, _, _, primary in db.execute(f"PRAGMA table_info({table})"):
        yield f"`{name}`", kind.lower(), ", ".join(filter(None, ("primary" if primary else "", foreign.get(name))))


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            if child := command.get_command(context, name):
                yield from _commands(child, f"{path} {name}")


def _type(field: FieldInfo) -> str:
    return " or ".join(dict.fromkeys(_words(field.annotation)))


def _words(kind: Any) -> Iterator[str]:
    """Return what may stand for a value of this type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from _words(arguments[0])
    elif origin in (typing.Union, types.UnionType):
        for each in arguments:
            yield from _words(each)
    elif origin is typing.Literal:
        yield " or ".join(f"`{each}`" for each in arguments)
    elif origin is dict:
        yield "mapping"
    elif origin is tuple:
        yield f"list of {' or '.join(_words(arguments[0]))}"
    elif inspect.isclass(kind) and issubclass(kind, enum.Enum):
        yield " or ".join(f"`{member.value}`" for member in kind)
    elif inspect.isclass(kind) and issubclass(kind, Section):
        name = next(name for name, section in SECTIONS.items() if section is kind)
        yield f"[`{name}`](#{name})"
    elif kind is not type(None):
        yield _WORDS[kind]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None or default == ():
        return "none"
    if isinstance(default, Section):
        return "see there"
    if isinstance(default, tuple):
        return f"`[{', '.join(_plain(each) for each in default)}]`"
    return f"`{_plain(default)}`" if default != "" else "empty"


def _plain(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_paragraph(section: type[Section]) -> str:
    return (inspect.getdoc(section) or "").split("\n\n")[0].replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    write(Path(__file__).parent / "reference")
