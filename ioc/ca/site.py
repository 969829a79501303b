"""Shared by all circuits of a server: its PVs by name, write access, and the puts under way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ioc.ca.busy_poll import BusyPoll
from ioc.ca.fields import field_of
from ioc.ca.filters import filtered, split
from ioc.ca.limits import Complaints, Limits
from ioc.ca.outbox import Turns
from ioc.ca.puts import Puts
from ioc.ca.pv import Client, Pv

_NAME = re.compile(r"[A-Za-z0-9_:\-]{1,60}")  # the longest name of a record in EPICS base
_FIELD = re.compile(r"[A-Z0-9]{0,4}\$?")

MayWrite = Callable[[str, str, str], bool]
"""Whether a client may write: PV name, address of its connection, user name as reported by the client."""


class Namespace:
    """Finds the PV of a channel name: ``NAME``, ``NAME.FIELD``, ``NAME$``, ``NAME.FIELD$``, with filters."""

    def __init__(self, pvs: Iterable[Pv[Any]]) -> None:
        self._pvs: dict[str, Pv[Any]] = {}
        self._fields: dict[str, dict[str, Pv[Any]]] = {}
        for pv in pvs:
            self.add(pv)

    def __len__(self) -> int:
        return len(self._pvs)

    @property
    def names(self) -> Iterable[str]:
        """Names of all PVs, in the order in which they were added."""
        return self._pvs.keys()

    def add(self, pv: Pv[Any]) -> None:
        """Raises ValueError if the name is taken or not allowed for a PV."""
        if not _NAME.fullmatch(pv.name):
            raise ValueError(f"PV name {pv.name!r} must be 1 to 60 of A-Z a-z 0-9 _ : -")
        if pv.name in self._pvs:
            raise ValueError(f"there is already a PV {pv.name}")
        self._pvs[pv.name] = pv
        self._fields[pv.name] = {}

    def remove(self, name: str) -> frozenset[Pv[Any]]:
        """Remove a PV; returns it and its fields. Raises ValueError if it does not exist."""
        if name not in self._pvs:
            raise ValueError(f"there is no PV {name}")
        return frozenset({self._pvs.pop(name), *self._fields.pop(name).values()})

    def find(self, channel: str) -> Pv[Any] | None:
        """The PV or field with the name `channel`, or None."""
        pv = self._pvs.get(channel)
        if pv is not None:
            return pv
        channel, filters = split(channel)
        if filters:
            pv = self.find(channel)
            return None if pv is None else filtered(pv, filters)
        name, _, field = channel.partition(".")
        if name.endswith("$") and not field:
            name, field = name[:-1], "$"
        pv = self._pvs.get(name)
        if pv is None or not _FIELD.fullmatch(field):
            return None
        made = self._fields[name]
        if field not in made:
            found = field_of(pv, field)
            if found is None:
                return None
            made[field] = found
        return made[field]


@dataclass
class Site:
    namespace: Namespace
    puts: Puts
    may_write: MayWrite
    limits: Limits
    complaints: Complaints
    turns: Turns = field(default_factory=Turns)
    busy_poll: BusyPoll = field(default_factory=BusyPoll)
    port: int = 0
    """TCP port of the server."""
    channels: int = 0
    """Open channels of all circuits."""

    def writable(self, pv: Pv[Any], client: Client) -> bool:
        """Whether this client may put to this PV or field."""
        return pv.on_put is not None and self.may_write(pv.name.partition(".")[0], client.host, client.user)
