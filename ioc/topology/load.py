"""Reads ``topology.yaml``: every fault at once, each with its line, or the validated model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from ioc.errors import ConfigurationError, Problem
from ioc.topology.checks import check_consistency
from ioc.topology.document import Document, Loc, read_document, show
from ioc.topology.messages import describe, rephrase
from ioc.topology.paths import resolve_paths
from ioc.topology.schema import Topology

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EXAMPLE = Path(__file__).with_name("example.yaml")
"""The example of a full AT-TPC: in a checkout a link to the one at the root."""
_WHAT_TO_DO = "`attpc-ioc init` writes one from a few answers, `--topology FILE` takes another"
_PATHS = {"config_root", "config_backup_root", "log_path", "work_dir", "key", "config"}
"""Keys that take a path or nothing."""


def load(path: Path) -> Topology:
    """Read a topology file; its paths on this machine become absolute, relative to the folder of the file.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise _refusal(path, 0, f"there is no such file, but must be: {_WHAT_TO_DO}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, "has a byte that is not UTF-8, but must be UTF-8 text") from None
    except (OSError, ValueError) as error:  # the latter: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _refusal(path, 0, f"cannot be read ({reason}), but must be a topology file") from None
    return resolve_paths(parse(text, str(path)), path.resolve().parent)


def parse(text: str, file_name: str) -> Topology:
    """Read the text of a topology file; paths stay as written.

    Raises:
        ConfigurationError: with every problem of the text, in the order of its lines.
    """
    document = read_document(text)
    faults = list(document.problems)
    topology = None
    content = document.data
    if isinstance(content, dict):
        data = cast("dict[str, object]", content)
        try:
            topology = Topology.model_validate(data)
        except ValidationError as error:
            found = [
                rephrase(details, document.plain)
                for details in error.errors(include_url=False)
                if not _only_invalid(details)
            ]
            faults += [(document.line(loc), message) for loc, message in found]
        faults += [
            (document.line(loc), message) for loc, message in (*check_consistency(data), *_lone_tildes(document))
        ]
    elif not faults:
        faults.append((1, f"is {describe(content)}, but must be a mapping with the keys of a topology"))
    if faults or topology is None:
        raise ConfigurationError(tuple(Problem(file_name, line, message) for line, message in sorted(set(faults))))
    return topology


def _lone_tildes(document: Document) -> Iterator[tuple[Loc, str]]:
    """A path ``~`` without quotes is nothing in YAML, although the home was meant."""
    for loc, text in document.plain.items():
        if text == "~" and loc[-1] in _PATHS:
            yield loc, f"{show(loc)} is ~, which is nothing in YAML, but must be a path: the home is '~' in quotes"


def _refusal(path: Path, line: int, text: str) -> ConfigurationError:
    return ConfigurationError((Problem(str(path), line, text),))


def _only_invalid(details: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short because none of its entries is valid: those have faults of their own."""
    return details["type"] == "too_short" and bool(details["input"])
