"""What is different between two runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ioc.cli.run_text import duration, table, value_text
from ioc.rundb.queries import RunPage

_DIGITS = 12
"""Of a digest: enough to tell two texts apart."""
_FILE = re.compile(r"(\S.*?)=([0-9a-f]+)(?: |$)")
"""A file, whose name may have spaces, with its digest."""


def run_diff(experiment: str, first: RunPage, second: RunPage) -> str:
    """A line for each setting, configuration and observable that differs; numbers are compared as they are shown."""
    numbers = (f"run {first.run['run_number']}", f"run {second.run['run_number']}")
    left, right = dict(_facts(first)), dict(_facts(second))
    rows = [
        (name, left.get(name, ""), right.get(name, ""))
        for name in (left | right)
        if left.get(name, "") != right.get(name, "")
    ]
    if not rows:
        return f"{numbers[0]} and {numbers[1]} of {experiment} differ in nothing that is recorded"
    return table((experiment, *numbers), rows)


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
        yield f"{server} configuration text", row["config_digest"][:_DIGITS]
        for file, digest in _FILE.findall(row["file_digests"]):
            yield f"{server} {file}", digest[:_DIGITS]
    for row in page.measurements:
        name = f"{row['name']} [{row['units']}]" if row["units"] else row["name"]
        yield f"{name} begin", value_text(row["begin_value"])
        yield f"{name} end", value_text(row["end_value"])
        yield f"{name} mean", value_text(row["mean"])
    yield "files", str(len(page.files))
    yield "GB", f"{sum(row['bytes'] for row in page.files) / 1e9:.3f}"
