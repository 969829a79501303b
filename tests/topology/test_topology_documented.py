"""Every key is explained where an operator looks for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ioc.topology.load import load
from ioc.topology.schema import SECTIONS, Section

ROOT = Path(__file__).parents[2]
EXAMPLES = (ROOT / "topology.yaml", ROOT / "docs" / "examples" / "laboratory.yaml")
FIRST = {model: section for section, model in reversed(SECTIONS.items())}
"""Where each section is documented: hooks have the same keys in every list."""
KEYS = [(section, key) for model, section in FIRST.items() for key in model.model_fields]


def table_rows() -> set[tuple[str, str]]:
    """(section, key) of each row of the tables in docs/topology.md."""
    rows: set[tuple[str, str]] = set()
    section = ""
    for line in (ROOT / "docs" / "topology.md").read_text().splitlines():
        if line.startswith("## "):
            section = "" if line == "## The whole file" else line[3:]
        elif row := re.match(r"\| `(\w+)` \|", line):
            rows.add((section, row.group(1)))
    return rows


def all_sections(model: type[Section] = Section) -> set[type[Section]]:
    """Every section that the schema defines."""
    return {model, *(found for child in model.__subclasses__() for found in all_sections(child))} - {Section}


def test_every_section_is_known_by_its_key() -> None:
    """The table of sections, which the suggestions for unknown keys use, has every section of the schema."""
    assert set(SECTIONS.values()) == all_sections()


def test_the_document_has_exactly_the_keys_of_the_schema() -> None:
    """docs/topology.md has one row for each key and none for a key that is gone."""
    assert table_rows() == set(KEYS)


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_examples_show_every_key(section: str, key: str) -> None:
    """One of the two examples names each key, as data or in the comment of its section."""
    text = "".join(example.read_text() for example in EXAMPLES)
    assert re.search(rf"\b{key}\b", text), f"{section}.{key}"


def test_the_examples_are_valid_together(tmp_path: Path) -> None:
    """The sections of the second example, added to the first, give a topology without errors."""
    both = tmp_path / "topology.yaml"
    both.write_text("\n".join(example.read_text() for example in EXAMPLES))
    topology = load(both)
    assert (topology.units, len(topology.partners), len(topology.logbook)) == ("systemd", 1, 3)


def test_the_example_states_the_defaults() -> None:
    """What the example gives for order, polling and timeouts are the defaults, as its comments say."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "topology.yaml").read_text())
    for section in ("order", "polling", "timeouts"):
        defaults = SECTIONS[section]().model_dump(mode="json")
        assert data[section] == {key: list(v) if isinstance(v, tuple) else v for key, v in defaults.items()}
