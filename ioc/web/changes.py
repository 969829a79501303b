"""What changed since the previous run: settings always, measured numbers only if they left the range they had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ioc.rundb.differences import configuration_texts, with_units
from ioc.rundb.formats import value_text
from ioc.rundb.pages import RunFacts
from ioc.rundb.queries import Row

Change = tuple[str, str, str]
"""What, in the run before, in this run."""
_NUMERIC = {"float", "integer"}


def changes(before: RunFacts, now: RunFacts) -> list[Change]:
    """Every difference that somebody may have to know."""
    old, new = dict(_settings(before)), dict(_settings(now))
    found = [(name, old.get(name, "—"), new.get(name, "—")) for name in old | new if old.get(name) != new.get(name)]
    measured: Mapping[str, Row] = {row["name"]: row for row in before.measurements}
    for row in now.measurements:
        if _is_measured(row) and (earlier := measured.get(row["name"])) is not None and _left_range(earlier, row):
            was = f"{value_text(earlier['minimum'])} to {value_text(earlier['maximum'])}"
            found.append((f"{with_units(row)}, mean", was, value_text(row["mean"])))
    return found


def _settings(facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "class", facts.run["run_class"]
    yield "configuration", facts.run["config_name"]
    yield from configuration_texts(facts.configs)
    for row in facts.measurements:
        if not _is_measured(row):
            yield with_units(row), value_text(row["begin_value"])
        elif row["units"]:
            yield f"{row['name']}, units", row["units"]


def _is_measured(row: Row) -> bool:
    """Whether it is a number with a source; others are set by somebody."""
    return row["source_pv"] is not None and row["value_type"] in _NUMERIC


def _left_range(before: Row, now: Row) -> bool:
    low, mean, high = before["minimum"], now["mean"], before["maximum"]
    return before["units"] == now["units"] and None not in (low, mean, high) and not low <= mean <= high
