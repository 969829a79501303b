"""What is different between two runs."""

from __future__ import annotations

from collections.abc import Iterator

from ioc.cli.run_text import duration, table, value_text
from ioc.rundb.queries import RunPage


def run_diff(first: RunPage, second: RunPage) -> str:
    """A line for each setting, configuration and observable that differs; numbers are compared as they are shown."""
    numbers = (f"run {first.run['run_number']}", f"run {second.run['run_number']}")
    left, right = dict(_facts(first)), dict(_facts(second))
    rows = [
        (name, left.get(name, ""), right.get(name, ""))
        for name in (left | right)
        if left.get(name, "") != right.get(name, "")
    ]
    return table(("", *numbers), rows) if rows else f"{numbers[0]} and {numbers[1]} differ in nothing that is recorded"


def _facts(page: RunPage) -> Iterator[tuple[str, str]]:
    run = page.run
    yield "class", run["run_class"]
    yield "title", run["title"]
    yield "state", run["state"]
    yield "duration", duration(run["duration"])
    yield "configuration", run["config_name"]
    for row in page.configs:
        server = row["ecc_server"]
        yield server, f"{row['describe']}/{row['prepare']}/{row['configure']}"
        for digest in row["config_digest"].split():
            file, _, text = digest.partition("=")
            yield f"{server} {file}", text[:12]
    for row in page.measurements:
        name = f"{row['name']} [{row['units']}]" if row["units"] else row["name"]
        yield f"{name} begin", value_text(row["begin_value"])
        yield f"{name} mean", value_text(row["mean"])
    yield "files", str(len(page.files))
    yield "GB", f"{sum(row['bytes'] for row in page.files) / 1e9:.3f}"
