"""Reads ``topology.yaml`` into the validated model, or reports every error in it with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from ioc.errors import ConfigurationError, Problem
from ioc.topology.advice import advise
from ioc.topology.checks import check_consistency
from ioc.topology.defaults import Completed, complete
from ioc.topology.document import Document, Fault, fault, read_document
from ioc.topology.messages import describe, rephrase
from ioc.topology.place import Place
from ioc.topology.schema import Topology

EXAMPLE = Path(__file__).with_name("example.yaml")
"""The example of a full AT-TPC; in a checkout, a link to the file at the root."""
_WHAT_TO_DO = "`attpc-ioc init` writes one from a few answers, `--topology FILE` names another"
_MOST_BYTES = 4_000_000
_PATHS = {"config_root", "config_backup_root", "log_path", "work_dir", "key", "config"}
"""Keys whose value is a path or null."""


@dataclass(frozen=True)
class Examined:
    """A topology without errors, and its warnings."""

    topology: Topology
    warnings: tuple[Problem, ...]


def load(path: Path) -> Topology:
    """Read a topology file; relative paths on this machine are resolved from the folder of the file.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    return _parse(_text(path), str(path), Place(path.resolve().parent, serves=False))[0]


def examine(path: Path) -> Examined:
    """As `load`, for an IOC on this machine: also check the database, and return warnings.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    topology, source = _parse(_text(path), str(path), Place(path.resolve().parent, serves=True))
    found = {source.place(fault) for fault in (*advise(topology), *source.advice())}
    return Examined(topology, tuple(Problem(str(path), line, message) for line, message in sorted(found)))


def parse(text: str, file_name: str) -> Topology:
    """Read the text of a topology file; paths stay as written.

    Raises:
        ConfigurationError: with every problem of the text, in the order of its lines.
    """
    return _parse(text, file_name, None)[0]


def read_text(path: Path, what: str, if_missing: str = "") -> str:
    """Return the text of a file that must be `what`; `if_missing` is advice.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:  # it may be an endless device
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise _refusal(path, 0, f"has more than {_MOST_BYTES} bytes, but must be {what}")
        return content.decode()
    except FileNotFoundError:
        raise _refusal(path, 0, f"does not exist{if_missing}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, "has a byte that is not UTF-8, but must be UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _refusal(path, 0, f"cannot be read ({reason}), but must be {what}") from None


def _refusal(path: Path, line: int, text: str) -> ConfigurationError:
    return ConfigurationError((Problem(str(path), line, text),))


def _text(path: Path) -> str:
    return read_text(path, "a topology file", f": {_WHAT_TO_DO}")


def _parse(text: str, file_name: str, place: Place | None) -> tuple[Topology, Completed]:
    document = read_document(text)
    problems, content = set(document.problems), document.data
    if isinstance(content, dict):
        source = complete(document, cast("dict[str, object]", content))
        faults = [*source.faults, *check_consistency(source.data), *_lone_tildes(document)]
        try:
            topology = Topology.model_validate(source.data, context=place)
        except ValidationError as error:
            topology = None
            # A list whose entries all have errors of their own is not too short.
            found = [each for each in error.errors() if each["type"] != "too_short" or not each["input"]]
            written = source.written()
            faults += [rephrase(details, written) for details in found]
        problems |= {source.place(fault) for fault in faults}
        if topology is not None and not problems:
            return topology, source
    elif not problems:
        problems = {(1, f"is {describe(content)}, but must be a mapping with the keys of a topology")}
    raise ConfigurationError(tuple(Problem(file_name, line, message) for line, message in sorted(problems)))


def _lone_tildes(document: Document) -> Iterator[Fault]:
    """Report a path ``~`` without quotes: it is null in YAML, although the home directory was meant."""
    for loc, text in document.plain.items():
        if text == "~" and loc[-1] in _PATHS:
            yield fault(loc, "is ~, which is null in YAML, but must be a path: quote it ('~') for the home")
