"""The faults of the soak: every kind that docs/simulator.md knows, each with what ends it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Command = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One kind of fault of one kind of part."""

    part: str
    """Key of a command: ecc, source, router or slow_controls."""
    begin: Command
    end: tuple[Command, ...] = ()
    """What the operator does about it; nothing if it ends with its first effect, or if recovery sees it."""

    @property
    def name(self) -> str:
        return " ".join([self.part, *(str(value) for value in self.begin.values())])


def _ecc(end: Command | None = None, **begin: Any) -> Fault:
    return Fault("ecc", begin, () if end is None else (end,))


def _router(*end: Command, **begin: Any) -> Fault:
    return Fault("router", begin, end)


_NORMAL = {"do": "behave", "as": "normal"}
_BEHAVIOURS = ("hang", "drop", "reset", "html", "http500", "truncated", "huge", "slow", "dtd", "unknown-state")

FAULTS: tuple[Fault, ...] = (
    *(
        _ecc(do="fail", operation=operation, message="no power")
        for operation in ("Start", "Stop", "Configure", "Breakup", "Describe", "Prepare", "GetConfigIDs")
    ),
    _ecc(do="complain", message="alarm of CoBo 3"),
    *(
        _ecc({"do": "delay", "operation": operation, "seconds": 0}, do="delay", operation=operation, seconds=seconds)
        for operation, seconds in (("Start", 0.5), ("Stop", 1.0), ("GetState", 0.4), ("GetState", 2.0))
    ),
    *(_ecc(_NORMAL, **{"do": "behave", "as": behaviour}) for behaviour in _BEHAVIOURS),
    *(_ecc(do="state", state=state) for state in ("Off", "Idle", "Prepared", "Ready", "Paused")),
    _ecc(do="break-electronics"),
    _ecc({"do": "thaw"}, do="freeze"),
    _ecc({"do": "restart"}, do="kill"),
    _ecc({"do": "restart", "links": "end"}, do="kill", links="end"),
    *(_ecc(do="restart", links=links) for links in ("stay", "yield", "end")),
    Fault("source", {"do": "silence"}, ({"do": "speak"},)),
    Fault("source", {"do": "count-on"}, ({"do": "count-anew"},)),
    Fault("source", {"do": "reset"}),
    _router({"do": "speak"}, do="silence"),
    _router({"do": "accept"}, do="refuse"),
    _router(do="stray", file="stray.graw", size=1000),
    _router({"do": "restart"}, do="kill"),
    _router(do="restart"),
    _router({"do": "restart"}, do="restart", directory="other"),
    Fault("slow_controls", {"do": "set", "value": 790}, ({"do": "thaw"},)),
    Fault("slow_controls", {"do": "freeze"}, ({"do": "thaw"},)),
    Fault("slow_controls", {"do": "stop"}, ({"do": "start"},)),
)
_OF_ALL = {"stop", "start"}
"""Commands to the slow controls as a whole."""


@dataclass(frozen=True)
class Happening:
    """A fault of one part."""

    fault: Fault
    part: str

    @property
    def begin(self) -> Command:
        return self._to(self.fault.begin)

    @property
    def end(self) -> list[Command]:
        return [self._to(command) for command in self.fault.end]

    def _to(self, command: Command) -> Command:
        part = "*" if self.fault.part == "slow_controls" and command["do"] in _OF_ALL else self.part
        return {self.fault.part: part, **command}


class Fate:
    """Chooses faults: every kind in turn, in random order, each time at a random part."""

    def __init__(self, chance: random.Random, parts: Mapping[str, Sequence[str]]) -> None:
        self._chance = chance
        self._parts = parts
        self._coming: list[Fault] = []

    def next(self) -> Happening:
        if not self._coming:
            self._coming = list(FAULTS)
            self._chance.shuffle(self._coming)
        fault = self._coming.pop()
        return Happening(fault, self._chance.choice(self._parts[fault.part]))
