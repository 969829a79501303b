"""The PVs that add an observable to the topology, ``$(P)Obs:New:…``."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from ioc.ca import CommandPv, EnumPv, TextPv
from ioc.errors import ConfigurationError, Refused
from ioc.model import Client, Scalar, Severity, ValueType
from ioc.pvs.boundary import handler
from ioc.pvs.group import MESSAGE_LENGTH, Group
from ioc.topology.checks import NEW_OBSERVABLE

AddObservable = Callable[[Mapping[str, Scalar], Client], Awaitable[str]]
"""Writes an observable with these keys into the topology and reloads it; returns what was done."""

_ENTRY = re.compile(r"^observables\[\d+\]\.")
"""In an error, the place of the new observable in the file, which nobody has seen yet."""
_TYPES = tuple(ValueType)
_TEXTS = (
    ("Name", "Name of a new observable", 60),
    ("Pv", "Its source PV, empty if manual", 128),
    ("Units", "Its units", 40),
    ("Label", "Its label on screens", 160),
    ("Comment", "Comment for readers of the topology", 400),
)
"""PV, description and length: more than a key may have, so that a longer text is refused by name."""


class NewObservablePvs(Group):
    """Entries for a new observable, which all clients share; nothing happens before `Add`."""

    def __init__(self, prefix: str, add: AddObservable) -> None:
        super().__init__(f"{prefix}Obs:{NEW_OBSERVABLE}:")
        self._add_observable = add
        self._texts: dict[str, TextPv] = {}
        for name, description, size in _TEXTS:
            put = handler(partial(self._put_text, name))
            self._texts[name] = self.add(TextPv, name, description, size, on_put=put)
        types = [each.value for each in _TYPES]
        self._type = self.add(EnumPv, "Type", "Its type", types, on_put=handler(self._put_type))
        self.add(CommandPv, "Add", "Add it to the topology and record it", handler(self._put_add))
        self._message = self.add(TextPv, "Message", "Result of the last Add", MESSAGE_LENGTH)

    def show_refusal(self, text: str) -> None:
        self._message.post(text, severity=Severity.MAJOR)

    async def _put_text(self, name: str, client: Client, text: str) -> None:
        if not text.isprintable():
            raise Refused(f"{name} of a new observable must be one line of printable text")
        self._texts[name].post(text)

    async def _put_type(self, client: Client, value: int) -> None:
        self._type.post(value)

    async def _put_add(self, client: Client) -> None:
        texts = {name.lower(): pv.value for name, pv in self._texts.items() if pv.value}
        fields = {"name": "", **texts}
        if (kind := _TYPES[self._type.value]) is not ValueType.Float:
            fields["type"] = kind.value
        order = ("name", "label", "pv", "units", "type", "comment")
        try:
            done = await self._add_observable({key: fields[key] for key in order if key in fields}, client)
        except ConfigurationError as error:
            reasons = [_ENTRY.sub("", problem.text) for problem in error.problems if problem.line]
            raise Refused("; ".join(reasons or map(str, error.problems))) from None
        for pv in self._texts.values():
            pv.post("")
        self._type.post(0)
        self._message.post(done, severity=Severity.NO_ALARM)
