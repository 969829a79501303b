"""By what two runs are compared: for the command `runs diff` and for the page of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ioc.rundb.queries import CONFIG_FILE, Row

_DIGITS = 12
"""Characters shown of a digest: enough to distinguish two texts."""


def configuration_texts(configs: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """What was set on each ECC server, and the digests of the texts and files that were used."""
    for row in configs:
        server = row["ecc_server"]
        yield server, f"{row['describe']}/{row['prepare']}/{row['configure']}"
        yield f"{server} configuration text", row["config_digest"][:_DIGITS]
        for file, digest in CONFIG_FILE.findall(row["file_digests"]):
            yield f"{server} {file}", digest[:_DIGITS]


def with_units(observable: Row) -> str:
    """The name of an observable, and its units if it has some."""
    return f"{observable['name']} [{observable['units']}]" if observable["units"] else str(observable["name"])
