"""Reads a run plan, a YAML list of runs, or reports every error in it with its line.

Names and values are checked against the observables of the topology.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ioc.errors import ConfigurationError, Problem, Refused
from ioc.model import PlannedRun, RunClass, ValueType, Wait, Window
from ioc.topology.document import Fault, Loc, read_document, show
from ioc.topology.load import read_text
from ioc.topology.manual_value import parse_manual
from ioc.topology.messages import describe, rephrase, suggest
from ioc.topology.schema import Limit, Observable, Value, must, number

_TITLE_BYTES = 200
_CLASSES = tuple(RunClass.__members__)

Positive = Annotated[float, number, must("a finite number, more than 0", lambda value: 0 < value < float("inf"))]


class _Part(BaseModel):
    """A mapping of the file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Wait(_Part):
    observable: str
    low: Limit | None = None
    high: Limit | None = None
    allowed: Annotated[tuple[Value, ...], Field(min_length=1)] = ()


class _Run(_Part):
    title: (
        Annotated[
            str,
            must(
                f"one line of printable text of at most {_TITLE_BYTES} bytes",
                lambda text: text.isprintable() and len(text.encode()) <= _TITLE_BYTES,
            ),
        ]
        | None
    ) = None
    run_class: Annotated[str, must(f"one of {', '.join(_CLASSES)}", _CLASSES.__contains__)] | None = Field(
        default=None, alias="class"
    )
    minutes: Positive | None = None
    gb: Positive | None = None
    manual: dict[str, Value] = Field(default_factory=dict[str, Value])
    wait_for: tuple[_Wait, ...] = ()


_SECTIONS: Mapping[str, type[BaseModel]] = {"": _Run, "wait_for": _Wait}


def load_plan(path: str, observables: Sequence[Observable]) -> tuple[PlannedRun, ...]:
    """Read the file of a plan; `observables` are those of the topology. Blocks.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    return parse_plan(read_text(Path(path), "a run plan"), path, observables)


def parse_plan(text: str, file_name: str, observables: Sequence[Observable]) -> tuple[PlannedRun, ...]:
    """Read the text of a plan.

    Raises:
        ConfigurationError: with every problem of the text, in the order of its lines.
    """
    document, known = read_document(text), {each.name: each for each in observables}
    problems, runs = set(document.problems), list[PlannedRun]()
    content = document.data
    entries = cast("list[object]", content) if isinstance(content, list) else []
    if entries:
        for index, entry in enumerate(entries):
            plain = {loc[1:]: text for loc, text in document.plain.items() if loc and loc[0] == index}
            run, faults = _run(entry, plain, known)
            runs += [run] if run is not None else []
            problems |= {(document.line((index, *loc)), f"run {index + 1}: {text}") for loc, text in faults}
    elif not problems:
        problems = {(1, f"is {describe(cast('object', content))}, but must be a list of runs (- title: …)")}
    if problems:
        raise ConfigurationError(tuple(Problem(file_name, line, text) for line, text in sorted(problems)))
    return tuple(runs)


def _run(
    entry: object, plain: Mapping[Loc, str], known: Mapping[str, Observable]
) -> tuple[PlannedRun | None, list[Fault]]:
    if not isinstance(entry, dict):
        return None, [((), f"is {describe(entry)}, but must be a mapping (key: value)")]
    faults = list(_inconsistent(cast("dict[str, object]", entry), known))
    try:
        run = _Run.model_validate(entry)
    except ValidationError as error:
        return None, faults + [rephrase(each, plain, _SECTIONS) for each in error.errors()]
    manual = _parsed(run.manual, known, faults)
    waits = tuple(
        Wait(wait.observable, Window(wait.low, wait.high, wait.allowed), known[wait.observable].units)
        for wait in run.wait_for
        if wait.observable in known
    )
    run_class = RunClass[run.run_class] if run.run_class is not None else None
    return PlannedRun(run.title, run_class, run.minutes or 0.0, run.gb or 0.0, manual, waits), faults


def _parsed(
    values: Mapping[str, Value], known: Mapping[str, Observable], faults: list[Fault]
) -> tuple[tuple[str, Value], ...]:
    """The values of manual observables, each in its type."""
    parsed: list[tuple[str, Value]] = []
    manual = [each.name for each in known.values() if each.pv is None]
    for name, value in values.items():
        if name not in known:
            faults.append((("manual", name), f"manual.{name} is no manual observable{suggest(name, manual)}"))
            continue
        try:
            parsed.append((name, parse_manual(known[name], value)))
        except Refused as refusal:
            faults.append((("manual", name), str(refusal)))
    return tuple(parsed)


def _inconsistent(entry: dict[str, object], known: Mapping[str, Observable]) -> Iterator[Fault]:
    """Errors in combinations of keys that are each valid."""
    if "minutes" not in entry and "gb" not in entry:
        yield (), "has neither minutes nor gb, but must have at least one"
    waits = entry.get("wait_for")
    for index, wait in enumerate(cast("list[object]", waits) if isinstance(waits, list) else []):
        if isinstance(wait, dict):
            yield from _inconsistent_wait(("wait_for", index), cast("dict[str, object]", wait), known)


def _inconsistent_wait(loc: Loc, wait: dict[str, object], known: Mapping[str, Observable]) -> Iterator[Fault]:
    name, low, high = wait.get("observable"), wait.get("low"), wait.get("high")
    if isinstance(name, str) and name not in known:
        yield (*loc, "observable"), f"{show(loc)}.observable is {name!r}, which does not exist{suggest(name, known)}"
    text = isinstance(name, str) and name in known and known[name].type is ValueType.String
    if text and wait.keys() & {"low", "high"}:
        yield loc, f"{show(loc)} has low or high, but {name} is a text: it must have allowed"
    if not wait.keys() & {"low", "high", "allowed"}:
        yield loc, f"{show(loc)} has no low, high or allowed, but must have at least one"
    if "allowed" in wait and wait.keys() & {"low", "high"}:
        yield loc, f"{show(loc)} has allowed and low or high, but must have only one kind"
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield (*loc, "low"), f"{show(loc)}.low is {low}, but must be at most high ({high})"
